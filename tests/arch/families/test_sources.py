"""One topology, two sources: random weights and a file's tensors make the same network of every architecture."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch import standardised
from npresnet.arch.family import assemble
from npresnet.arch.initialiser import Initialiser
from npresnet.arch.names import find_arch
from npresnet.network import Network

PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
}


# Their tensors are those of networks without a low-pass filter.
TOLD_BY_NAME = [name for name in arch.list_archs() if "aa" in name or "blur" in name]


class Blank(Initialiser):
    """Zeros instead of random numbers, which cost no time until they are read."""

    def _random(self, kind, scale, shape):
        return np.broadcast_to(np.float32(0), shape)


def described(network: Network) -> list[tuple]:
    """A network without its numbers."""
    nodes = [
        (node.name, node.op, node.inputs, node.window, node.groups, dict(node.attrs), shapes(node.params))
        for node in network
    ]
    return [*nodes, dict(network.outputs)]


def shapes(params) -> dict[str, tuple[int, ...]]:
    return {role: array.shape for role, array in params.items()}


@pytest.fixture
def _as_in_the_file(monkeypatch):
    """Filters are not standardised: only their shapes count."""
    monkeypatch.setattr(standardised, "standardise", lambda weight, *rest: weight)


@pytest.mark.usefixtures("_as_in_the_file")
@pytest.mark.parametrize("name", arch.list_archs())
def test_both_sources_make_the_same_network(name):
    family, options = find_arch(name)
    source = Blank(seed=0)
    made = assemble(family, source, {"in_channels": 3, "num_classes": 1000, **options})
    told = name if name in TOLD_BY_NAME else None
    recognised, config = arch.build(source.tensors, arch=told)
    assert described(recognised) == described(made)
    assert (config.value("arch"), config.value("family")) == (name, family.NAME)
    assert arch.build(source.tensors, arch=name)[1]["arch"].origin == "caller"
    if told:
        plain, config = arch.build(source.tensors)
        assert config.value("arch") != name
        assert described(plain) != described(made)
    count = sum(array.size for node in made for role, array in node.params.items() if "running" not in role)
    assert count == PARAMETERS.get(name, count)


@pytest.mark.parametrize("name", ["resnet14", "resnet10", "cifar_resnet20"])
def test_random_weights_are_what_the_network_holds(name):
    """The arrays of `random_tensors` and of a network with the same seed."""
    tensors = arch.random_tensors(name, num_classes=4, seed=3)
    family, options = find_arch(name)
    network = assemble(family, Initialiser(3), {"in_channels": 3, "num_classes": 4, **options})
    held = {f"{node.name}.{role}": array for node in network for role, array in node.params.items()}
    assert {key for key in tensors if not key.endswith("tracked")} == set(held)
    assert [key for key, array in held.items() if not np.array_equal(array, tensors[key])] == []
