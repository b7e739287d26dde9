"""Nets with `shortcut.*` keys: hand-written ImageNet nets and the CIFAR customs, against modules of PyTorch."""

from __future__ import annotations

import re

import numpy as np
import pytest

from npresnet import arch
from tests.support import torch_run
from tests.support.reference import randomised, run_double, torchvision_model
from tests.support.torch_cifar import CifarResNet


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_hand_written_nets(name):
    """torchvision's module with its strides moved to the first 1x1 is what the tutorials write."""
    module, tensors = torchvision_model(name)
    for block in module.modules():
        if type(block).__name__ == "Bottleneck":
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    network, config = arch.build(renamed(tensors))
    x = images(1, 64)
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) < 1e-10
    assert (config.value("arch"), config.value("family")) == (name, "handwritten")
    assert "layer2.0.shortcut.0" in [node.name for node in network]
    assert config.value("stride_on") == (None if name != "resnet50" else "1x1")


@pytest.mark.parametrize(("keys", "stride_on"), [("shortcut", "3x3"), ("downsample", None), ("downsample", "3x3")])
def test_stride_on_the_3x3(keys, stride_on):
    module, tensors = torchvision_model("resnet50")
    network, config = arch.build(renamed(tensors, keys), options={"stride_on": stride_on})
    x = images(1, 64)
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) < 1e-10
    assert config["stride_on"].origin == ("caller" if stride_on else "default")


def test_stride_on_the_first_1x1_for_torchvision_s_keys():
    module, tensors = torchvision_model("resnext50_32x4d")
    x = images(1, 64)
    network, _ = arch.build(tensors, options={"stride_on": "1x1"})
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) > 1e-3
    for block in module.modules():
        if type(block).__name__ == "Bottleneck":
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) < 1e-10


@pytest.mark.parametrize(
    ("blocks", "options", "name", "shortcut"),
    [
        ((3, 3, 3), {}, "cifar_resnet20", "A"),
        ((3, 3, 3), {"custom": "downsample", "head": "fc"}, "cifar_resnet20", "B"),
        ((2, 2, 2, 2), {"custom": "shortcut", "channels": 64}, "cifar_resnet18", "B"),
        ((1, 2, 1), {"custom": "shortcut"}, "cifar_resnet", "B"),
    ],
    ids=str,
)
def test_cifar_customs(blocks, options, name, shortcut):
    module, tensors = randomised(CifarResNet(blocks, **options))
    network, config = arch.build(tensors)
    x = images(2, 32)
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) < 1e-10
    found = {key: config.value(key) for key in ("arch", "family", "shortcut", "preprocess", "labels")}
    assert found == {
        "arch": name,
        "family": "cifar",
        "shortcut": shortcut,
        "preprocess": "cifar10",
        "labels": "cifar10",
    }


def renamed(tensors: dict[str, np.ndarray], projection: str = "shortcut") -> dict[str, np.ndarray]:
    return {re.sub("downsample", projection, name): array for name, array in tensors.items()}


def images(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((count, 3, size, size))


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())
