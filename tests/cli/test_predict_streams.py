"""npresnet predict: its output as a stream: after errors, into closed pipes, to a terminal."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

import npresnet
from npresnet.model.prediction import Prediction
from npresnet.model.records import record as record_of
from tests.support.checkout import REPOSITORY
from tests.support.small import write_pictures


@pytest.mark.parametrize("fails_after", [0, 2])
def test_json_can_be_read_after_an_error(run, folder, model_file, monkeypatch, fails_after):
    """Whatever ends the run, the array of what was done until then is closed."""
    stream = npresnet.Model.stream

    def failing(self, *args, **options):
        yield from itertools.islice(stream(self, *args, **options), fails_after)
        raise npresnet.DeviceError("out of luck")

    monkeypatch.setattr(npresnet.Model, "stream", failing)
    done = run("predict", "photos/000.png", "photos/001.png", "photos/002.png", "--model", model_file, "--json")
    assert len(json.loads(done.out)) == fails_after
    assert (done.code, done.err) == (1, "npresnet: error: out of luck\n")


def test_json_has_no_nan():
    record = record_of("a.png", Prediction(np.full(3, np.nan, np.float32)))
    assert json.loads(json.dumps(record, allow_nan=False))["score"] is None


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "npresnet", *map(str, words)]


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


@pytest.mark.skipif(os.name == "nt", reason="pipes close in another way there")
def test_a_closed_pipe_is_no_drama(folder, model_file):
    write_pictures(folder / "many", 40)
    words = command("predict", *["many"] * 40, "--model", model_file, "--jsonl", "--threads", 1)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ()) as process:
        assert process.stdout.readline().startswith("{")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 141


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_file_names_that_are_no_text(folder, model_file):
    name = os.fsdecode(b"caf\xe9.png")
    (folder / "photos" / "000.png").rename(folder / name)
    done = subprocess.run(command("predict", name, "--model", model_file, "--csv"), capture_output=True, env=environ())
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"caf\udce9.png," in done.stdout  # a reader of CSV expects text


def on_a_terminal(*words: object, stdin: bytes = b"") -> tuple[str, bytes]:
    """(stdout, what the terminal shows that is the command's stderr)."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": theirs}
    process = subprocess.Popen(command(*words), env=environ(), **pipes)
    os.close(theirs)
    out, _ = process.communicate(stdin, timeout=60)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert process.returncode == 0, shown
    return out.decode(), shown


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("images", ["files", "stdin"])
def test_a_bar_where_somebody_watches(folder, model_file, images):
    """On a terminal stderr shows how far it is, whatever the images are; stdout stays data."""
    paths = write_pictures(folder / "many", 30)
    given = {"files": paths, "stdin": ["-"]}[images]
    listed = "\n".join(paths).encode() if images == "stdin" else b""
    out, shown = on_a_terminal("predict", *given, "--model", model_file, "--csv", "--batch-size", 4, stdin=listed)
    assert len(list(csv.DictReader(io.StringIO(out)))) == 30
    assert (b"image [" if images == "stdin" else b"/30 [") in shown


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("words", [("embed", "-o", "x.npy"), ("cam", "-o", "maps/")], ids=lambda words: words[0])
def test_a_bar_of_other_commands(folder, model_file, words):
    _, shown = on_a_terminal(words[0], "photos/*.png", "--model", model_file, *words[1:])
    assert b"/5 [" in shown


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_no_bar_for_one_image(folder, model_file):
    data = (folder / "photos" / "000.png").read_bytes()
    for words, stdin in ((["photos/000.png"], b""), (["-"], data)):
        _, shown = on_a_terminal("predict", *words, "--model", model_file, "--csv", stdin=stdin)
        assert shown == b""


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side has closed
        return b""
