"""The command line and pictures: on stdin, beyond --max-pixels, as base64."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess

import numpy as np
import pytest
from PIL import Image

from npresnet.cli.stdin import LONGEST_LINE
from tests.cli.test_predict_streams import command, environ
from tests.images.pictures import encoded
from tests.support.small import picture

KINDS = ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "PPM", "JPEG2000", "AVIF"]


def some_picture(height: int = 60, width: int = 50) -> Image.Image:
    return Image.fromarray(picture(0, height=height, width=width))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_on_stdin_is_read(run, folder, model_file, kind, encoding):
    data = encoded(some_picture(), kind)
    (folder / "same").write_bytes(data)
    words = ("--model", model_file, "--jsonl")
    done = run("predict", "-", *words, stdin=data, encoding=encoding)
    assert (done.code, done.err) == (0, "")
    assert done.out == run("predict", "same", *words).out.replace('"same"', '"-"')


@pytest.mark.parametrize("size", [0x0A0A, 0x0A, 0x0D0A])
def test_a_line_end_in_a_picture_s_header(run, folder, model_file, size):
    """Width and height of a GIF, which follow its sign, may be line ends; so may the bytes of a BMP's size."""
    data = encoded(Image.new("P", (size, 1)), "GIF")
    assert b"\n" in data[6:8]
    assert run("predict", "-", "--model", model_file, stdin=data).code == 0
    bmp = bytearray(encoded(some_picture(), "BMP"))
    bmp[2:6] = b"\n\n\n\n"
    assert run("predict", "-", "--model", model_file, stdin=bytes(bmp)).code == 0


def test_embed_and_cam_read_a_picture_on_stdin(run, folder, model_file):
    data = encoded(some_picture(), "PNG")
    (folder / "same.png").write_bytes(data)
    done = run("embed", "-", "--model", model_file, stdin=data)
    assert done.out == run("embed", "same.png", "--model", model_file).out.replace('"same.png"', '"-"')
    assert run("cam", "-", "--model", model_file, "-o", "a.png", stdin=data).code == 0
    assert run("cam", "same.png", "--model", model_file, "-o", "b.png").code == 0
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()


@pytest.mark.parametrize("words", [("explain", "-"), ("trace", "-")], ids=" ".join)
def test_pages_of_a_picture_on_stdin(run, folder, model_file, words):
    out = ("-o", "p.html")
    assert run(*words, *out, "--model", model_file, stdin=encoded(some_picture(), "PNG")).code == 0
    assert (folder / "p.html").exists()
    done = run(*words, *out, "--model", model_file, stdin="photos/000.png\n")
    assert (done.code, "this command takes one" in done.err) == (1, True)


def test_a_grid_of_a_picture_on_stdin(run, folder, model_file):
    done = run("predict", "-", "--model", model_file, "--grid", "g.png", stdin=encoded(some_picture(), "JPEG"))
    assert done.code == 0
    assert (folder / "g.png").exists()


def test_a_damaged_picture_on_stdin_is_a_record(run, folder, model_file):
    done = run("predict", "-", "--model", model_file, "--json", stdin=encoded(some_picture(), "PNG")[:90])
    assert done.code == 1
    (record,) = json.loads(done.out)
    assert record["path"] == "-"
    assert "truncated" in record["error"]
    assert len(done.err.splitlines()) == 1


def test_a_picture_in_a_pipe(model_file):
    """Bytes as they come, past the process's own decoding; the terminal gets none of them."""
    data = encoded(some_picture(300, 200), "JPEG")
    words = command("predict", "-", "--model", model_file, "--csv")
    done = subprocess.run(words, input=data, capture_output=True, env=environ(), timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[1].startswith(b"-,")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"photos/000.png\0photos/001.png\0", "holds NUL characters"),
        ("photos/000.png\n".encode("utf-16"), "neither UTF-16 nor separated by NUL"),
        (b"x" * (LONGEST_LINE + 10), f"has a line of more than {LONGEST_LINE:,} characters"),
        (b"<!DOCTYPE html>\n<html><body>404\n</body></html>", "an HTML page, perhaps the error page"),
        (b"  <svg xmlns='x'>\n</svg>", "an SVG drawing"),
        (b"\xf9\xca\x94\x07U\xef\xc3 \x1b[31m\n", "is no text and no known image"),
        (b"%PDF-1.7\n%...\n", "a PDF"),
        (b"PK\x03\x04\x14 photos", "a zip archive"),
        (base64.encodebytes(encoded(Image.new("RGB", (90, 90)), "JPEG")), "base64 text; decode it first (base64 -d)"),
        (b"data:image/png;base64,iVBORw0KGgo=\n", "a data URL; decode it first; -"),
    ],
    ids=lambda value: ascii(value[:12]),
)
@pytest.mark.parametrize("words", [("predict", "--jsonl"), ("embed",), ("cam", "-o", "x/")], ids=lambda words: words[0])
def test_other_things_on_stdin_are_told_in_one_line(run, folder, model_file, words, data, told):
    done = run(words[0], "-", "--model", model_file, *words[1:], stdin=data)
    assert done.code == 1
    assert done.out.strip() in ("", "[\n]")
    (line,) = done.err.splitlines()
    assert line.startswith("npresnet: standard input ")
    assert told in line
    assert "- expects paths, one a line, or the bytes of one image" in line
    assert len(line) < 400


def test_text_that_names_no_file_says_once_what_is_expected(run, folder, model_file):
    done = run("predict", "-", "--model", model_file, "--csv", stdin="hello\nworld\nphotos/000.png\n")
    assert done.code == 1
    assert done.err.count("- expects paths, one a line, or the bytes of one image") == 1
    assert [line.split(",")[0] for line in done.out.splitlines()[1:]] == ["hello", "world", "photos/000.png"]


def test_lists_with_a_byte_order_mark_or_in_the_shell_s_encoding(run, folder, model_file):
    words = ("predict", "-", "--model", model_file, "--csv")
    assert run(*words, stdin=b"\xef\xbb\xbfphotos/000.png\r\n").code == 0
    (folder / "photos" / "000.png").rename(folder / "größe.png")
    assert run(*words, stdin="größe.png".encode("latin-1"), encoding="latin-1").code == 0


def test_paths_that_begin_like_pictures(run, folder, model_file):
    (folder / "RIFF").mkdir()
    for name in (
        "RIFF/a.png",
        "GIF8.png",
        "GIF89a.png",
        "PNG.png",
        "BMxx.png",
        "P6 1",
        "GIF89a",
        "<html",
        "BM",
        "RIFFxxxxWEBP",
    ):
        Image.fromarray(picture(1)).save(folder / name, "PNG")
        done = run("predict", "-", "--model", model_file, "--csv", stdin=f"{name}\nphotos/000.png\n")
        assert done.code == 0, done.err
        assert name in done.out
        assert "photos/000.png" in done.out


def test_a_list_whose_first_short_line_is_no_file(run, folder, model_file):
    """What was read ahead to look for a picture's header is part of the list."""
    for first in ("BM", "GIF89a", "RIFF"):
        done = run("predict", "-", "--model", model_file, "--csv", stdin=f"{first}\nphotos/000.png\nphotos/001.png\n")
        paths = [line.split(",")[0] for line in done.out.splitlines()[1:]]
        assert paths == [first, "photos/000.png", "photos/001.png"]


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
