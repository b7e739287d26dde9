"""The format is detected from the bytes; common files that are not weights are named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from npresnet import weights
from tests.weights.fixtures import files
from tests.weights.fixtures import pickles as p
from tests.weights.test_torch_zip import saved


@pytest.mark.parametrize("name", ["w.pth", "w.npz", "w.safetensors", "w", "w.pth.tar", "w.ckpt", "w.jpg"])
def test_the_name_does_not_matter(folder, name):
    import pickle

    import torch

    state = {"w": torch.ones(2)}
    for raw, container in (
        (saved(state), "torch zip"),
        (saved(state, _use_new_zipfile_serialization=False), "torch legacy"),
        (pickle.dumps({"w": np.ones(2)}), "pickle"),
    ):
        assert weights.read(folder.write(raw, name)).container == container


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"\n\n  <html><body>404</body>", "HTML page"),
        (b"\xef\xbb\xbf<!doctype html>", "HTML page"),
        (b"<HTML>", "HTML page"),
        (b'<?xml version="1.0"?><Error>', "HTML page"),
        (b"<Error><Code>AccessDenied</Code></Error>", "HTML page"),
        (b"\x08\x0a\x12\x07pytorch\x1a\x062.13.0", "ONNX"),
        (b"\x08\x08\x3a\xd5\x01\x0a\x10", "ONNX"),
        (b"\x08\x99\x12", "unknown file format"),
        (files.zipped({"net/archive_format": b"pt2", "net/data/weights/weight_0": b"1234"}), "torch.export"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 46830571\n", "git lfs pull"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07", "rar"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 file is truncated"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
        (b"\x93NUMPY\x01\x00v\x00", "single array"),
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (b"\xff\xd8\xff\xe0", "picture"),
        (b"PK\x05\x06" + bytes(18), "empty zip"),
        (json.dumps({"message": "not found"}).encode(), "JSON"),
        (b"just some text", "unknown file format"),
        (b"class Net(nn.Module):\n    pass\n", "unknown file format"),
        (b"(not a pickle", "unknown file format"),
        (b"\x00", "unknown file format"),
        (b"\x80", "unknown file format"),
        (b"PK\x03\x04", "is truncated"),
        (bytes(1000), "unknown file format"),
        (files.zipped({"word/document.xml": b"<doc>"}), "neither data.pkl"),
        (files.zipped({"model.json": b"{}"}), "model.json"),
    ],
)
def test_files_that_are_not_weights(folder, raw, match):
    folder.refuses(raw, match)


def test_a_safetensors_header_may_begin_like_anything(folder):
    """A header of 35,615 bytes begins like gzip, one of 8,252 like HTML's `<`."""
    for length in (0x8B1F, 0x203C, 0x7B, 0x4B50):
        header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode().ljust(length)
        assert list(folder.read(length.to_bytes(8, "little") + header + bytes(4)).tensors) == ["w"]


def test_pickles_of_every_protocol(folder):
    import pickle

    for protocol in range(6):
        assert list(folder.read(pickle.dumps({"w": np.ones(2)}, protocol)).tensors) == ["w"], protocol


def test_the_magic_number_in_every_protocol(folder):
    """Protocol 1001 saved with pickle protocols 0 and 1 has no binary magic number."""
    raw = files.torch_legacy(
        p.pickled(p.mapping(w=p.tensor(p.storage("0", 1, "FloatStorage", p.NONE), (1,), (1,)))), {"0": (1, bytes(4))}
    )
    magic = p.pickled(files.MAGIC)
    assert raw.startswith(magic)
    for text in (b"L119547037146038801333356L\n.", magic[:1] + b"\x04\x95\x0c" + bytes(7) + magic[2:]):
        assert folder.read(text + raw[len(magic) :]).container == "torch legacy"
