"""Labels, paths and metadata that would act on a terminal, a table or a parser: they come out as escapes."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import unicodedata

import numpy as np
import pytest

import npresnet
from npresnet import weights
from npresnet.system.text import visible, visible_lines
from tests.support.small import write_pictures

HOSTILE = "\x1b]0;owned\x07\x9b2Ja\r\nb\tc\x7f\u2028\u202egnp.\ud83d\x00"
LETTERS = "größe, 猫, قطة, 🐱, 👩‍👩‍👧"  # joined by U+200D, which acts on nothing
NAME = b"caf\xe9 \x1b[31m\xc2\x9b2J.png"  # not UTF-8, and two ways to colour a terminal


def acting(text: str, own: str = "\n") -> list[str]:
    """The characters that act, without those that the output is made of."""
    return [c for c in text if c not in own and (unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c == "\u202e")]


def strings_of(value: object) -> list[str]:
    """All text in parsed JSON, names included."""
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in strings_of(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings_of(item)]
    return [value] if isinstance(value, str) else []


@pytest.fixture
def hostile(folder):
    """A model with hostile labels, and a picture with a hostile name."""
    labels = [f"{HOSTILE}{number}" for number in range(9)] + [LETTERS]
    with npresnet.build("cifar_resnet20", num_classes=10, labels=labels, threads=1) as model:
        model.save("hostile.npz")
    (picture,) = write_pictures(folder / "one", 1)
    name = os.fsdecode(NAME) if sys.platform == "linux" else "caf\u2028.png"
    os.rename(picture, name)
    os.mkdir("empty")
    return name


def test_text_that_acts_on_nothing_stays():
    assert visible(LETTERS) == visible_lines(LETTERS) == LETTERS
    assert visible(HOSTILE) == r"\x1b]0;owned\x07\x9b2Ja\r\nb\tc\x7f\u2028\u202egnp.\ud83d\x00"
    assert visible_lines("a\tb\n\r") == "a\tb\n\\r"


@pytest.mark.parametrize("form", [(), ("--csv",), ("--json",), ("--jsonl",), ("--top", "10"), ("--grid", "grid.png")])
def test_predictions(run, hostile, form):
    done = run("predict", hostile, "--model", "hostile.npz", *form, *(("--top", "10") if "--json" in str(form) else ()))
    assert done.code == 0
    assert acting(done.out + done.err) == []
    if form in (("--json",), ("--jsonl",)):
        texts = strings_of(json.loads(done.out))
        assert acting("".join(texts), own="") == []
        assert visible(hostile) in texts
        assert LETTERS in texts
    if form == ("--csv",):
        (row,) = csv.DictReader(io.StringIO(done.out))
        assert acting("".join(row.values()), own="") == []
        assert row["path"] == visible(hostile)


def test_other_commands(run, hostile):
    done = run("embed", hostile, "--model", "hostile.npz")
    assert acting("".join(strings_of(json.loads(done.out)))) == []
    for words in (
        ("cam", hostile, "--model", "hostile.npz", "-o", "cam.png"),
        ("cam", hostile, "--model", "hostile.npz", "-o", "c\n\x1b[2Jam.png"),
        ("cam", hostile, "--model", "hostile.npz", "-o", "ma\nps/"),
        ("embed", hostile, "--model", "hostile.npz", "-o", "e\n\x1b[2J.npz"),
        ("predict", hostile, "--model", "hostile.npz", "-o", "p\n\x1b[2J.csv"),
        ("predict", hostile, "--model", "hostile.npz", "-o", "absent\n/\x1b[2J.csv"),
        ("predict", hostile, "--model", "hostile.npz", "-o", "p\n\x1b[2J"),
        ("predict", hostile, "--model", "hostile.npz", "--grid", "g\n\x1b[2J.png"),
        ("predict", hostile, "--model", "hostile.npz", "\x1b[2J\n*"),
        ("explain", hostile, "--model", "hostile.npz", "-o", "x\n\x1b[2J.html"),
        ("cam", hostile, "--model", "hostile.npz", "-o", "c.png", "--index", "\x1b[2J\n"),
        ("pre\x1b[2Jdict", hostile),
        ("predict", hostile, "--js\x1b[2Jn"),
        ("inspect", "hostile.npz"),
        ("inspect", hostile),
        ("predict", "missing\x1b[2J.png", "--model", "hostile.npz"),
        ("predict", "empty", "a\u202eb.png", "--model", "hostile.npz"),
        ("summary", "\x9bnone"),
        ("predict", "photos/000.png", "--model", "absent\x1b[2J.npz"),
        ("predict", "photos/000.png", "--labels", "absent\x1b[2J.txt"),
    ):
        done = run(*words)
        assert done.out + done.err
        assert acting(done.out + done.err) == [], words
        assert all(line.startswith(("npresnet", "usage", " ")) for line in done.err.splitlines()), words


@pytest.mark.parametrize("page", ["explain", "trace"])
def test_pages(run, hostile, page):
    assert run(page, hostile, "--model", "hostile.npz", "-o", "page.html").code == 0
    with open("page.html", encoding="utf-8") as file:
        text = file.read()
    assert acting(text, own="\n\t") == []
    (data,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert acting("".join(strings_of(json.loads(data))), own="\n\t") == []


def test_metadata(run, folder):
    tensors = {"w": np.ones(2, np.float32)}
    weights.write_npz("meta.npz", tensors, {f"key{HOSTILE}": HOSTILE, "source": {"x": [HOSTILE]}})
    done = run("inspect", "meta.npz")
    assert done.code == 0
    assert acting(done.out + done.err) == []


def test_messages_and_representations(hostile):
    with pytest.raises(npresnet.ImageError) as caught:
        npresnet.load("demo").predict(f"{hostile} of another")
    assert acting(str(caught.value)) == []
    os.rename("hostile.npz", "\x1b[31m.npz")
    with npresnet.load("\x1b[31m.npz", threads=1) as model:
        assert acting(repr(model) + repr(model.predict(hostile)) + str(model.config)) == []
    with open("\x1b[31m.npz", "wb") as file:
        file.write(b"damaged")
    with pytest.raises(npresnet.CheckpointError) as caught:
        npresnet.load("\x1b[31m.npz")
    assert acting(str(caught.value)) == []
