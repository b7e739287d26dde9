"""npresnet predict: sources of images, output formats, and messages on stderr."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet.cli import output
from npresnet.model.prediction import Prediction
from npresnet.views import grid
from tests.support.checkout import REPOSITORY
from tests.support.small import write_pictures


def test_text(run, expected, model_file):
    done = run("predict", "photos", "--model", model_file, "--threads", 2)
    assert (done.code, done.err) == (0, "")
    *rows, device, times = done.out.splitlines()
    assert len(rows) == len(expected)
    for row, (path, prediction) in zip(rows, expected.items(), strict=True):
        found = re.fullmatch(r"(\S+) +(\w+) +(\d+\.\d\d)% +(\d+\.\d) ms", row)
        assert found is not None, row
        assert found.groups()[:2] == (path, prediction.label)
        assert float(found[3]) == pytest.approx(100 * prediction.score, abs=0.006)
    assert re.fullmatch(r"CPU: .+, 2 threads", device)
    assert re.fullmatch(r"5 images in \d+\.\d ms, mean \d+\.\d ms", times)


def test_text_with_more_candidates(run, expected, model_file):
    done = run("predict", "photos/000.png", "photos/001.png", "--model", model_file, "--top", 3)
    rows = [line.split() for line in done.out.splitlines()[:6]]
    assert [len(row) for row in rows] == [5, 2, 2, 5, 2, 2]
    assert [row[-4 if len(row) == 5 else 0] for row in rows[:3]] == [
        c.label for c in expected["photos/000.png"].top[:3]
    ]


def check_record(record: dict, prediction: Prediction, top: int) -> None:
    assert list(record) == ["path", "index", "label", "score", "top"]
    assert (record["index"], record["label"]) == (prediction.index, prediction.label)
    assert record["score"] == pytest.approx(prediction.score, rel=1e-6)
    assert [candidate["index"] for candidate in record["top"]] == [c.index for c in prediction.top][:top]
    assert all(list(candidate) == ["index", "label", "score"] for candidate in record["top"])


@pytest.mark.parametrize("top", [None, 2])
def test_json(run, expected, model_file, top):
    done = run("predict", "photos", "--model", model_file, "--json", *([] if top is None else ["--top", top]))
    assert (done.code, done.err) == (0, "")
    records = json.loads(done.out)
    assert [record["path"] for record in records] == list(expected)
    for record in records:
        check_record(record, expected[record["path"]], top or 5)


def test_json_lines(run, expected, model_file):
    done = run("predict", "photos", "--model", model_file, "--jsonl", "--batch-size", 2)
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [record["path"] for record in records] == list(expected)
    for record in records:
        check_record(record, expected[record["path"]], 5)


def test_csv(run, expected, model_file):
    done = run("predict", "photos", "--model", model_file, "--csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert list(rows[0]) == ["path", "index", "label", "score"]
    for row in rows:
        prediction = expected[row["path"]]
        assert (int(row["index"]), row["label"]) == (prediction.index, prediction.label)
        assert float(row["score"]) == pytest.approx(prediction.score, rel=1e-6)


def test_paths_with_commas_and_quotes(run, folder, model_file):
    name = 'a "b", c.png'
    (folder / "photos" / "000.png").rename(folder / name)
    (row,) = csv.DictReader(io.StringIO(run("predict", name, "--model", model_file, "--csv").out))
    assert row["path"] == name
    (record,) = json.loads(run("predict", name, "--model", model_file, "--json").out)
    assert record["path"] == name


def test_files_globs_and_folders_in_order(run, folder, model_file):
    done = run("predict", "photos/003.png", "photos/*1.png", "photos", "--model", model_file, "--csv")
    paths = [row["path"] for row in csv.DictReader(io.StringIO(done.out))]
    assert paths == ["photos/003.png", "photos/001.png", *(f"photos/{number:03d}.png" for number in range(5))]


def test_labels_cannot_control_the_terminal(run, folder, model_file):
    labels = folder / "labels.json"
    labels.write_text(json.dumps([f"\x1b[31m{number}\n" for number in range(10)]))
    done = run("predict", "photos/000.png", "--model", model_file, "--labels", labels)
    assert done.code == 0
    assert "\\x1b[31m" in done.out
    assert "\x1b" not in done.out


def test_line_ends_in_names(run, folder, model_file):
    name = "a\nb\r.png"
    (folder / "photos" / "000.png").rename(folder / name)
    (row,) = csv.DictReader(io.StringIO(run("predict", name, "--model", model_file, "--csv").out, newline=""))
    assert row["path"] == name


def test_stdin(run, folder, model_file):
    done = run(
        "predict", "-", "--model", model_file, "--csv", stdin="photos/002.png\n\n  \t\nphotos/000.png\r\nphotos/001.png"
    )
    assert [row["path"] for row in csv.DictReader(io.StringIO(done.out))] == [
        "photos/002.png",
        "photos/000.png",
        "photos/001.png",
    ]
    assert done.code == 0


def test_invalid_images_are_reported_and_skipped(run, folder, model_file):
    done = run(
        "predict", "photos/000.png", "broken.png", "missing.png", "photos/001.png", "--model", model_file, "--json"
    )
    assert done.code == 1
    assert [record["path"] for record in json.loads(done.out)] == ["photos/000.png", "photos/001.png"]
    assert [line for line in done.err.splitlines() if "broken.png" in line]
    assert [line for line in done.err.splitlines() if "'missing.png'" in line]
    assert all(line.startswith("npresnet: ") for line in done.err.splitlines())


@pytest.mark.parametrize(("form", "nothing"), [("--json", []), ("--jsonl", None), ("--csv", None)])
def test_nothing_to_predict(run, folder, model_file, form, nothing):
    done = run("predict", "missing.png", "--model", model_file, form)
    assert done.code == 1
    assert "missing.png" in done.err
    if nothing is not None:
        assert json.loads(done.out) == nothing
    assert run("predict", "-", "--model", model_file, form).code == 1


def test_without_a_model_the_demo_model_is_used_and_named(run, folder):
    done = run("predict", "photos/000.png", "--json")
    assert done.code == 0
    assert "demo model" in done.err
    assert "--model resnet18" in done.err
    (record,) = json.loads(done.out)
    assert record["label"] in ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


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
        assert len(np.unique(np.asarray(first))) > 100  # images rather than white
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
    exif[0x0112] = 6  # rotated by 90 degrees
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
    assert "'device'" in run(*words, "--option", "device=cpu").err, "an argument is not an option"
    assert run(*words, "--option", "bn_eps=" + "[" * 100_000).code == 1
    assert "NAME=VALUE" in run(*words, "--option", "bn_eps").err


@pytest.mark.parametrize(
    ("words", "expected_options"),
    [
        ((), {"fast": False, "winograd": True}),
        (("--fast",), {"fast": True, "winograd": True}),
        (("--no-winograd",), {"fast": False, "winograd": False}),
    ],
    ids=str,
)
def test_fast_and_no_winograd(run, folder, model_file, monkeypatch, words, expected_options):
    seen, load = [], npresnet.load

    def recording(*args, **options):
        seen.append({name: options[name] for name in expected_options})
        return load(*args, **options)

    monkeypatch.setattr(npresnet, "load", recording)
    picture = "photos/000.png"
    for command in (["predict", picture], ["embed", picture], ["cam", picture, "-o", "cam.png"]):
        assert run(*command, "--model", model_file, *words).code == 0
    assert seen == [expected_options] * 3


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
def test_failures_of_the_whole_command(run, folder, no_cupy, model_file, words, message):
    given = words if "--model" in words else [*words, "--model", model_file]
    done = run("predict", "photos", *given)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("npresnet: error: ")
    assert message in done.err
    assert "Traceback" not in done.err


def test_auto_reports_its_choice(run, folder, no_cupy, model_file):
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


@pytest.mark.parametrize("fails_after", [0, 2])
def test_json_is_valid_after_an_error(run, folder, model_file, monkeypatch, fails_after):
    """The array is closed however the run ends."""
    stream = npresnet.Model.stream

    def failing(self, *args, **options):
        yield from itertools.islice(stream(self, *args, **options), fails_after)
        raise npresnet.DeviceError("out of luck")

    monkeypatch.setattr(npresnet.Model, "stream", failing)
    done = run("predict", "photos/000.png", "photos/001.png", "photos/002.png", "--model", model_file, "--json")
    assert len(json.loads(done.out)) == fails_after
    assert (done.code, done.err) == (1, "npresnet: error: out of luck\n")


def test_json_has_no_nan():
    record = output.record("a.png", Prediction(np.full(3, np.nan, np.float32)))
    assert json.loads(json.dumps(record, allow_nan=False))["score"] is None


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "npresnet", *map(str, words)]


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


@pytest.mark.skipif(os.name == "nt", reason="pipes close differently there")
def test_a_closed_pipe(folder, model_file):
    write_pictures(folder / "many", 40)
    words = command("predict", *["many"] * 40, "--model", model_file, "--jsonl", "--threads", 1)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ()) as process:
        assert process.stdout.readline().startswith("{")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 141


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_undecodable_file_names(folder, model_file):
    name = os.fsdecode(b"caf\xe9.png")
    (folder / "photos" / "000.png").rename(folder / name)
    done = subprocess.run(command("predict", name, "--model", model_file, "--csv"), capture_output=True, env=environ())
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"caf\xe9.png," in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_a_progress_bar_for_folders_on_a_terminal(folder, model_file):
    """On a terminal stderr shows the progress; stdout carries only data."""
    import fcntl
    import pty
    import termios

    write_pictures(folder / "many", 30)
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    words = command("predict", "many", "--model", model_file, "--csv", "--batch-size", 4)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environ())
    os.close(theirs)
    out, _ = process.communicate(timeout=60)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert process.returncode == 0
    assert len(list(csv.DictReader(io.StringIO(out)))) == 30
    assert b"/30 [" in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # raised by Linux when the other side has closed
        return b""
