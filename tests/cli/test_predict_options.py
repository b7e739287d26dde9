"""npresnet predict: its options, and the messages for wrong ones."""

from __future__ import annotations

import csv
import io
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet.cli.shared import options_of
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
    rows = list(csv.DictReader(io.StringIO(done.out)))
    expected = [f"{row['label']} {100 * float(row['score']):.0f} %\n{row['path'][5:]}" for row in rows]
    assert titles == [expected[:16], expected[16:]]
    with Image.open("out.png") as first, Image.open("out-2.png") as second:
        assert first.size[0] > second.size[0], "the last page is cropped"
        assert first.size[1] > second.size[1]
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


def test_draft(run, folder, model_file):
    """A photo that is large enough to be decoded small; together with the other ways to choose preprocessing."""
    sample = Path(npresnet.__file__).parent / "data" / "chelsea.jpg"
    Image.open(sample).resize((640, 480)).save("large.jpg", quality=95)
    words = ["predict", "large.jpg", "--model", model_file, "--json"]
    for more in ([], ["--exif"], ["--preprocess", "cifar10"], ["--preprocess", '{"resize": 40, "crop": 32}']):
        plain, drafted = (json.loads(run(*words, *more, *flag).out)[0] for flag in ([], ["--draft"]))
        assert plain["score"] != drafted["score"]
        assert abs(plain["score"] - drafted["score"]) < 0.1


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


def test_arguments_may_be_given_as_options(run, folder, model_file):
    """A warning names preprocess='cifar10' as it names any option."""
    words = ("predict", "photos/000.png", "--model", model_file, "--json")
    changed = run(*words, "--preprocess", '{"resize": 40}').out
    assert run(*words, "--option", "preprocess={'resize': 40}").out == changed != run(*words).out
    assert run(*words, "--option", "labels=['a', 'b']").err.count("expected 10 labels") == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("max_pool=[3,2,0,true]", [3, 2, 0, True]),
        ("max_pool=[3, 2, 0, True]", [3, 2, 0, True]),
        ("max_pool=True", True),
        ("max_pool=false", False),
        ("stem=[[3,1,1]]", [[3, 1, 1]]),
        ("stem=[(3, 1, 1)]", [(3, 1, 1)]),
        ("shortcut=A-end", "A-end"),
        ("shortcut='A-end'", "A-end"),
        ('shortcut="A-end"', "A-end"),
        ("stride-on=3x3", "3x3"),
        ("bn_eps=0", 0),
        ("head_activation=['relu', 'none']", ["relu", "none"]),
        ("head=[broken", "[broken"),
        ("head=(" + "(" * 1000, "(" + "(" * 1000),
        ("head=None", None),
        ("head=none", "none"),
    ],
)
def test_values_of_options(text, value):
    name = text.partition("=")[0].replace("-", "_")
    assert options_of(Namespace(option=[text])) == {name: value}


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


@pytest.mark.parametrize("option", ["--batch-size", "--top", "--threads", "--max-pixels"])
@pytest.mark.parametrize("command", ["predict", "embed"])
def test_numbers_beyond_any_size_are_wrong_usage(run, folder, model_file, command, option):
    if (command, option) != ("embed", "--top"):
        done = run(command, "photos", "--model", model_file, option, 10**30)
        assert (done.code, done.out) == (2, "")
        assert f"argument {option}: 1{30 * '0'} is more than" in done.err


def test_a_warning_is_one_plain_line(run, folder, model_file):
    Image.new("I;16", (40, 40), 30_000).save("deep.png")
    done = run("predict", "deep.png", "--model", model_file, "--csv")
    assert done.code == 0
    (line,) = done.err.splitlines()
    assert line.startswith("npresnet: warning: ")


@pytest.fixture
def two_layers(folder):
    """A classifier with a gap, which may be an activation, and one logit."""
    tensors = npresnet.arch.random_tensors("resnet10", num_classes=3)
    for name, shape in {"fc.0": (4, 512), "fc.2": (1, 4)}.items():
        tensors[f"{name}.weight"] = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    del tensors["fc.weight"], tensors["fc.bias"]
    np.savez(folder / "two.npz", **tensors)
    return folder / "two.npz"


COMMANDS = {
    "predict": ("predict", "photos/000.png", "--csv", "--model"),
    "embed": ("embed", "photos/000.png", "--model"),
    "trace": ("trace", "photos/000.png", "-o", "page.html", "--model"),
    "summary": ("summary",),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_file_cannot_tell_is_said_in_one_line(run, two_layers, command):
    small = () if command == "summary" else ("--preprocess", '{"resize": 32, "crop": 32}')
    done = run(*COMMANDS[command], two_layers, *small)
    assert done.code == 0
    said = [line for line in done.err.splitlines() if "wrote" not in line]
    assert len(said) == 1
    assert said[0].startswith("npresnet: warning: two.npz fits more than one network: head_activation='relu'")
    assert "could be --option head_activation=none or --option head_activation=tanh" in said[0]
    done = run(*COMMANDS[command], two_layers, *small, "--option", "head_activation=none")
    assert (done.code, "warning" in done.err) == (0, False)


def test_converting_with_the_option_settles_it(run, two_layers):
    assert "head_activation" in run("convert", two_layers, "open.npz").err
    assert "warning" in run("summary", "open.npz").err
    assert "warning" not in run("convert", two_layers, "told.npz", "--option", "head_activation=none").err
    assert run("summary", "told.npz").err == ""


def test_one_logit_in_every_format(run, two_layers):
    words = ("predict", "photos/000.png", "--model", two_layers, "--option", "head_activation=none")
    words = (*words, "--preprocess", '{"resize": 32, "crop": 32}')
    (record,) = json.loads(run(*words, "--json").out)
    assert [candidate["index"] for candidate in record["top"]] == [record["index"], 1 - record["index"]]
    assert sum(candidate["score"] for candidate in record["top"]) == pytest.approx(1)
    assert record["label"] == str(record["index"])
    names = ["real", "fake"]
    with open("names.json", "w") as file:
        json.dump(names, file)
    (named,) = json.loads(run(*words, "--json", "--labels", "names.json").out)
    assert named["label"] == names[record["index"]]
    row = run(*words, "--csv").out.splitlines()[1].split(",")
    assert row[1:3] == [str(record["index"])] * 2
    assert float(row[3]) == record["score"]
    assert len(run(*words, "--top", "9").out.splitlines()) == 2  # candidates
    with open("one.txt", "w") as file:
        file.write("fake")
    (alone,) = json.loads(run(*words, "--json", "--labels", "one.txt").out)
    assert (alone["label"], len(alone["top"])) == ("fake", 1)
    by_index = {candidate["index"]: candidate["score"] for candidate in record["top"]}
    assert alone["score"] == by_index[1]
    done = run("cam", *words[1:], "-o", "cam.png")
    assert f"looks like {record['index']}" in done.err
