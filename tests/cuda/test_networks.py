"""Whole networks on emulated GPUs: every precision within its gate against float64, on Turing, Ampere and Hopper."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import npresnet
from npresnet import arch, ops, passes
from npresnet.bench.random_weights import randomise_batch_norms
from npresnet.network import Network
from tests.cuda.running import GATES, assert_within_gate, compiled
from tests.emulator import emulator
from tests.support.small import batch

pytestmark = emulator.needed

SIZES = {"resnet18": (2, 32, 25), "resnet26": (1, 24, 17), "resnext26": (1, 24, 17)}  # images, height, width
OPTIONS = {"resnet18": {}, "resnet26": {}, "resnext26": {"groups": 32, "width_per_group": 4}}
NARROW = {"width_per_group": 16, "num_classes": 6}
DILATED = {"groups": 4, "width_per_group": 32, "replace_stride_with_dilation": [False, True, True], "num_classes": 6}


@cache
def network_of(name: str, **options) -> Network:
    """With random BatchNorms, so that folding them matters."""
    tensors = randomise_batch_norms(arch.random_tensors(name, **options), seed=0)
    given = {key: value for key, value in options.items() if key == "replace_stride_with_dilation"}
    return arch.build(tensors, options=given)[0]


@cache
def case(name: str, size: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(images, float64 logits)"""
    images, height, width = size
    x = batch(images, size=max(height, width))[:, :, :height, :width]
    return x, ops.run(of_every_kind(name), x.astype(np.float64))["logits"]


def of_every_kind(name: str) -> Network:
    """One of SIZES: basic blocks, bottlenecks, groups."""
    return network_of(name.replace("resnext", "resnet"), num_classes=10, **OPTIONS[name])


@pytest.mark.parametrize("dtype", GATES)
@pytest.mark.parametrize("name", SIZES)
def test_a_network_in_every_precision(gpus, name, dtype):
    stand_in = gpus()
    x, exact = case(name, SIZES[name])
    found = compiled(passes.optimize(of_every_kind(name)), dtype)(x)["logits"]
    assert_within_gate(found, exact, dtype)
    kernels = " ".join(stand_in.kernels)
    assert ("conv2d_registers" in kernels) == (dtype == "float32")
    assert ("conv2d_mma" in kernels) == (dtype != "float32")
    assert ("grouped" in kernels) == (name.startswith("resnext") and dtype != "float32")


@pytest.mark.parametrize(
    ("capability", "dtype", "expected"),
    [(75, "float16", "conv2d_mma"), (75, "float32", "conv2d_registers"), (80, "bfloat16", "conv2d_mma")],
)
def test_older_gpus(gpus, capability, dtype, expected):
    stand_in = gpus(capability=capability)
    network, x = network_of("resnet14", **NARROW), batch(1, size=24)
    found = compiled(passes.optimize(network), dtype)(x)["logits"]
    assert_within_gate(found, ops.run(network, x.astype(np.float64))["logits"], dtype)
    assert any(kernel.startswith(expected) for kernel in stand_in.kernels)


def test_hopper_takes_warpgroups_where_they_are_kept_busy(gpus):
    """A GPU of two multiprocessors is full soon."""
    stand_in = gpus(capability=90, multiprocessors=2)
    network, x = network_of("resnet14", num_classes=6, width_per_group=32), batch(1, size=24)
    found = compiled(passes.optimize(network), "float16")(x)["logits"]
    assert_within_gate(found, ops.run(network, x.astype(np.float64))["logits"], "float16")
    for kernel in ("conv2d_wgmma_tma_", "conv2d_wgmma_"):
        assert any(name.startswith(kernel) for name in stand_in.kernels)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_groups_and_dilation(gpus, dtype):
    gpus()
    network, x = network_of("resnet14", **{**DILATED, "replace_stride_with_dilation": (False, True, True)}), batch(1)
    found = compiled(passes.optimize(network), dtype)(x)["logits"]
    assert_within_gate(found, ops.run(network, x.astype(np.float64))["logits"], dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_option_a(gpus, dtype):
    stand_in = gpus()
    network, x = network_of("cifar_resnet20"), batch(3)
    found = compiled(passes.optimize(network), dtype)(x)["logits"]
    assert_within_gate(found, ops.run(network, x.astype(np.float64))["logits"], dtype)
    assert any(kernel.startswith("shortcut_a") for kernel in stand_in.kernels)


def test_features_are_those_of_the_network(gpus):
    gpus()
    model = npresnet.build("resnet14", **NARROW, device="cuda", dtype="float16")
    x, names = batch(2, size=24), ["conv1", "layer1.0.bn1", "layer2", "avgpool", "flatten", "fc"]
    exact = ops.run(model.network.with_outputs(names), x.astype(np.float64))
    found = model.features(x, names)
    assert list(found) == names
    for name in names:
        assert found[name].shape == exact[name].shape
        error = np.linalg.norm(found[name] - exact[name]) / np.linalg.norm(exact[name])
        assert error <= GATES["float16"], name
