"""npresnet explain and trace."""

from __future__ import annotations

import json
import re

import pytest


def data_in(folder, name):
    text = (folder / name).read_text(encoding="utf-8")
    return json.loads(re.findall(r'id="npresnet-data">(.*?)</script>', text, re.DOTALL)[0])


def test_explain(run, folder, model_file):
    words = "--layer layer2.0.conv1 --at 3,4 --channel 5 -o page.html".split()
    done = run("explain", "photos/001.png", "--model", model_file, *words)
    assert (done.code, done.out) == (0, "")
    assert "wrote page.html: layer2.0.conv1, channel 5, row 3, column 4 is " in done.err
    data = data_in(folder, "page.html")
    assert [data[name] for name in ("image", "layer", "channel", "row", "col")] == [
        "001.png",
        "layer2.0.conv1",
        5,
        3,
        4,
    ]


def test_explain_by_the_demo_model(run, folder):
    done = run("explain", "photos/001.png", "-o", "page.html")
    assert done.code == 0
    assert "the demo model is used" in done.err
    assert data_in(folder, "page.html")["layer"] == "conv1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layer", "layer9"], "no layer called 'layer9'"),
        (["--at", "99,0"], "lies outside"),
        (["--channel", "99"], "no channel 99"),
        (["--layer", "bn1"], "is a batch_norm, not a convolution"),
    ],
)
def test_explain_what_is_not_there(run, folder, model_file, words, message):
    done = run("explain", "photos/001.png", "--model", model_file, "-o", "page.html", *words)
    assert done.code == 1
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (folder / "page.html").exists()


def test_explain_wrong_usage(run, folder):
    done = run("explain", "photos/001.png", "-o", "page.html", "--at", "middle")
    assert done.code == 2
    assert "is not a position; expected ROW,COL" in done.err


@pytest.mark.parametrize("command", ["explain", "trace"])
def test_a_page_on_stdout_and_none_in_place_of_a_folder(run, folder, model_file, command):
    done = run(command, "photos/001.png", "--model", model_file, "-o", "-")
    assert done.code == 0
    assert done.out.startswith("<!doctype html>")
    assert done.out.rstrip().endswith("</html>")
    assert "wrote the page: " in done.err
    assert "new/: Is a directory" in run(command, "photos/001.png", "--model", model_file, "-o", "new/").err
    assert run("ladder", "--model", model_file, "--html", "-").code == 2
    assert sorted(path.name for path in folder.iterdir()) == ["broken.png", "photos"]


@pytest.mark.parametrize("command", ["explain", "trace"])
def test_an_image_that_cannot_be_read(run, folder, model_file, command):
    done = run(command, "broken.png", "--model", model_file, "-o", "page.html")
    assert done.code == 1
    assert "broken.png" in done.err
    assert not (folder / "page.html").exists()


def test_trace(run, folder, model_file):
    done = run("trace", "photos/002.png", "--model", model_file, "-o", "page.html")
    assert (done.code, done.out) == (0, "")
    assert "wrote page.html: 71 nodes in 24 steps, " in done.err
    data = data_in(folder, "page.html")
    assert (data["image"], len(data["steps"])) == ("002.png", 24)
