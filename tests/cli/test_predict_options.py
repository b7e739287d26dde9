"""npresnet predict: its options, and the messages for wrong ones."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet.views import grid
from tests.support.small import write_pictures


def test_grid(run, folder, model_file, monkeypatch):
    titles = []
    draw_page = grid.draw_page

    def spy(cells, **shape):
        cells = list(cells)
        titles.append([title for _, title in cells])
        return draw_page(cells, **shape)

    monkeypatch.setattr(grid, "draw_page", spy)
    write_pictures(folder / "many", 18)
    done = run("predict", "many", "--model", model_file, "--grid", "out.png", "--csv")
    labels = [row["label"] for row in csv.DictReader(io.StringIO(done.out))]
    assert titles == [[f"predict:{label}" for label in labels[:16]], [f"predict:{label}" for label in labels[16:]]]
    with Image.open("out.png") as first, Image.open("out-2.png") as second:
        assert first.size == second.size
        assert len(np.unique(np.asarray(first))) > 100  # pictures, not white paper
    assert "wrote out.png" in done.err
    assert "wrote out-2.png" in done.err


def test_a_grid_that_cannot_be_written(run, folder, model_file):
    done = run("predict", "photos", "--model", model_file, "--grid", "nowhere/out.png")
    assert done.code == 1
    assert "nowhere/out.png" in done.err
    done = run("predict", "photos", "--model", model_file, "--grid", "out.doc", "--json")
    assert done.code == 1
    assert "out.doc" in done.err


def test_labels_and_preprocessing(run, folder, model_file):
    (folder / "names.txt").write_text("\n".join(f"class{i}" for i in range(10)))
    words = ("predict", "photos/000.png", "--model", model_file, "--json")
    (record,) = json.loads(run(*words, "--labels", "names.txt").out)
    assert record["label"] == f"class{record['index']}"
    plain = json.loads(run(*words).out)
    assert json.loads(run(*words, "--preprocess", "cifar10").out) == plain
    assert json.loads(run(*words, "--preprocess", '{"resize": 40}').out) != plain
    assert "not valid JSON" in run(*words, "--preprocess", "{resize").err


def test_exif(run, folder, model_file):
    upright = Image.open("photos/000.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    upright.transpose(Image.Transpose.ROTATE_90).save("turned.png", exif=exif)
    words = ("predict", "turned.png", "photos/000.png", "--model", model_file, "--json")
    turned, plain = (record["top"] for record in json.loads(run(*words, "--exif").out))
    assert turned == plain
    turned, plain = (record["top"] for record in json.loads(run(*words).out))
    assert turned != plain
    turned, plain = (record["top"] for record in json.loads(run(*words, "--exif", "--preprocess", "cifar10").out))
    assert turned == plain


def test_options(run, folder, model_file):
    words = ("predict", "photos/000.png", "--model", model_file, "--json")
    assert json.loads(run(*words, "--option", "bn_eps=0.5").out) != json.loads(run(*words).out)
    assert json.loads(run(*words, "--arch", "cifar_resnet20", "--option", "max_pool=false").out) == json.loads(
        run(*words).out
    )
    assert "'nonsense'" in run(*words, "--option", "nonsense=1").err
    assert "'device'" in run(*words, "--option", "device=cpu").err, "an argument is no option"
    assert run(*words, "--option", "bn_eps=" + "[" * 100_000).code == 1
    assert "NAME=VALUE" in run(*words, "--option", "bn_eps").err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), {"fast": False, "winograd": True}),
        (("--fast",), {"fast": True, "winograd": True}),
        (("--no-winograd",), {"fast": False, "winograd": False}),
    ],
    ids=str,
)
def test_fast_and_no_winograd(run, folder, model_file, monkeypatch, words, told):
    seen, load = [], npresnet.load

    def recording(*args, **options):
        seen.append({name: options[name] for name in told})
        return load(*args, **options)

    monkeypatch.setattr(npresnet, "load", recording)
    picture = "photos/000.png"
    for command in (["predict", picture], ["embed", picture], ["cam", picture, "-o", "cam.png"]):
        assert run(*command, "--model", model_file, *words).code == 0
    assert seen == [told] * 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "missing.npz"], "missing.npz"),
        (["--model", "resnet19"], "resnet18"),
        (["--model", "resnet18"], "could not be downloaded"),
        (["--model", "broken.png"], "broken.png"),
        (["--device", "cuda"], "CuPy, which is not installed"),
        (["--dtype", "float16"], "float32 only"),
        (["--labels", "missing.txt"], "missing.txt"),
    ],
)
def test_what_fails_as_a_whole(run, folder, no_cupy, model_file, words, message):
    given = words if "--model" in words else [*words, "--model", model_file]
    done = run("predict", "photos", *given)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("npresnet: error: ")
    assert message in done.err
    assert "Traceback" not in done.err


def test_auto_says_what_it_chose(run, folder, no_cupy, model_file):
    done = run("predict", "photos/000.png", "--model", model_file, "--device", "auto")
    assert done.code == 0
    assert "auto" in done.err
    assert "CPU" in done.err


@pytest.mark.parametrize(
    "words",
    [[], ["a.jpg", "--top", "0"], ["a.jpg", "--threads", "x"], ["a.jpg", "--json", "--csv"], ["a.jpg", "--nope"]],
)
def test_wrong_usage(run, words):
    done = run("predict", *words)
    assert (done.code, done.out) == (2, "")
    assert "usage: npresnet" in done.err


def test_a_warning_is_one_plain_line(run, folder, model_file):
    Image.new("I;16", (40, 40), 30_000).save("deep.png")
    done = run("predict", "deep.png", "--model", model_file, "--csv")
    assert done.code == 0
    (line,) = done.err.splitlines()
    assert line.startswith("npresnet: warning: ")
