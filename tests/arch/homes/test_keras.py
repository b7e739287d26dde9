"""Keras's ResNets against keras.applications's formula in PyTorch, which reads the weights by their own names."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from npresnet import ops
from npresnet.errors import ArchitectureError

torch = pytest.importorskip("torch")
h5py = pytest.importorskip("h5py")
F = torch.nn.functional
DEPTHS = (2, 1, 2, 1)
EPS = 1.001e-5


class Net:
    """A network of either version; its weights are made as they are asked for, or read."""

    def __init__(self, version: int, *, seed: int = 0, head: str | None = "predictions"):
        self.version = version
        self.head = head
        self.rng = np.random.default_rng(seed)
        self.weights: dict[str, np.ndarray] = {}

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, 3, H, W) -> logits, or the pooled features, in float64."""
        y = self.conv("conv1_conv", torch.from_numpy(x.astype(np.float64)), 8, 7, 2, 3)
        if self.version == 1:
            y = F.relu(self.norm("conv1_bn", y))
        y = F.max_pool2d(F.pad(y, (1, 1, 1, 1)), 3, 2)
        block = self.v1 if self.version == 1 else self.v2
        for i, depth in enumerate(DEPTHS):
            for j in range(depth):
                y = block(f"conv{i + 2}_block{j + 1}", y, 8 * 2**i, i, j, depth)
        if self.version == 2:
            y = F.relu(self.norm("post_bn", y))
        y = y.mean((2, 3))
        if self.head is None:
            return y.numpy()
        return (y @ self.take(f"{self.head}/kernel", y.shape[1], 5) + self.take(f"{self.head}/bias", 5)).numpy()

    def v1(self, name, x, planes, i, j, depth):
        stride = 2 if i and j == 0 else 1
        y = F.relu(self.norm(f"{name}_1_bn", self.conv(f"{name}_1_conv", x, planes, 1, stride)))
        y = F.relu(self.norm(f"{name}_2_bn", self.conv(f"{name}_2_conv", y, planes, 3, 1, 1)))
        y = self.norm(f"{name}_3_bn", self.conv(f"{name}_3_conv", y, 4 * planes))
        if j == 0:
            x = self.norm(f"{name}_0_bn", self.conv(f"{name}_0_conv", x, 4 * planes, 1, stride))
        return F.relu(x + y)

    def v2(self, name, x, planes, i, j, depth):
        stride = 2 if i < 3 and j == depth - 1 else 1
        p = F.relu(self.norm(f"{name}_preact_bn", x))
        if j == 0:
            shortcut = self.conv(f"{name}_0_conv", p, 4 * planes, 1, stride)
        else:
            shortcut = F.max_pool2d(x, 1, stride) if stride > 1 else x
        y = F.relu(self.norm(f"{name}_1_bn", self.conv(f"{name}_1_conv", p, planes, bias=False)))
        y = self.conv(f"{name}_2_conv", F.pad(y, (1, 1, 1, 1)), planes, 3, stride, bias=False)
        return shortcut + self.conv(f"{name}_3_conv", F.relu(self.norm(f"{name}_2_bn", y)), 4 * planes)

    def conv(self, name, x, out_channels, size=1, stride=1, padding=0, *, bias=True):
        weight = self.take(f"{name}/kernel", size, size, x.shape[1], out_channels).permute(3, 2, 0, 1)
        return F.conv2d(x, weight, self.take(f"{name}/bias", out_channels) if bias else None, stride, padding)

    def norm(self, name, x):
        gamma, beta, mean, variance = (
            self.take(f"{name}/{role}", x.shape[1]) for role in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return F.batch_norm(x, mean, variance, gamma, beta, eps=EPS)

    def take(self, name, *shape):
        if name not in self.weights:
            positive = name.endswith(("gamma", "variance"))
            scale = 1 / np.sqrt(max(1, np.prod(shape[:-1])))
            made = self.rng.uniform(0.5, 1.5, shape) if positive else self.rng.normal(size=shape) * scale
            self.weights[name] = made.astype(np.float32)
        return torch.from_numpy(self.weights[name].astype(np.float64))

    def save(self, path, base: str = "") -> str:
        """As Keras 2 does; layers below `base` stand inside another model."""
        with h5py.File(path, "w") as file:
            for name, array in self.weights.items():
                layer = name.split("/")[0]
                file[f"{layer if not base or layer == self.head else base}/{name}:0"] = array
        return str(path)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(2, 3, 65, 50)).astype(np.float32)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("head", "base"), [("predictions", ""), ("dense_1", "resnet50"), (None, "")])
def test_networks_of_keras(tmp_path, x, recwarn, version, head, base):
    net = Net(version, head=head)
    expected = net(x)
    model = npresnet.load(net.save(tmp_path / "net.h5", base))
    assert not recwarn.list
    assert model.config["home"].value == "Keras"
    exact = ops.run(model.network, x.astype(np.float64))
    np.testing.assert_allclose(next(iter(exact.values())), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model(x), expected, atol=1e-5 * np.abs(expected).max())
    model.save(tmp_path / "net.npz")
    assert np.array_equal(npresnet.load(tmp_path / "net.npz")(x), model(x))


def test_pixels(tmp_path):
    image = np.random.default_rng(5).integers(0, 256, (224, 224, 3), np.uint8)
    expected = {
        1: image[:, :, ::-1].astype(np.float64) - [103.939, 116.779, 123.68],
        2: image / 127.5 - 1,
    }
    for version, pixels in expected.items():
        net = Net(version)
        net(np.zeros((1, 3, 64, 64), np.float32))
        model = npresnet.load(net.save(tmp_path / f"{version}.h5"), preprocess={"resize": None})
        np.testing.assert_allclose(model.preprocess(image)[0], pixels.transpose(2, 0, 1), atol=1e-4)


def test_features_cam_and_summary_of_v2(tmp_path, x):
    net = Net(2)
    net(x)
    model = npresnet.load(net.save(tmp_path / "net.h5"))
    assert model.features(x, ["conv3_block1_out"])["conv3_block1_out"].shape[1] == 64
    image = np.random.default_rng(2).integers(0, 256, (70, 80, 3), np.uint8)
    assert model.cam(image).shape == (224, 224)
    assert model.embed(image).shape == (256,)
    assert model.summary((3, 64, 64)).count("Conv2d-") == 1 + 3 * sum(DEPTHS) + len(DEPTHS)
    assert model.config["arch"].value == "keras_resnetv2"


def test_v2_by_name():
    model = npresnet.build("keras_resnet50v2", num_classes=3, seed=1)
    assert model(np.zeros((1, 3, 32, 32), np.float32)).shape == (1, 3)
    assert model.config["arch"].value == "keras_resnet50v2"
    assert sum(array.size for node in model.network for array in node.params.values()) == 23_564_800 + 2048 * 3 + 3


def test_a_block_that_is_missing(tmp_path, x):
    net = Net(2)
    net(x)
    net.weights = {name: array for name, array in net.weights.items() if "conv4_block1" not in name}
    with pytest.raises(ArchitectureError, match="conv4_block1 is missing"):
        npresnet.load(net.save(tmp_path / "net.h5"))
