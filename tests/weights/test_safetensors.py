"""safetensors: files of its own library, bit for bit, and a violation of each rule of the format."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.numpy import save as save_numpy
from safetensors.torch import save as save_torch

from npresnet import weights
from tests.weights.test_torch_zip import example_state, same

SHAREABLE = ("sliced", "transposed", "last", "shared 1", "shared 2", "expanded", "parameter")


def test_every_dtype(folder):
    state = {name: t.contiguous() for name, t in example_state().items() if name not in SHAREABLE}
    checkpoint = folder.read(save_torch(state, metadata={"format": "pt"}))
    assert checkpoint.container == "safetensors"
    assert checkpoint.metadata == {"format": "pt"}
    same(checkpoint, {name: state[name] for name in checkpoint.tensors})
    assert set(checkpoint.tensors) == set(state)


def test_prefixes_are_stripped_here_too(folder):
    raw = save_numpy({"module.conv1.weight": np.ones(3, "f4"), "module.fc.bias": np.ones(2, "f4")})
    checkpoint = folder.read(raw)
    assert (sorted(checkpoint.tensors), checkpoint.prefix) == (["conv1.weight", "fc.bias"], "module.")


@pytest.mark.parametrize("padding", range(9))
def test_headers_of_any_length(folder, padding):
    """Data may start at any byte: aligned tensors are mapped, others copied."""
    found = folder.read(built({"w": entry()}, FLOATS, spaces=padding)).tensors["w"]
    assert found.tolist() == [0, 1, 2, 3]
    assert found.flags.aligned


@pytest.mark.parametrize(
    "make", [lambda: torch.ones(2, dtype=torch.complex64), lambda: torch.ones(2).to(torch.float8_e5m2)]
)
def test_dtypes_that_numpy_lacks(folder, make):
    folder.refuses(save_torch({"w": make()}), r"w: a (complex64|float8_e5m2) tensor.*float\(\)")


FLOATS = np.arange(4, dtype="<f4").tobytes()


def entry(dtype="F32", shape=(4,), offsets=(0, 16)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def built(header, data: bytes = FLOATS, *, spaces: int = 0, length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    raw += b" " * spaces
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def two(first, second) -> dict:
    return {"a": entry(shape=(first[1] // 4 - first[0] // 4,), offsets=first),
            "b": entry(shape=(second[1] // 4 - second[0] // 4,), offsets=second)}  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (built({"w": entry()}, length=200_000_000), "100 MB"),
        (built({"w": entry()}, length=5_000), "is truncated"),
        (built({"w": entry()}, FLOATS[:-1]), "outside"),
        (built({"w": entry()}, FLOATS + b"1234"), "belong to no tensor"),
        (built({"w": entry(offsets=(0, 12), shape=(3,))}), "belong to no tensor"),
        (built({"w": entry(offsets=(4, 16), shape=(3,))}), "follows a gap"),
        (built(two((0, 8), (4, 16))), "overlaps"),
        (built(two((0, 4), (8, 16))), "follows a gap"),
        (built({"w": entry(offsets=(0, 12))}), "contradicts itself|outside"),
        (built({"w": entry(shape=(5,))}), "outside its storage|inconsistent"),
        (built({"w": entry(shape=(3,))}), "is inconsistent"),
        (built({"w": entry(dtype="F64")}), "outside its storage|inconsistent"),
        (built({"w": entry(shape=(1 << 62, 1 << 62))}), "view is invalid|outside"),
        (built({"w": entry(shape=(-4,))}), "shape is not a list of integers"),
        (built({"w": entry(shape=(4.0,))}), "shape is not a list of integers"),
        (built({"w": entry(shape=(True,))}), "shape is not a list of integers"),
        (built({"w": entry(offsets=(16, 0))}), "outside"),
        (built({"w": entry(offsets=(0, 8, 16))}), "expected 2 data_offsets, got 3"),
        (built({"w": entry(dtype="F31")}), "F31"),
        (built({"w": entry(dtype=7)}), "dtype"),
        (built({"w": {}}), "shape"),
        (built({"w": [1]}), "not a JSON object"),
        (built({"w": entry(), "__metadata__": {"a": 1}}), "__metadata__"),
        (built({"w": entry(), "__metadata__": []}), "__metadata__"),
        (
            built(b'{"w":' + json.dumps(entry()).encode() + b',"w":' + json.dumps(entry()).encode() + b"}"),
            "has the name w twice",
        ),
        (built(b'{"w":' + b"[" * 100_000 + b"}"), "not valid JSON"),
        (built(b'{"w":' + b"[" * 70 + b"]" * 70 + b"}"), "nests more than 64 deep"),
        (built(b'{"w":{"dtype":"F32","shape":[' + b"1," * 40 + b'1],"data_offsets":[0,4]}}', bytes(4)), "41 axes"),
        (built(b'{"w":' + b"9" * 1_000_000 + b"}"), "1,000,000 digits"),
        (built(b'{"w": NaN}'), "NaN"),
        (built(b'{"w": }'), "not valid JSON"),
        (built(b'{"\xff": 1}'), "not valid JSON"),
        (built(b'{"w":1} x'), "not valid JSON"),
        (built({}, b""), "no tensors"),
    ],
)
def test_broken_rules(folder, raw, match):
    folder.refuses(raw, match)


def test_zero_sized_tensors(folder):
    checkpoint = folder.read(built({"w": entry(), "z": entry(shape=(0, 3), offsets=(16, 16))}))
    assert checkpoint.tensors["z"].shape == (0, 3)


def test_inspect_lists_unsupported_tensors(folder):
    path = folder.write(save_torch({"w": torch.ones(2, 3, dtype=torch.complex64)}))
    (info,) = weights.inspect(path).tensors
    assert (info.name, info.shape, info.dtype, info.size_bytes) == ("w", (2, 3), "complex64", 48)
