"""`npresnet bench --tune`: measure every algorithm that each convolution of a network can use on this machine.

A layer is timed alone, with the backend's own steps: for one image and for a group, on one thread, in interleaved
rounds of all candidates, with other memory accessed in between that evicts the weights from the inner caches as the
other layers of a network would. A candidate's figure is the sum of its times for an image alone and for one in a group.
A candidate other than the built-in rules' choice must be clearly faster, so that the table has no chance results.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

import npresnet
from npresnet.bench.table import Table
from npresnet.bench.timing import quantile
from npresnet.cpu.compiler.choices import candidates, choose
from npresnet.cpu.compiler.conv2d import layer_of
from npresnet.cpu.compiler.prepack import prepack
from npresnet.cpu.compiler.program import Weights, compile_program, prepare
from npresnet.cpu.compiler.split import GROUP
from npresnet.cpu.kernels.filters import Filters
from npresnet.cpu.kernels.layer import Choice, Layer
from npresnet.cpu.kernels.lowering import Options
from npresnet.cpu.runtime import blas
from npresnet.cpu.runtime.blas import guard
from npresnet.cpu.runtime.running import run_plan
from npresnet.network import INPUT, Network, Node
from npresnet.passes import fuse_max_pool, optimize
from npresnet.plan import Plan, infer_shapes
from npresnet.plan.shapes import Shape

ROUNDS, QUICK_ROUNDS = 12, 2
CLEARLY = 0.97  # of the time of the built-in choice
EVICTED_FLOATS = 4_000_000  # 16 MB: more than the inner caches of today's processors


@dataclass(frozen=True)
class Measured:
    """One candidate: microseconds an image, alone and in a group of images."""

    choice: Choice
    alone_us: float
    grouped_us: float

    @property
    def total_us(self) -> float:
        """The figure by which candidates are compared."""
        return self.alone_us + self.grouped_us


@dataclass(frozen=True)
class Tuned:
    """A layer, all its candidates, the fastest first, and the built-in rules' choice."""

    layer: Layer
    measured: list[Measured]
    built_in: Choice

    @property
    def best(self) -> Choice:
        """The fastest, if it is clearly faster than the rules' choice."""
        usual = next(m for m in self.measured if m.choice == self.built_in)
        return self.measured[0].choice if self.measured[0].total_us < CLEARLY * usual.total_us else self.built_in


def tune_model(model: str, size: int, *, rounds: int, known: Container[str]) -> Iterator[Tuned]:
    """Measure the different convolutions of a weight file, or of a named architecture with random weights.

    size   height and width of the images
    known  str(layer) of layers that need not be measured again
    """
    is_name = model in npresnet.list_archs() and not os.path.isfile(model)
    loaded = npresnet.build(model) if is_name else npresnet.load(model)
    network = fuse_max_pool(optimize(loaded.network))  # as in `cpu.compile`: a fused stem has no choice
    channels = loaded.config.value("in_channels", 3)
    loaded.close()
    for layer, (node, shape) in layers_of(network, (channels, size, size)).items():
        if str(layer) not in known:
            yield Tuned(layer, measure(layer, node, shape, rounds=rounds), choose(layer, blas.core_type(), {}))


def table(tuned: Sequence[Tuned]) -> Table:
    """Per layer the built-in choice and the best, each with microseconds an image, alone and in a group."""
    rows = []
    for entry in tuned:
        times = {m.choice: f"{m.alone_us:.0f} / {m.grouped_us:.0f}" for m in entry.measured}
        better = entry.best if entry.best != entry.built_in else None
        found = (str(better), times[better]) if better else ("", "")
        rows.append([str(entry.layer), str(entry.built_in), times[entry.built_in], *found])
    return Table(["layer", "built-in choice", "us alone / grouped", "faster here", "us alone / grouped"], rows)


def layers_of(network: Network, input_shape: Shape) -> dict[Layer, tuple[Node, Shape]]:
    """The distinct layers of an optimised network, each with one such node and its input's shape."""
    shapes = infer_shapes(network, input_shape)
    found: dict[Layer, tuple[Node, Shape]] = {}
    for node in network:
        if node.op == "conv2d":
            layer = layer_of(node, Filters(node), shapes[node.name])
            found.setdefault(layer, (node, shapes[node.inputs[0]]))
    return found


def measure(layer: Layer, node: Node, input_shape: Shape, *, rounds: int = ROUNDS) -> list[Measured]:
    """All candidates of a layer, the fastest first."""
    network = Network((node.evolve(inputs=(INPUT,)),), {"y": node.name})
    weights = prepare(network)
    choices = candidates(layer)
    plans = {
        (choice, images): _bind(network, input_shape, images, weights, choice)
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
        guard.release(call)
    found = [Measured(c, *(quantile(sorted(times[c, images]), 0.25) for images in (1, GROUP))) for c in choices]
    return sorted(found, key=lambda measured: measured.total_us)


def _bind(network: Network, input_shape: Shape, images: int, weights: Weights, choice: Choice) -> Plan:
    """The layer's plan with this choice, its weights prepacked and its images random."""
    fixed = {network.nodes[0].name: choice}
    program = compile_program(network, input_shape, images, 1, weights, Options(), fixed=fixed)
    prepack(weights, program.prepacked(), store=None, team=None)
    plan = program.bind()
    plan.input[...] = np.random.default_rng(0).standard_normal(plan.input.shape, np.float32)
    return plan


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
