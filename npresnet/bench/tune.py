"""Measure every algorithm that each convolution of a network can take, and say which is fastest on this machine.

A layer is timed as the backend would run it, alone: for one image and for a group, on one thread, each candidate in
turn, round after round, with memory in between that drives the weights out of the inner caches as the other layers of a
network would. The figure of a candidate is the sum of its times for an image alone and for one in a group.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from npresnet.bench.timing import quantile
from npresnet.cpu import conv2d
from npresnet.cpu.blas import guard
from npresnet.cpu.choices import Choice, Layer, candidates
from npresnet.cpu.executable import GROUP
from npresnet.cpu.filters import Filters
from npresnet.cpu.lowering import Options, Scheme, lower
from npresnet.cpu.running import run_plan
from npresnet.network import INPUT, Network, Node
from npresnet.plan import Plan, infer_shapes, make_layout
from npresnet.plan.shapes import Shape

EVICTED_FLOATS = 4_000_000  # 16 MB: more than the inner caches of today's processors


@dataclass(frozen=True)
class Measured:
    """One candidate: microseconds an image, alone and in a group of images."""

    choice: Choice
    alone_us: float
    grouped_us: float

    @property
    def total_us(self) -> float:
        """What candidates are compared by."""
        return self.alone_us + self.grouped_us


def layers_of(network: Network, input_shape: Shape) -> dict[Layer, tuple[Node, Shape]]:
    """The different layers of an optimised network, each with one node that is such a layer and its input's shape."""
    shapes = infer_shapes(network, input_shape)
    found: dict[Layer, tuple[Node, Shape]] = {}
    for node in network:
        if node.op == "conv2d":
            layer = conv2d.layer_of(node, Filters(node), shapes[node.name])
            found.setdefault(layer, (node, shapes[node.inputs[0]]))
    return found


def measure(layer: Layer, node: Node, input_shape: Shape, *, rounds: int = 12) -> list[Measured]:
    """All candidates of a layer, the fastest first."""
    network = Network((node.evolve(inputs=(INPUT,)),), {"y": node.name})
    filters = {node.name: Filters(node)}
    choices = candidates(layer)
    plans = {
        (choice, images): _bind(network, input_shape, images, filters, choice)
        for choice in choices
        for images in (1, GROUP)
    }
    times: dict[tuple[Choice, int], list[float]] = {key: [] for key in plans}
    evicted = np.zeros(EVICTED_FLOATS, np.float32)
    call = object()
    try:
        guard.hold(call)
        for number in range(rounds + 1):
            for key, plan in plans.items():
                evicted += 1
                elapsed = _seconds(partial(run_plan, plan))
                if number:
                    times[key].append(elapsed * 1e6 / key[1])
    finally:
        guard.let_go(call)
    found = [Measured(c, *(quantile(sorted(times[c, images]), 0.25) for images in (1, GROUP))) for c in choices]
    return sorted(found, key=lambda measured: measured.total_us)


def _bind(network: Network, input_shape: Shape, images: int, filters: dict[str, Filters], choice: Choice) -> Plan:
    shapes = infer_shapes(network, input_shape)
    chosen = {network.nodes[0].name: choice}
    layout = make_layout(network, input_shape, conv2d.halos(network, shapes, chosen), images=images)
    plan = lower(Scheme(layout, chosen, Options().exact), filters, 1)
    plan.input[...] = np.random.default_rng(0).standard_normal(plan.input.shape, np.float32)
    return plan


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
