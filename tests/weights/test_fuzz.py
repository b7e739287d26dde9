"""Files of every container, randomly damaged: reading returns tensors or raises CheckpointError, quickly.

`parsing` in checkpoint.py converts any exception into a CheckpointError; the chained causes are checked here so that it
cannot hide bugs.
"""

from __future__ import annotations

import argparse
import io
import pickle
import random
import struct
import time

import numpy as np
import pytest
import torch
from safetensors.numpy import save as save_safetensors

from npresnet import weights
from npresnet.errors import CheckpointError
from npresnet.weights.budget import Budget
from npresnet.weights.torch_globals import handlers
from npresnet.weights.unpickle import ACTIONS
from tests.weights import test_torch_tar
from tests.weights.test_npz import npz
from tests.weights.test_torch_zip import saved

MISTAKES = (TypeError, AttributeError, NameError, AssertionError, NotImplementedError, UnboundLocalError)
ROUNDS = 250


def net() -> dict[str, torch.Tensor]:
    state = {"conv1.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "bn1.running_mean": torch.ones(2)}
    return state | {"bn1.num_batches_tracked": torch.tensor(5), "half": torch.ones(3, dtype=torch.bfloat16)}


def facts() -> dict[str, object]:
    """Several state dicts at different depths, and what a training tells about them."""
    args = argparse.Namespace(arch="resnet26d", num_classes=2, classes={"ants": 0, "bees": 1})
    told = {"args": args, "meta": {"CLASSES": ("ants", "bees")}, "labels": ["ants", "bees"], "optimizer": {"state": {}}}
    return {"model": {"state_dict": net(), "epoch": 3}, "model_ema": {"state_dict": net()}, **told}


def our_npz(tmp_path) -> bytes:
    weights.write_npz(tmp_path / "ours.npz", {name: np.ones((2, 3), "f4") for name in "abc"}, {"arch": "resnet18"})
    return (tmp_path / "ours.npz").read_bytes()


ARRAYS = {"conv1.weight": np.arange(6, dtype="f4").reshape(2, 3), "n": np.array(3)}
CONTAINERS = {
    "torch zip": lambda _: saved({"state_dict": net(), "epoch": 3}),
    "torch zip, nested, with facts": lambda _: saved(facts()),
    "torch zip, protocol 4": lambda _: saved(net(), pickle_protocol=4),
    "torch legacy": lambda _: saved({"state_dict": net()}, _use_new_zipfile_serialization=False),
    "torch tar": lambda _: test_torch_tar.example(),
    "torch tar, big-endian": lambda _: test_torch_tar.example(">"),
    "safetensors": lambda _: save_safetensors(ARRAYS),
    "our npz": our_npz,
    "npz": lambda _: npz(**ARRAYS),
    "npz, compressed": lambda _: npz(np.savez_compressed, **ARRAYS),
    "pickle 0": lambda _: pickle.dumps(ARRAYS, 0),
    "pickle 2": lambda _: pickle.dumps(ARRAYS, 2),
    "pickle 5": lambda _: pickle.dumps(ARRAYS, 5),
    "pickle of tensors": lambda _: pickle.dumps(net()),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_damaged_files(folder, container):
    raw = CONTAINERS[container](folder.path)
    path = folder.write(raw)
    assert weights.read_state_dict(path), "valid before it is damaged"
    rng = random.Random(container)
    refused = 0
    start = time.perf_counter()
    for _ in range(ROUNDS):
        path.write_bytes(damaged(raw, rng))
        for function in (weights.read_state_dict, lambda p: str(weights.inspect(p))):
            refused += not survives(function, path)
    assert time.perf_counter() - start < 60
    assert 0 < refused < 2 * ROUNDS, "some damage is detected, some is harmless"


def survives(function, path) -> bool:
    """True if the file was read, False if it was refused; anything else fails the test."""
    try:
        function(path)
    except CheckpointError as error:
        refusal = error
    else:
        return True
    assert not isinstance(refusal.__cause__, MISTAKES), repr(refusal.__cause__)
    assert str(refusal).startswith(str(path))
    return False


def damaged(raw: bytes, rng: random.Random) -> bytes:
    data = bytearray(raw)
    kind = rng.randrange(6)
    at = rng.randrange(len(data))
    if kind == 0:  # truncate
        del data[at:]
    elif kind == 1:  # remove a range
        del data[at : at + rng.randrange(1, 40)]
    elif kind == 2:  # repeat a range
        data[at:at] = data[at : at + rng.randrange(1, 40)]
    elif kind == 3:  # make a number extreme
        extreme = rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1])
        data[at : at + 8] = struct.pack("<Q", extreme)
    else:  # change some bytes, mostly in headers
        for _ in range(rng.choice([1, 1, 2, 5])):
            data[rng.choice([at, rng.randrange(len(data))]) % len(data)] = rng.randrange(256)
    return bytes(data) or b"x"


ARGUMENTS = [
    b"K\x01",
    b"X\x01\x00\x00\x00a",
    b"C\x04abcd",
    b"h\x00",
    b"(",
    b"t",
    b"(t",
    b")",
    b"}",
    b"]",
    b"R",
    b"b",
    b"u",
]
ARGUMENTS += [b"ctorch\nFloatStorage\n", b"cnumpy\nndarray\n", b"ctorch.storage\n_load_from_bytes\n"]


def test_pickles_made_of_random_opcodes(folder):
    """Opcodes of the table in random order, with plausible arguments."""
    pieces = [bytes([code]) for code, action in enumerate(ACTIONS) if action is not None]
    pieces += [*ARGUMENTS, *(f"c{module}\n{name}\n".encode() for module, name in handlers([], Budget()))] * 3
    rng = random.Random(0)
    path = folder.path / "w.pkl"
    for _ in range(3000):
        program = b"".join(rng.choices(pieces, k=rng.randrange(1, 40)))
        path.write_bytes(b"\x80\x02}X\x01\x00\x00\x00w" + program + b"s.")
        survives(weights.read_state_dict, path)
        survives(lambda p: str(weights.inspect(p)), path)


def test_truncations_of_a_real_file(folder, cifar_checkpoints):
    raw = cifar_checkpoints[20].read_bytes()
    path = folder.path / "w.th"
    rng = random.Random(1)
    for _ in range(40):
        path.write_bytes(raw[: rng.randrange(1, len(raw))])
        assert not survives(weights.read_state_dict, path)


def test_damaged_changes_its_input(folder):
    """`damaged` changes every container."""
    raw = io.BytesIO(saved(net())).getvalue()
    rng = random.Random(2)
    assert all(damaged(raw, rng) != raw for _ in range(20))
