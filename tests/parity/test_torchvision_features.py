"""`with_outputs` gives what forward hooks on torchvision's modules of the same names give."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from npresnet import arch, cpu, ops, passes
from tests.support.float_error import assert_as_exact_as
from tests.support.reference import hooked, run_module, torchvision_model

SHARED = [
    "conv1",
    "bn1",
    "relu",
    "maxpool",
    "layer1",
    "layer1.0",
    "layer1.1.relu",
    "layer1.0.bn2",
    "layer2.0.downsample",
    "layer2.0.downsample.0",
    "layer2.1.conv1",
    "layer3.0",
    "layer3.0.relu",
    "layer4",
    "layer4.1.bn1",
    "avgpool",
    "fc",
]
NAMES = {
    "resnet18": SHARED,
    "resnet50": [*SHARED, "layer1.0.downsample", "layer3.5.conv3", "layer4.2.bn3"],
    "resnext50_32x4d": [*SHARED, "layer1.0.downsample.1", "layer4.0.conv2"],
}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).standard_normal((2, 3, 64, 64))


@pytest.mark.parametrize("name", NAMES)
def test_every_module_gives_what_its_hook_sees(name, images):
    """In float64, unfused: each name alone is a network of its own."""
    module, tensors = torchvision_model(name, seed=4)
    network, _ = arch.build(tensors)
    expected = hooked(module, images, NAMES[name])
    found = ops.run(network.with_outputs(NAMES[name]), images)
    assert list(found) == NAMES[name]
    for asked in NAMES[name]:
        assert found[asked].shape == expected[asked].shape, asked
        assert np.abs(found[asked] - expected[asked]).max() <= 1e-10 * np.abs(expected[asked]).max(), asked


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_passes_keep_what_is_asked_for(name):
    """Folding and fusing may not change what a name stands for: a bn2's result is the one before the addition."""
    module, tensors = torchvision_model(name, seed=4)
    network, _ = arch.build(tensors)
    x = np.random.default_rng(6).standard_normal((8, 3, 64, 64), dtype=np.float32)
    with closing(cpu.compile(passes.optimize(network.with_outputs(NAMES[name])), threads=1)) as executable:
        ours = executable(x)
    theirs = hooked(module, x, NAMES[name], run=run_module)
    for asked, exact in hooked(module, x, NAMES[name]).items():
        assert_as_exact_as(ours[asked], theirs[asked], exact)


def test_one_module_alone_needs_no_more_than_its_past():
    _, tensors = torchvision_model("resnet18", seed=4)
    network, _ = arch.build(tensors)
    part = network.with_outputs(["layer1.0.relu"])
    assert part.nodes[-1].name == "layer1.0.relu.2"
    assert not any(node.name.startswith("layer2") for node in part)
