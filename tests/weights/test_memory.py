"""Bytes and binary file objects are read exactly as the file that holds them: same arrays, same errors, same bounds."""

# ruff: noqa: SIM115

from __future__ import annotations

import gzip
import io
import os
import random
import re
import threading
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

import npresnet
from npresnet import weights
from npresnet.errors import CheckpointError
from tests.fuzz.formats import FORMATS
from tests.fuzz.past import PAST

INPUTS = 24


def outcome(source, name):
    """The arrays with what was said about them, or the error without the source's name."""
    try:
        found = weights.read(source)
    except npresnet.NpresnetError as error:
        said = re.sub(r"(HDF5 file is truncated or damaged) \(.*\)", r"\1", str(error))  # as the library found it
        return type(error).__name__, said.replace(name, "FILE"), {}
    return found.container, found.wrapper, found.prefix, found.notes, found.facts, found.tensors


def assert_same(one, other):
    np.testing.assert_equal(other[-1], one[-1])
    assert list(other[-1]) == list(one[-1])
    assert other[:-1] == one[:-1]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_read_alike_damaged_or_not(format, tmp_path):
    path = tmp_path / "w.bin"
    read = 0
    for number in range(INPUTS):
        raw = FORMATS[format].make(random.Random(f"memory {format} {number}"))
        path.write_bytes(raw)
        if not raw:
            continue
        expected = outcome(path, str(path))
        read += bool(expected[-1])
        assert_same(expected, outcome(raw, "<bytes>"))
        assert_same(expected, outcome(io.BytesIO(raw), "<BytesIO>"))
    assert 0 < read < INPUTS


def test_hostile_bytes_cost_no_more_than_hostile_files(tmp_path):
    for made in list(PAST.values())[::5]:
        start = time.process_time()
        assert outcome(made(), "<bytes>")
        assert time.process_time() - start < 4


# --- what holds bytes ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw():
    buffer = io.BytesIO()
    generator = np.random.default_rng(0)
    np.savez(buffer, **{"fc.weight": generator.random((3, 4), np.float32), "n": np.int64(7)})
    return buffer.getvalue()


class Pipe:
    """Neither `seek` nor `tell` nor a name; gives what it has in pieces as sockets do, all at once without a size."""

    def __init__(self, raw):
        self.rest = io.BytesIO(raw)

    def read(self, size=-1):
        return self.rest.read(size)


def sources(raw, tmp_path):
    path = tmp_path / "real.npz"
    path.write_bytes(raw)
    yield "<bytes>", raw
    yield "<bytearray>", bytearray(raw)
    yield "<memoryview>", memoryview(raw)
    yield "<memoryview>", memoryview(b"xx" + raw)[2:]
    yield "<memoryview>", memoryview(np.frombuffer(raw, np.uint8).copy())
    yield "<bytes_>", np.bytes_(raw)
    yield "<Pipe>", Pipe(raw)
    yield str(path), open(path, "rb")
    yield str(path), open(path, "rb", buffering=0)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/w.npz", raw)
    yield "inner/w.npz", zipfile.ZipFile(packed).open("inner/w.npz")
    squeezed = tmp_path / "real.npz.gz"
    squeezed.write_bytes(gzip.compress(raw))
    yield str(squeezed), gzip.open(squeezed)
    yield str(squeezed), io.BufferedReader(gzip.open(squeezed))
    moved = io.BytesIO(b"header" + raw)
    moved.seek(6)
    yield "<BytesIO>", moved
    later = open(tmp_path / "later.bin", "w+b")
    later.write(b"header" + raw)
    later.seek(6)
    yield str(tmp_path / "later.bin"), later
    reading, writing = os.pipe()
    threading.Thread(target=lambda: (os.write(writing, raw), os.close(writing))).start()
    yield "<BufferedReader>", os.fdopen(reading, "rb")


def test_every_kind_of_buffer_and_stream(raw, tmp_path):
    expected = weights.read_state_dict(raw)
    for name, source in sources(raw, tmp_path):
        found = weights.read(source)
        np.testing.assert_equal(found.tensors, expected)
        assert found.path == name
        assert not any(array.flags.writeable for array in found.tensors.values())


def test_what_is_written_into_a_buffer_later_changes_nothing(raw):
    buffer = bytearray(raw)
    found = weights.read_state_dict(buffer)
    buffer[:] = bytes(len(buffer))
    np.testing.assert_equal(found, weights.read_state_dict(raw))


def test_bytes_are_not_copied(tmp_path):
    values = np.arange(1 << 16, dtype=np.float32)
    weights.write_npz(tmp_path / "w.npz", {"w": values}, {})  # aligned
    raw = (tmp_path / "w.npz").read_bytes()
    (array,) = weights.read_state_dict(raw).values()
    assert np.shares_memory(array, np.frombuffer(raw, np.uint8))


def test_an_open_file_is_mapped_and_known_as_its_path(raw, tmp_path):
    path = tmp_path / "w.npz"
    path.write_bytes(raw)
    with open(path, "rb") as file:
        assert weights.path_of(file) == str(path)
        assert weights.read(file).files == [str(path)]
        assert file.tell() == 0
        file.read(1)
        assert weights.path_of(file) is None
    with open(path, "rb") as file:
        path.rename(tmp_path / "other.npz")
        assert weights.path_of(file) is None
        assert weights.read(file).files == []


def test_nothing_beside_the_program_belongs_to_bytes(raw, tmp_path, monkeypatch):
    """A config.json in the current folder is that of other weights."""
    (tmp_path / "config.json").write_text('{"architecture": "resnet50", "num_classes": 3}')
    monkeypatch.chdir(tmp_path)
    assert weights.read(raw).facts == {}
    assert weights.read(SimpleNamespace(read=lambda: raw, name="model.safetensors")).facts == {}


def test_nothing_is_written_to_disk(raw, monkeypatch):
    made = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda *arguments, **more: made.append(arguments) or real(*arguments, **more))
    monkeypatch.setattr("builtins.open", lambda *arguments, **more: pytest.fail(f"opened {arguments}"))
    for source in (raw, io.BytesIO(raw), {"w": np.ones(3)}):
        weights.read(source)
    assert not made


# --- what is no weights ----------------------------------------------------------------------------------------------


async def body():
    return b""


class Upload:
    async def read(self):
        return b""


REFUSED = [
    (lambda raw, path: b"", r"<bytes>: it is empty \(0 bytes\)"),
    (lambda raw, path: io.BytesIO(), r"<BytesIO>: it is empty .*file\.seek\(0\)"),
    (lambda raw, path: io.StringIO("text"), r"<StringIO>: it was opened as text; open it with mode 'rb'"),
    (lambda raw, path: open(path, encoding="latin-1"), r"w\.npz: it was opened as text"),
    (lambda raw, path: os.fsencode(path), r"<bytes>: .*look like a path: pass os\.fsdecode"),
    (lambda raw, path: Upload(), r"<Upload>: it is a file whose read\(\) is a coroutine; .*await file\.read"),
    (lambda raw, path: SimpleNamespace(read=Upload().read), r"its read\(\) returned coroutine, expected bytes"),
    (lambda raw, path: SimpleNamespace(read=lambda: None), r"its read\(\) returned NoneType"),
    (lambda raw, path: SimpleNamespace(read=lambda: "text"), r"its read\(\) returned str.*mode 'rb'"),
    (lambda raw, path: b"<!DOCTYPE html>", r"<bytes>: this is an HTML page"),
    (lambda raw, path: b'{"error": 404}', r"<bytes>: this is JSON text"),
    (lambda raw, path: raw[:-100], r"<bytes>: .*truncated"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("make", "words"), REFUSED)
def test_what_is_no_weights_says_so(make, words, raw, tmp_path):
    path = tmp_path / "w.npz"
    path.write_bytes(raw)
    source = make(raw, path)
    with pytest.raises(CheckpointError, match=words):
        weights.read(source)
    if hasattr(source, "close"):
        source.close()


def test_a_stream_that_fails_is_named(raw):
    closed = io.BytesIO(raw)
    closed.close()
    with pytest.raises(CheckpointError, match=r"<BytesIO>: it cannot be read: I/O operation on closed file"):
        weights.read(closed)
    broken = gzip.open(io.BytesIO(gzip.compress(raw)[:-20]))
    with pytest.raises(CheckpointError, match=r"it cannot be read: .*end-of-stream"):
        weights.read(broken)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("w.npz", raw)
    damaged = bytearray(packed.getvalue())
    damaged[100] ^= 1
    with pytest.raises(CheckpointError, match=re.escape("w.npz: it cannot be read: Bad CRC-32")):
        weights.read(zipfile.ZipFile(io.BytesIO(damaged)).open("w.npz"))
