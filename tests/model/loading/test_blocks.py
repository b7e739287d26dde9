"""Networks of special blocks through the public face: load, save, features, embed, cam, summary."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import npresnet
from npresnet.errors import ArchitectureError
from tests.support.block_nets import NETS, SIZE
from tests.support.reference import run_double
from tests.support.torch_blocks import settled

torch = pytest.importorskip("torch", reason="torch is not installed")

WIDTHS = {"sk, split": 16, "cbam": 12, "byob, clip": 128, "clip": 6, "csp": 32}
PHOTO = np.random.default_rng(1).integers(0, 256, (70, 80, 3), np.uint8)


@pytest.fixture(scope="module", params=WIDTHS)
def loaded(request, tmp_path_factory):
    """(name, PyTorch's module, the model loaded from its state_dict, what was said)."""
    torch.manual_seed(1)
    module, _ = settled(NETS[request.param][0]())
    path = tmp_path_factory.mktemp("blocks") / "net.pth"
    torch.save(module.state_dict(), path)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = npresnet.load(path, preprocess={"resize": SIZE, "crop": SIZE}, threads=1)
    with model:
        yield request.param, module, model, [warning.category for warning in said]


def test_loads_and_saves(loaded, tmp_path):
    name, module, model, said = loaded
    assert said == ([npresnet.AmbiguityWarning] if name == "byob, clip" else [])
    x = np.random.default_rng(2).standard_normal((2, 3, SIZE, SIZE)).astype(np.float32)
    found, expected = model(x), run_double(module, x)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
    model.save(tmp_path / "net.npz")
    settling = {"activation": "relu", "stem_pool": "avg2"} if said else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with npresnet.load(tmp_path / "net.npz", threads=1, **settling) as again:
            np.testing.assert_array_equal(again(x), found)


def test_embedding_and_map(loaded):
    name, module, model, _ = loaded
    assert model.embed(PHOTO).shape == (WIDTHS[name],)
    if "clip" in name:
        with pytest.raises(ArchitectureError, match="exact only if"):
            model.cam(PHOTO)
    else:
        assert model.cam(PHOTO).shape == (SIZE, SIZE)
    assert f"{sum(p.numel() for p in module.parameters()) / 1e6:.2f} M parameters" in repr(model)
    assert "Total params" in model.summary((3, SIZE, SIZE))
