"""The command line and pictures: on stdin, beyond --max-pixels, as base64."""

from __future__ import annotations

import base64
import contextlib
import subprocess

import numpy as np
import pytest
from PIL import Image

from npresnet.cli.shared import LONGEST_LINE
from tests.cli.test_predict_streams import command, environ
from tests.images.pictures import encoded
from tests.support.small import picture

KINDS = {"JPEG": "JPEG", "PNG": "PNG", "GIF": "GIF", "WEBP": "WebP", "TIFF": "TIFF", "BMP": "NUL characters"}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(("kind", "told"), KINDS.items(), ids=KINDS)
@pytest.mark.parametrize("words", [("predict", "-"), ("embed", "-")], ids=" ".join)
def test_a_picture_on_stdin_is_told_once(run, model_file, kind, told, encoding, words):
    data = encoded(Image.fromarray(picture(0, height=300, width=200)), kind)
    done = run(*words, "--model", model_file, stdin=data.decode(encoding, "surrogateescape"))
    assert done.code == 1
    assert len(done.err.splitlines()) == 1, done.err
    assert done.err.startswith("npresnet: standard input ")
    assert told in done.err
    assert "one a line" in done.err
    assert done.err.rstrip("\n").isprintable()


def test_a_picture_in_a_pipe(model_file):
    """Bytes as they come, by the process's own decoding; the terminal gets none of them."""
    data = encoded(Image.fromarray(picture(0, height=300, width=200)), "JPEG")
    words = command("predict", "-", "--model", model_file)
    done = subprocess.run(words, input=data, capture_output=True, env=environ(), timeout=60)
    assert done.returncode == 1
    assert len(done.stderr) < 400
    assert b"is a picture (JPEG)" in done.stderr


def test_other_things_on_stdin(run, folder, model_file):
    for text, told in (
        ("photos/000.png\0photos/001.png\0", "holds NUL characters"),
        ("x" * (LONGEST_LINE + 10), f"has a line of more than {LONGEST_LINE:,} characters"),
    ):
        done = run("predict", "-", "--model", model_file, stdin=text)
        assert (done.code, done.out) == (1, "")
        assert told in done.err
        assert len(done.err) < 400


def test_paths_that_begin_like_pictures(run, folder, model_file):
    (folder / "RIFF").mkdir()
    for name in ("RIFF/a.png", "GIF8.png", "GIF89a.png", "PNG.png", "BMxx.png"):
        Image.fromarray(picture(1)).save(folder / name)
        done = run("predict", "-", "--model", model_file, "--csv", stdin=f"{name}\n")
        assert done.code == 0, done.err
        assert name in done.out


def test_an_endless_line_is_not_waited_for(model_file):
    words = command("predict", "-", "--model", model_file)
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ()
    ) as process:
        with contextlib.suppress(BrokenPipeError):  # it has ended
            process.stdin.write(b"a" * (LONGEST_LINE + 10_000))
            process.stdin.flush()
        assert b"has a line of more than" in process.stderr.readline()  # while stdin stays open
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        assert process.wait(timeout=60) == 1


COMMANDS = [
    ("predict", "large.png"),
    ("embed", "large.png"),
    ("cam", "large.png", "-o", "out.png"),
    ("explain", "large.png", "-o", "out.html"),
    ("trace", "large.png", "-o", "out.html"),
    ("ladder", "--image", "large.png"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_max_pixels_of_every_command_that_reads_images(run, folder, model_file, monkeypatch, words):
    Image.fromarray(picture(0, height=70, width=90)).save(folder / "large.png")
    done = run(*words, "--model", model_file, "--max-pixels", 6299)
    assert done.code == 1
    assert "large.png has 90x70 = 6300 pixels, more than max_pixels = 6299" in done.err
    assert "--max-pixels" in done.err
    assert not (folder / "out.png").exists()


def test_more_pixels_than_pillow_allows(run, folder, model_file, monkeypatch):
    """Of every format: some are checked by Pillow once more while they are decoded."""
    for suffix in ("png", "tif", "webp"):
        Image.fromarray(picture(0, height=70, width=90)).save(folder / f"large.{suffix}")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)  # Pillow raises beyond twice this
    names = ["large.png", "large.tif", "large.webp"]
    refused = run("predict", *names, "--model", model_file)
    assert refused.code == 1
    assert refused.err.count("allow more by max_pixels (--max-pixels on the command line)") == 3
    allowed = run("predict", *names, "--model", model_file, "--max-pixels", 6300, "--csv")
    assert (allowed.code, allowed.err) == (0, "")
    assert Image.MAX_IMAGE_PIXELS == 3000
    drawn = run("predict", *names, "--model", model_file, "--max-pixels", 6300, "--grid", folder / "grid.png")
    assert drawn.code == 0, drawn.err


def test_max_pixels_is_a_count(run):
    for bad in ("0", "-5", "many"):
        assert run("predict", "a.png", "--max-pixels", bad).code == 2


def test_base64_as_an_argument(run, folder, model_file):
    text = base64.b64encode(encoded(Image.fromarray(picture(0, height=90, width=90)), "PNG")).decode()
    for argument in (text, f"data:image/png;base64,{text}"):
        done = run("predict", argument, "--model", model_file)
        assert done.code == 1
        assert "base64" in done.err
        assert len(done.err) < 600


def test_an_image_of_the_right_size_is_read(run, folder, model_file):
    Image.fromarray(np.zeros((70, 90, 3), np.uint8)).save(folder / "fine.png")
    assert run("predict", "fine.png", "--model", model_file, "--max-pixels", 6300).code == 0
