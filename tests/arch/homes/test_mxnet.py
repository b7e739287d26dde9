"""Gluon's ResNets against the model zoo's formula in PyTorch, whose layers are made and named as Gluon does it."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from npresnet import ops
from npresnet.errors import ArchitectureError
from tests.arch.homes import layouts
from tests.weights.test_mxnet import params

torch = pytest.importorskip("torch")
F = torch.nn.functional
DEPTHS = (2, 1, 2, 1)


class Gluon:
    """resnet_v1: layers counted per scope, and named by their place among the modules."""

    def __init__(self, *, bottleneck: bool):
        self.bottleneck = bottleneck
        self.rng = np.random.default_rng(0)
        self.by_module: dict[str, np.ndarray] = {}
        self.by_counter: dict[str, np.ndarray] = {}
        self.counts: dict[tuple[str, str], int] = {}

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.counts.clear()
        y = self.conv("resnetv10_", "features.0", torch.from_numpy(x.astype(np.float64)), 16, 7, 2, 3)
        y = F.max_pool2d(F.relu(self.norm("resnetv10_", "features.1", y)), 3, 2, 1)
        for i, depth in enumerate(DEPTHS):
            for j in range(depth):
                y = self.block(f"resnetv10_stage{i + 1}_", f"features.{i + 4}.{j}.", y, i, j)
        weight = self.take("resnetv10_dense0_weight", "output.weight", 5, y.shape[1])
        return (y.mean((2, 3)) @ weight.T + self.take("resnetv10_dense0_bias", "output.bias", 5)).numpy()

    def block(self, scope, module, x, i, j):
        planes, stride = 16 * 2**i, 2 if i and j == 0 else 1
        if self.bottleneck:
            parts = [(planes // 2, 1, stride, True), (planes // 2, 3, 1, False), (2 * planes, 1, 1, True)]
        else:
            parts = [(planes, 3, stride, False), (planes, 3, 1, False)]
        y = x
        for k, (width, size, step, bias) in enumerate(parts):
            y = self.conv(scope, f"{module}body.{3 * k}", y, width, size, step, size // 2, bias=bias)
            y = self.norm(scope, f"{module}body.{3 * k + 1}", y)
            y = F.relu(y) if k + 1 < len(parts) else y
        if x.shape[1] != y.shape[1]:
            x = self.conv(scope, f"{module}downsample.0", x, y.shape[1], 1, stride)
            x = self.norm(scope, f"{module}downsample.1", x)
        return F.relu(x + y)

    def conv(self, scope, module, x, width, size, stride, padding=0, *, bias=False):
        counter = self.counted(scope, "conv")
        weight = self.take(f"{counter}_weight", f"{module}.weight", width, x.shape[1], size, size)
        return F.conv2d(
            x, weight, self.take(f"{counter}_bias", f"{module}.bias", width) if bias else None, stride, padding
        )

    def norm(self, scope, module, x):
        counter = self.counted(scope, "batchnorm")
        gamma, beta, mean, variance = (
            self.take(f"{counter}_{role}", f"{module}.{role}", x.shape[1])
            for role in ("gamma", "beta", "running_mean", "running_var")
        )
        return F.batch_norm(x, mean, variance, gamma, beta, eps=1e-5)

    def counted(self, scope, kind):
        number = self.counts.get((scope, kind), 0)
        self.counts[scope, kind] = number + 1
        return f"{scope}{kind}{number}"

    def take(self, counter, module, *shape):
        if module not in self.by_module:
            positive = module.endswith(("gamma", "var"))
            scale = 1 / np.sqrt(max(1, np.prod(shape[1:])))
            made = self.rng.uniform(0.5, 1.5, shape) if positive else self.rng.normal(size=shape) * scale
            self.by_module[module] = self.by_counter[counter] = made.astype(np.float32)
        return torch.from_numpy(self.by_module[module].astype(np.float64))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(2, 3, 65, 50)).astype(np.float32)


@pytest.mark.parametrize("bottleneck", [True, False])
@pytest.mark.parametrize("names", ["by_module", "by_counter"])
def test_networks_of_gluon(tmp_path, x, recwarn, bottleneck, names):
    net = Gluon(bottleneck=bottleneck)
    expected = net(x)
    (tmp_path / "net.params").write_bytes(params(getattr(net, names)))
    model = npresnet.load(tmp_path / "net.params")
    assert not recwarn.list
    assert model.config["home"].value == "Gluon"
    assert model.config.value("stride_on") == ("1x1" if bottleneck else None)
    exact = ops.run(model.network, x.astype(np.float64))["logits"]
    np.testing.assert_allclose(exact, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model(x), expected, atol=1e-5 * np.abs(expected).max())
    model.save(tmp_path / "net.npz")
    assert np.array_equal(npresnet.load(tmp_path / "net.npz")(x), model(x))


def test_gluoncv_has_torchvisions_network(tmp_path, x, recwarn):
    """Ours, under its names: only gamma and beta differ."""
    tensors = layouts.bottleneck()
    np.savez(tmp_path / "ours.npz", **tensors)
    ours = npresnet.load(tmp_path / "ours.npz")
    tensors = {name: array for name, array in tensors.items() if "tracked" not in name}
    roles = {"weight": "gamma", "bias": "beta"}
    theirs = {}
    for name, array in tensors.items():
        module, _, role = name.rpartition(".")
        theirs[f"{module}.{roles.get(role, role)}" if f"{module}.running_mean" in tensors else name] = array
    (tmp_path / "net.params").write_bytes(params(theirs))
    model = npresnet.load(tmp_path / "net.params")
    assert not recwarn.list
    assert model.config.value("stride_on") == "3x3"
    assert np.array_equal(model(x), ours(x))


@pytest.mark.parametrize("name", ["stage1_unit1_conv1_weight", "resnetv20_stage1_conv0_weight"])
def test_preactivation_networks_are_refused_by_name(tmp_path, name):
    (tmp_path / "net.params").write_bytes(params({name: np.ones((4, 4, 1, 1), np.float32)}))
    with pytest.raises(ArchitectureError, match="pre-activation ResNet of MXNet"):
        npresnet.load(tmp_path / "net.params")
