"""PaddlePaddle's `.pdparams`: pickles of arrays with a table of parameters' names, or of (name, array) pairs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import npresnet
from tests.arch.homes import layouts


class Variable:
    """As paddle.save reduces a tensor that stands deeper than in the state dict itself: to tuple((name, array))."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __reduce__(self):
        return tuple, (("batch_norm2d_0.w_0", self.array),)


def state_dict(theirs: dict[str, np.ndarray]) -> dict:
    return {**theirs, "StructuredToParameterName@@": {name: f"parameter_{i}" for i, name in enumerate(theirs)}}


FILES = {
    "a state dict, protocol 4": lambda theirs: pickle.dumps(state_dict(theirs), 4),
    "a state dict, protocol 2": lambda theirs: pickle.dumps(state_dict(theirs), 2),
    "a checkpoint": lambda theirs: pickle.dumps(
        {"epoch": 3, "state_dict": {name: Variable(array) for name, array in theirs.items()}}, 4
    ),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("layout", [layouts.paddle_vision, layouts.paddleclas_old, layouts.paddleclas])
def test_pdparams(tmp_path, recwarn, kind, layout):
    ours = layouts.bottleneck()
    ours["fc.weight"] = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)  # square
    ours["fc.bias"] = np.zeros(256, np.float32)
    np.savez(tmp_path / "ours.npz", **ours)
    (tmp_path / "resnet.pdparams").write_bytes(FILES[kind](layout(ours)))
    model = npresnet.load(tmp_path / "resnet.pdparams")
    assert not recwarn.list
    assert model.config["home"].value == "PaddlePaddle"
    x = np.random.default_rng(1).normal(size=(2, 3, 40, 50)).astype(np.float32)
    assert np.array_equal(model(x), npresnet.load(tmp_path / "ours.npz")(x))
