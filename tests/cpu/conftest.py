"""Fixtures: a ResNet-18 of ten classes, and its executable on two threads."""

import pytest

from npresnet import arch, cpu, passes
from npresnet.network import Network


@pytest.fixture(scope="module")
def network() -> Network:
    return arch.build(arch.random_tensors("resnet18", num_classes=10))[0]


@pytest.fixture
def executable(network):
    made = cpu.compile(passes.optimize(network), threads=2)
    yield made
    made.close()
