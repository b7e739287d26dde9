from __future__ import annotations

import numpy as np
import pytest

import npresnet
from npresnet import passes
from npresnet.teach import diff

pytest.importorskip("torch", reason="torch is not installed")


def noise(size: int = 40) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, 3, size, size), dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {}),
        ("resnet50", {"replace_stride_with_dilation": [False, True, True]}),
        ("resnext50_32x4d", {"num_classes": 7}),
        ("wide_resnet50_2", {"num_classes": 3}),
    ],
)
def test_every_step_agrees_with_torchvision(name, options):
    with npresnet.build(name, **options) as model:
        found = diff.diff(model, noise())
        steps = len(model.executable().network)
    assert found.peer == f"torchvision's {name}"
    assert len(found.layers) == steps - 1  # none but flatten, which is no module, was left out
    assert found.first is None, diff.verdict(found)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cifar_resnet20", {}),
        ("resnet50", {"stride_on": "1x1"}),
        ("resnet18", {"max_pool": False}),
        ("resnet18", {"stem_stride": 1}),
        ("resnet18", {"bn_eps": 1e-3}),
    ],
)
def test_networks_that_torchvision_does_not_have(name, options):
    with npresnet.build(name, **options) as model:
        found = diff.diff(model, noise(32))
    assert found.peer.startswith("PyTorch ")
    assert (found.first, len(found.layers) > 20) == (None, True)


def test_the_first_step_that_diverges_is_the_one_with_the_fault(monkeypatch):
    """BatchNorm's eps forgotten in one layer, on npresnet's side alone."""
    real = passes.optimize

    def faulty(network):
        nodes = [node.evolve(attrs={"eps": 1e-3}) if node.name == "layer2.0.bn1" else node for node in network.nodes]
        return real(type(network)(tuple(nodes), network.outputs))

    monkeypatch.setattr(passes, "optimize", faulty)
    with npresnet.build("resnet18") as model:
        found = diff.diff(model, noise())
    assert found.first.name == "layer2.0.conv1"
    assert (found.first.module, found.first.diverges) == ("layer2.0.relu.1", True)
    assert "layer2.0.conv1 is the first step that diverges" in diff.verdict(found)
    assert "DIVERGES" in diff.table(found).to_text()


def test_nan_diverges():
    layer = diff._compare("a", "b", np.full((1, 2), np.nan, np.float32), np.ones((1, 2)), np.ones((1, 2)))
    assert layer.diverges


def test_without_pytorch(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with npresnet.build("cifar_resnet20") as model, pytest.raises(npresnet.DeviceError, match="pip install torch"):
        diff.diff(model, noise(32))
