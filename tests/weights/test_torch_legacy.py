"""PyTorch's protocol 1001: files written by torch if it still can, by hand otherwise."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch

from npresnet import weights
from tests.weights.fixtures import files
from tests.weights.fixtures import pickles as p
from tests.weights.test_torch_zip import FLOATS, bits, example_state, same, saved


def legacy_state() -> dict[str, torch.Tensor]:
    """Old files have no 16-bit and wider unsigned types."""
    return {name: tensor for name, tensor in example_state().items() if "uint" not in name or "uint8" in name}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_dtype_view_and_protocol(folder, protocol):
    raw = saved(legacy_state(), _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    checkpoint = folder.read(raw)
    assert checkpoint.container == "torch legacy"
    same(checkpoint, legacy_state())


@pytest.mark.parametrize("zipped", [True, False])
def test_persistent_ids_as_text(folder, zipped):
    """Pickle protocol 0 writes their repr; PyTorch can write such files but not read them."""
    state = {name: tensor for name, tensor in legacy_state().items() if tensor.dtype != torch.bfloat16}
    raw = saved(state, _use_new_zipfile_serialization=zipped, pickle_protocol=0)
    same(folder.read(raw), state)


@pytest.mark.parametrize(
    "text", ["", "storage", "('storage', <class 'os.FloatStorage'>, '0', 'cpu', 4)", "('storage', 1, '0', 'cpu', 4)"]
)
def test_other_strings_are_not_persistent_ids(folder, text):
    stored = f"P{text}\n".encode()
    raw = files.torch_legacy(p.pickled(p.mapping(w=p.tensor(stored, (4,), (1,)))), {"0": (4, bytes(16))})
    folder.refuses(raw, "persistent id|class")


def test_untyped_storages_of_new_dtypes(folder):
    state = {"u": torch.arange(5, dtype=torch.int32).to(torch.uint16)}
    same(folder.read(saved(state, _use_new_zipfile_serialization=False)), state)


@pytest.mark.parametrize("depth", [20, 44])
def test_real_weights_bit_for_bit(cifar_checkpoints, depth):
    path = cifar_checkpoints[depth]
    checkpoint = weights.read(path)
    expected = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    assert (checkpoint.wrapper, checkpoint.prefix) == ("state_dict", "module.")
    same(checkpoint, {name.removeprefix("module."): tensor for name, tensor in expected.items()})


def one_tensor(count=12, raw=None, *, stored=None, order="<", keys=None, shape=(3, 4), offset=0) -> bytes:
    """A protocol 1001 file with one tensor of 12 float32."""
    pickle = p.pickled(
        p.mapping(w=p.tensor(stored or p.storage("0", 12, "FloatStorage", p.NONE), shape, (4, 1), offset))
    )
    raw = FLOATS.astype(f"{order}f4").tobytes() if raw is None else raw
    return files.torch_legacy(pickle, {"0": (count, raw)}, order=order, keys=keys)


@pytest.mark.parametrize("order", ["<", ">"])
def test_byte_orders(folder, order):
    checkpoint = folder.read(one_tensor(order=order))
    assert np.array_equal(checkpoint.tensors["w"], FLOATS.reshape(3, 4))
    assert ("the file is big-endian" in checkpoint.notes) == (order == ">")


def test_big_endian_machines_write_little_endian_numbers(folder):
    """PyTorch on s390x: sys_info says big-endian, but counts and elements were swapped when written."""
    raw = one_tensor().replace(b"\x88", b"\x89", 1)
    assert np.array_equal(folder.read(raw).tensors["w"], FLOATS.reshape(3, 4))


def test_a_part_of_a_storage(folder):
    view = p.sequence(p.text("1"), p.number(4), p.number(8))
    stored = p.storage("0", 12, "FloatStorage", view)
    assert np.array_equal(folder.read(one_tensor(stored=stored, shape=(2, 4))).tensors["w"], FLOATS[4:].reshape(2, 4))
    folder.refuses(one_tensor(stored=stored), "outside its storage")


@pytest.mark.parametrize(("offset", "numel"), [(4, 9), (-1, 2), (0, -1), (1 << 70, 1)])
def test_a_part_outside_its_storage(folder, offset, numel):
    view = p.sequence(p.text("1"), p.number(offset), p.number(numel))
    folder.refuses(one_tensor(stored=p.storage("0", 12, "FloatStorage", view)), "outside storage 0")


@pytest.mark.parametrize("view", [p.number(1), p.sequence(), p.sequence(p.NONE, p.NONE, p.NONE)])
def test_an_invalid_description_of_a_part(folder, view):
    folder.refuses(one_tensor(stored=p.storage("0", 12, "FloatStorage", view)))


def test_every_storage_has_its_own_count(folder):
    """The 8 bytes before each storage; without them all data is shifted (burn #4896, #4897)."""
    state = {str(n): torch.full((n,), float(n)) for n in range(1, 40)}
    same(folder.read(saved(state, _use_new_zipfile_serialization=False)), state)


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (one_tensor(count=11), "a different length"),
        (one_tensor(count=1 << 60), "a different length"),
        (one_tensor(raw=bytes(47)), "is truncated"),
        (one_tensor()[:-1], "is truncated"),
        (one_tensor(keys=[]), "not those that the object refers to"),
        (one_tensor(keys=["0", "0"]), "not those that the object refers to"),
        (one_tensor(keys=["1"]), "not those that the object refers to"),
        (one_tensor(offset=1), "outside its storage"),
    ],
)
def test_inconsistent_storages(folder, raw, match):
    folder.refuses(raw, match)


@pytest.mark.parametrize("protocol", [1000, 1002])
def test_other_protocols(folder, protocol):
    folder.refuses(one_tensor().replace(struct.pack("<H", 1001), struct.pack("<H", protocol), 1), "1001")


def test_truncated_anywhere(folder, cifar_checkpoints):
    raw = cifar_checkpoints[20].read_bytes()
    for size_bytes in [10, 13, 14, 15, 40, 100, 1000, 5000, 20_000, len(raw) // 2, len(raw) - 1]:
        folder.refuses(raw[:size_bytes])


def test_pickled_modules(folder):
    raw = saved({"net": torch.nn.Linear(2, 2)}, _use_new_zipfile_serialization=False)
    folder.refuses(raw, r"pickled objects.*net \(torch.nn.modules.linear.Linear\)")
    folder.refuses(saved(torch.nn.Linear(2, 2), _use_new_zipfile_serialization=False), "a pickled object")


def test_module_classes_with_source_stay_inert(folder):
    """Old torch saved a class as the persistent id ("module", class, file, source)."""
    source = (
        p.sequence(p.text("module"), p.named("npresnet_trap", "Net"), p.text("net.py"), p.text("class Net: ...")) + b"Q"
    )
    whole = source + p.EMPTY_TUPLE + p.NEWOBJ + p.mapping(_modules=p.EMPTY_DICT) + p.BUILD
    folder.refuses(files.torch_legacy(p.pickled(whole), {}), r"pickled object \(npresnet_trap.Net\)")


def test_pickles_without_torch_save(folder):
    """pickle.dump(state_dict): each storage is a protocol 1001 file inside the pickle."""
    import pickle

    state = {"a": torch.arange(6.0).reshape(2, 3).t(), "b": torch.ones(2, dtype=torch.bfloat16)}
    same(folder.read(pickle.dumps(state)), state)
    nested = p.call(p.named("torch.storage", "_load_from_bytes"), p.raw_bytes(b"\x80\x02N."))
    folder.refuses(p.pickled(p.mapping(w=p.tensor(nested, (1,), (1,))), 3), "no storage")
    assert bits(folder.read(pickle.dumps({"model": state}, 5)).tensors["b"]) == bits(np.ones(2, "f4"))
