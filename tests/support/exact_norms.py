"""Networks whose BatchNorms scale by powers of two: folding them does not round, so the result must be the same."""

from __future__ import annotations

import numpy as np

from npresnet import arch
from npresnet.network import Network, Node

EPS = 0.25


def with_exact_norms(network: Network, seed: int = 0) -> Network:
    """The network with other BatchNorms: var + eps is a power of 4, the rest are dyadic fractions of few digits."""
    rng = np.random.default_rng(seed)
    nodes = tuple(_exact(node, rng) if node.op == "batch_norm" else node for node in network)
    return Network(nodes, network.outputs)


def exact_network(name: str, **options) -> Network:
    """An architecture of `arch.list_archs` with random weights and exact norms."""
    return with_exact_norms(arch.build(arch.random_tensors(name, **options))[0])


def _exact(node: Node, rng: np.random.Generator) -> Node:
    channels = node.params["running_mean"].shape
    params = {
        "running_mean": rng.integers(-8, 9, channels) / 16,
        "running_var": rng.choice([0.25, 1.0, 4.0], channels) - EPS,
        "weight": rng.choice([-1.0, -0.5, 0.5, 1.0], channels) * 0.5,
        "bias": rng.integers(-8, 9, channels) / 16,
    }
    return node.evolve(attrs={**node.attrs, "eps": EPS}, params={k: v.astype(np.float32) for k, v in params.items()})
