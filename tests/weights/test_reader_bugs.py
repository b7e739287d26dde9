"""Bugs of other torch-free checkpoint readers, one test each, with the bug reports."""

from __future__ import annotations

import collections
import io
import zipfile

import numpy as np
import pytest
import torch

from npresnet import weights
from tests.weights.fixtures import files
from tests.weights.fixtures import pickles as p
from tests.weights.test_torch_zip import same, saved

BOTH = pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "legacy"])


@BOTH
def test_strides_ignored_so_weights_silently_scrambled(folder, options):
    """burn #5383, #5392"""
    weight = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    state = {"last": weight.to(memory_format=torch.channels_last), "t": weight.permute(3, 1, 0, 2)}
    same(folder.read(saved(state, **options)), state)


def test_eight_bytes_before_each_legacy_storage_forgotten(folder):
    """burn #4896, #4897: a count precedes each storage, whose size may differ from the tensor's"""
    base = torch.arange(100.0)
    state = {"slice": base[10:12], "other": torch.ones(3), "whole": base}
    same(folder.read(saved(state, _use_new_zipfile_serialization=False)), state)


def test_memo_bombs(folder):
    """burn #4965, #5120: a few bytes that expand to 10^100 objects"""
    raw = b"\x80\x02]q\x00"
    for level in range(100):
        raw += b"](" + (b"h" + bytes([level])) * 10 + b"eq" + bytes([level + 1])
    folder.refuses(raw + b".", "list of 10")
    path = folder.write(b"\x80\x02(" + raw[2:] + b"1}X\x01\x00\x00\x00wh" + bytes([100]) + b"s.")
    assert weights.inspect(path).others == {"w": "list of 10"}


@pytest.mark.parametrize("size", [1 << 34, 1 << 44])
def test_zero_strides_out_of_memory(folder, size):
    """burn #5506: one number repeated to a terabyte"""
    pickle = p.pickled(p.mapping(w=p.tensor(p.storage("0", 1), (size,), (0,))))
    folder.refuses(files.torch_zip(pickle, {"0": bytes(4)}), "repeats stored elements too often")


def test_zeros_substituted_for_missing_data(folder):
    """burn #5412"""
    with zipfile.ZipFile(io.BytesIO(saved({"a": torch.ones(3), "b": torch.ones(4)}))) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    del members["archive/data/1"]
    folder.refuses(files.zipped(members), "data/1 is missing")


@BOTH
def test_integer_dict_keys(folder, options):
    """burn #3978: optimizers number their parameters"""
    value = {"state_dict": {"w": torch.ones(2)}, "optimizer": {"state": {0: {"step": 1}, 1: {"step": torch.ones(1)}}}}
    assert list(folder.read(saved(value, **options)).tensors) == ["w"]
    assert list(folder.read(saved({0: torch.ones(1), 1: torch.ones(2)}, **options)).tensors) == ["0", "1"]


@BOTH
def test_slices_of_a_shared_storage(folder, options):
    """tinygrad #14771"""
    base = torch.arange(24.0)
    state = {f"w{n}": base[n * 6 : n * 6 + 6].reshape(2, 3) for n in range(4)}
    same(folder.read(saved(state, **options)), state)


@BOTH
@pytest.mark.parametrize("counter", [torch.tensor(7), torch.tensor([7]), None], ids=["0-d", "1-d", "absent"])
def test_num_batches_tracked_of_any_shape(folder, options, counter):
    """tinygrad #13538"""
    state = {"bn1.weight": torch.ones(3)} | ({} if counter is None else {"bn1.num_batches_tracked": counter})
    same(folder.read(saved(state, **options)), state)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float64, torch.int16, torch.uint8, torch.int8, torch.bool, torch.int32])
def test_storages_of_rare_dtypes(folder, options, dtype):
    """tinygrad, llama.cpp #6779, chaiNNer #1813: Double, Short, Byte"""
    state = {"w": torch.tensor([0, 1, 1, 0, 1]).to(dtype)}
    same(folder.read(saved(state, **options)), state)


def test_deflated_archives(folder):
    """netron #546"""
    with zipfile.ZipFile(io.BytesIO(saved({"w": torch.ones(1000)}))) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    assert folder.read(files.zipped(members, method=zipfile.ZIP_DEFLATED)).tensors["w"].sum() == 1000


def test_truncated_files_are_called_truncated(folder):
    """candle #1348, #2666: "could not find central directory end" does not tell the user what is wrong"""
    raw = saved({"w": torch.ones(1000)})
    assert "Download or copy it again" in folder.refuses(raw[: len(raw) // 2], "is truncated")


@pytest.mark.parametrize("protocol", [4, 5])
def test_empty_sets(folder, protocol):
    """fickling #6: EMPTY_SET, ADDITEMS, FROZENSET"""
    import pickle

    value = {"state_dict": {"w": np.ones(2)}, "empty": set(), "some": {1, "a"}, "frozen": frozenset({2})}
    assert list(folder.read(pickle.dumps(value, protocol)).tensors) == ["w"]


def test_metadata_of_a_state_dict(folder):
    """state_dict() carries _metadata through BUILD on an OrderedDict"""
    state = collections.OrderedDict(w=torch.ones(2))
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    assert list(folder.read(saved({"state_dict": state})).tensors) == ["w"]


@BOTH
def test_python_2_bytes_as_keys(folder, options):
    """Python 2 checkpoints saved again by Python 3"""
    assert list(folder.read(saved({b"conv1.weight": torch.ones(1)}, **options)).tensors) == ["conv1.weight"]


def test_locations_do_not_matter(folder):
    """Weights saved on a GPU: the location cuda:0 does not require one"""
    raw = saved({"w": torch.arange(3.0)}).replace(b"X\x03\x00\x00\x00cpu", b"X\x03\x00\x00\x00xla")
    assert folder.read(raw).tensors["w"].tolist() == [0, 1, 2]
