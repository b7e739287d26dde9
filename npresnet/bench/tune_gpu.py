"""`npresnet bench --tune --device cuda`: measure every kernel and tile that each convolution of a network can use.

A layer is timed alone by the GPU's own clock, in interleaved rounds of several consecutive runs of each candidate. In
consecutive runs, a layer's input may still be in the L2 cache, as the previous layer's output may in a network. A
candidate other than the built-in rule's choice must be clearly faster to be kept.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import npresnet
from npresnet import cuda
from npresnet.bench.tables import Table
from npresnet.bench.timing import quantile
from npresnet.bench.tune import CLEARLY
from npresnet.cuda.compiler import tuning
from npresnet.cuda.compiler.choices import Choice, Layer, Processor, by_rule, candidates
from npresnet.cuda.compiler.program import layers_of
from npresnet.cuda.elements import store
from npresnet.model.decisions import decide_device, decide_dtype
from npresnet.passes import optimize

ROUNDS, QUICK_ROUNDS = 10, 1
REPEATS = 10  # consecutive runs


class Where(NamedTuple):
    """A GPU and a precision."""

    gpu: cuda.Gpu
    element: cuda.Element

    @classmethod
    def of(cls, device: str, dtype: str) -> Where:
        """With the arguments and errors of `npresnet.load`."""
        decision = decide_device(device)
        return cls(cuda.open_gpu(decision.value), cuda.ELEMENTS[decide_dtype(dtype, decision).value])

    @property
    def processor(self) -> Processor:
        return Processor(self.gpu.name, self.gpu.capability, self.gpu.multiprocessors)

    def save(self, tuned: Iterable[Tuned]) -> Path:
        """Store choices that are clearly faster, and remove the stored ones of the other measured layers."""
        better = {t.key: (t.best.launcher, str(t.best.tile)) if t.best != t.built_in else None for t in tuned}
        return tuning.save(str(self.processor), better)


class Measured(NamedTuple):
    """A candidate and its microseconds for the whole batch."""

    choice: Choice
    time_us: float


@dataclass(frozen=True)
class Tuned:
    """A layer by its name in tables, all its candidates, the fastest first, and the rule's choice."""

    key: str
    measured: list[Measured]
    built_in: Choice

    @property
    def best(self) -> Choice:
        """The fastest, if it is clearly faster than the rule's choice."""
        usual = next(m.time_us for m in self.measured if m.choice == self.built_in)
        return self.measured[0].choice if self.measured[0].time_us < CLEARLY * usual else self.built_in


def tune_model(
    model: str, batch: int, size: int, where: Where, *, rounds: int, known: Container[str]
) -> Iterator[Tuned]:
    """Measure the different convolutions of a weight file, or of a named architecture with random weights.

    size   height and width of the images
    known  layers, by their names in tables, that need not be measured again
    """
    is_name = model in npresnet.list_archs() and not Path(model).exists()
    with npresnet.build(model) if is_name else npresnet.load(model) as loaded:
        network, channels = optimize(loaded.network), loaded.config.value("in_channels", 3)
    for layer in dict.fromkeys(
        layers_of(network, (channels, size, size), batch, where.element, where.processor).values()
    ):
        key = layer.key(where.element)
        if key not in known:
            built_in = next(by_rule(layer, where.element, where.processor))
            yield Tuned(key, measure(layer, where, rounds=rounds), built_in)


def measure(layer: Layer, where: Where, *, rounds: int = ROUNDS) -> list[Measured]:
    """All candidates of a layer, the fastest first."""
    gpu, stream, memory = where.gpu, where.gpu.stream(), Numbers(layer, where)
    choices = candidates(layer, where.element, where.processor)
    calls = {choice: gpu.bind(memory.launches(choice)) for choice in choices}
    times: dict[Choice, list[float]] = {choice: [] for choice in choices}
    for number in range(rounds + 1):
        for choice in choices:
            elapsed_ms = gpu.time_ms(calls[choice], stream, REPEATS)
            if number:
                times[choice].append(elapsed_ms * 1e3)
    found = [Measured(choice, quantile(sorted(times[choice]), 0.25)) for choice in choices]
    return sorted(found, key=lambda measured: measured.time_us)


class Numbers:
    """One layer's tensors on the GPU, of random numbers: zeros would use less power, and so less time."""

    def __init__(self, layer: Layer, where: Where):
        self._where, self._layer, self._buffers = where, layer, list[Any]()
        shape, rng = layer.shape, np.random.default_rng(0)
        height, width = shape.out_size
        self._weight = rng.standard_normal(
            (shape.out_channels, shape.in_channels // shape.groups, *shape.window.kernel_size), np.float32
        )
        self._x = self._put(rng.standard_normal((shape.images, shape.height, shape.width, layer.padded), np.float32))
        self._y = self._put(rng.standard_normal((shape.images, height, width, shape.out_channels), np.float32))
        self._residual = self._new(shape.M * shape.out_channels * where.element.item_bytes) if layer.has_residual else 0
        self._bias = self._new(4 * shape.out_channels)

    def launches(self, choice: Choice) -> list[Any]:
        """The candidate's launches on these tensors."""
        module, element = choice.module, self._where.element
        widened = np.zeros(
            (len(self._weight), choice.shape.in_channels // choice.shape.groups, *self._weight.shape[2:])
        )
        widened[:, : self._weight.shape[1]] = self._weight
        launches: list[Any] = module.launches(
            choice.shape,
            element,
            choice.tile,
            x=self._x,
            weight=self._keep(module.pack(widened, element)),
            bias=self._bias,
            residual=self._residual,
            y=self._y,
            workspace=self._new(module.workspace_bytes(choice.shape, element, choice.tile)),
        )
        return launches

    def _put(self, values: np.ndarray) -> int:
        return self._keep(store(values, self._where.element))

    def _keep(self, array: np.ndarray) -> int:
        array, stream = np.ascontiguousarray(array), self._where.gpu.stream()
        address = self._new(array.nbytes)
        with self._where.gpu.active():
            self._where.gpu.upload(address, array, stream)
            stream.synchronize()
        return address

    def _new(self, size_bytes: int) -> int:
        self._buffers.append(self._where.gpu.allocate(size_bytes, "a layer to be measured: this"))
        address: int = self._buffers[-1].address
        return address


def table(tuned: Sequence[Tuned]) -> Table:
    """Per layer the built-in choice and the best, each with microseconds for the batch."""
    rows = []
    for entry in tuned:
        times = {m.choice: f"{m.time_us:.1f}" for m in entry.measured}
        better = entry.best if entry.best != entry.built_in else None
        found = (str(better), times[better]) if better else ("", "")
        rows.append([entry.key, str(entry.built_in), times[entry.built_in], *found])
    return Table(["layer", "built-in choice", "us", "faster here", "us"], rows)
