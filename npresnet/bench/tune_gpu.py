"""`npresnet bench --tune --device cuda`: measure every kernel and tile that each convolution of a network can use.

A layer is timed alone by the GPU's own clock. Each candidate runs once; what takes more than `gpu_timer.HOPELESS` times
as long as the fastest is left at that. The others are raced in interleaved rounds of a captured graph of many runs. In
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
from npresnet.bench.gpu_timer import GpuTimer, random_numbers
from npresnet.bench.table import Table
from npresnet.bench.timing import quantile
from npresnet.bench.tune import CLEARLY
from npresnet.cuda.compiler import tuning
from npresnet.cuda.compiler.choices import Choice, Layer, Processor, by_rule, candidates
from npresnet.cuda.compiler.program import layers_of
from npresnet.cuda.runtime.tickets import new_tickets
from npresnet.model.runtime import decide_device, decide_dtype
from npresnet.network import Array
from npresnet.passes import optimize

ROUNDS, QUICK_ROUNDS = 10, 1


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
        """Store the best choices, also built-in ones that stood: else another number of images may answer for them."""
        return tuning.save(str(self.processor), {t.key: (t.best.launcher, str(t.best.tile)) for t in tuned})


class Measured(NamedTuple):
    """A candidate and its microseconds for the whole batch; not raced: of one run, with its launches."""

    choice: Choice
    time_us: float
    raced: bool = True


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
    gpu, stream = where.gpu, where.gpu.stream()
    choices = candidates(layer, where.element, where.processor)
    memory, timer = Numbers(layer, where, choices), GpuTimer(gpu, stream)
    calls = timer.bind_each({choice: memory.launches(choice) for choice in choices})
    once_ms, left = timer.sift(calls)
    racers = {choice: timer.replayed(str(choice), calls[choice]) for choice in left}
    times: dict[Choice, list[float]] = {choice: [] for choice in left}
    for number in range(rounds + 1):
        for choice in left:
            elapsed_ms = racers[choice].time_ms(1)  # at least one graph
            if number:
                times[choice].append(elapsed_ms * 1e3)
    found = [Measured(choice, quantile(sorted(times[choice]), 0.25)) for choice in left]
    hopeless = [Measured(choice, 1e3 * ms, raced=False) for choice, ms in once_ms.items() if choice not in racers]
    return [
        *sorted(found, key=lambda measured: measured.time_us),
        *sorted(hopeless, key=lambda measured: measured.time_us),
    ]


class Numbers:
    """One layer's tensors on the GPU, of random numbers: zeros would use less power, and so less time.

    All candidates share them: inputs are drawn once, filters packed once for each launcher, and the workspace is as
    large as the largest that a candidate needs.
    """

    def __init__(self, layer: Layer, where: Where, choices: Sequence[Choice]):
        self._where, self._layer, self._buffers = where, layer, list[Any]()
        shape, item_bytes = layer.shape, where.element.item_bytes
        self._weight = np.random.default_rng(0).standard_normal(
            (shape.out_channels, shape.in_channels // shape.groups, *shape.window.kernel_size), np.float32
        )
        self._packed: dict[tuple[str, int], int] = {}
        self._x = self._random(shape.images * shape.height * shape.width * layer.padded)
        self._residual = self._random(shape.M * shape.out_channels) if layer.has_residual else 0
        self._y = self._new(shape.M * shape.out_channels * item_bytes)
        self._bias = self._keep(np.zeros(shape.out_channels, np.float32))
        sizes = (choice.module.workspace_bytes(choice.shape, where.element, choice.tile) for choice in choices)
        self._workspace = self._new(max(sizes))
        self._tickets = new_tickets(where.gpu, where.gpu.stream())

    def launches(self, choice: Choice) -> list[Any]:
        """The candidate's launches on these tensors."""
        module, element = choice.module, self._where.element
        key = choice.launcher, choice.shape.in_channels
        if key not in self._packed:
            self._packed[key] = self._keep(packed(choice, self._weight, element))
        launches: list[Any] = module.launches(
            choice.shape,
            element,
            choice.tile,
            x=self._x,
            weight=self._packed[key],
            bias=self._bias,
            residual=self._residual,
            y=self._y,
            workspace=self._workspace,
            tickets=self._tickets.address,
        )
        return launches

    def _random(self, count: int) -> int:
        numbers = random_numbers(self._where.gpu, self._where.gpu.stream(), count, self._where.element)
        self._buffers.append(numbers)
        return numbers.address

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


def packed(choice: Choice, weight: Array, element: cuda.Element) -> Array:
    """Filters (O, C/groups, KH, KW) as the candidate takes them; zeros for channels that only padding has."""
    missing = choice.shape.in_channels // choice.shape.groups - weight.shape[1]
    found: Array = choice.module.pack(np.pad(weight, ((0, 0), (0, missing), (0, 0), (0, 0))), element)
    return found


def table(tuned: Sequence[Tuned]) -> Table:
    """Per layer the built-in choice and the best, each with microseconds for the batch."""
    rows = []
    for entry in tuned:
        times = {m.choice: f"{m.time_us:.1f}" for m in entry.measured}
        better = entry.best if entry.best != entry.built_in else None
        found = (str(better), times[better]) if better else ("", "")
        rows.append([entry.key, str(entry.built_in), times[entry.built_in], *found])
    return Table(["layer", "built-in choice", "us", "faster here", "us"], rows)
