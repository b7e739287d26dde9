"""Google's BiT files against timm's networks of the same numbers, through timm's own names."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest

import npresnet
from npresnet import ops
from tests.support.torchvision_import import import_torchvision

torch = pytest.importorskip("torch")
import_torchvision()
StdConv2d = pytest.importorskip("timm.layers").StdConv2d
resnetv2 = pytest.importorskip("timm.models.resnetv2")
CONV = "standardized_conv2d"


def google(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """timm's names and layout -> Google's."""
    letters = {"1": "a", "2": "b", "3": "c"}
    found = {}
    for name, array in state.items():
        block = re.fullmatch(r"stages\.(\d)\.blocks\.(\d+)\.(conv|norm|downsample\.conv)([123])?\.(weight|bias)", name)
        kind = "kernel" if array.ndim == 4 else "bias"
        if block:
            stage, unit, part, number, role = block.groups()
            inner = f"a/proj/{CONV}/kernel"
            if part != "downsample.conv":
                inner = f"{letters[number]}/" + (f"{CONV}/kernel" if part == "conv" else f"group_norm/{role}")
            new = f"block{int(stage) + 1}/unit{int(unit) + 1:02d}/{inner}"
        else:
            module, _, role = name.rpartition(".")
            new = {"stem.conv": f"root_block/{CONV}/kernel", "norm": f"group_norm/{role}"}.get(
                module, f"head/conv2d/{kind}"
            )
        new = new.replace("group_norm/weight", "group_norm/gamma").replace("group_norm/bias", "group_norm/beta")
        found[f"resnet/{new}"] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    assert len(found) == len(state)
    return found


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = resnetv2.ResNetV2(
        [2, 1, 2, 1],
        channels=[128, 128, 256, 256],
        stem_chs=32,
        num_classes=5,
        stem_type="fixed",
        conv_layer=partial(StdConv2d, eps=1e-10),  # that of the authors' code
    )
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter += 0.3 * torch.randn_like(parameter)
        net.head.fc.weight.normal_(std=0.1)
    return net.eval()


def test_the_numbers_of_timm(tmp_path, net):
    state = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    np.savez(tmp_path / "BiT-M-R50x1.npz", **google(state))
    model = npresnet.load(tmp_path / "BiT-M-R50x1.npz")
    assert model.config["home"].value == "Google BiT"
    assert model.config["weight_standardisation"].value is True
    x = np.random.default_rng(1).normal(size=(2, 3, 64, 50)).astype(np.float32)
    with torch.no_grad():
        expected = net.double()(torch.from_numpy(x.astype(np.float64))).numpy()
        net.float()
    np.testing.assert_allclose(ops.run(model.network, x.astype(np.float64))["logits"], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(model(x), expected, atol=2e-5 * np.abs(expected).max())
    model.save(tmp_path / "ours.npz")
    assert np.array_equal(npresnet.load(tmp_path / "ours.npz")(x), model(x))
