"""The programs of one executable: compiled on first use, kept in an LRU."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from npresnet.cpu.compiler.prepack import prepack
from npresnet.cpu.compiler.prepared import Store
from npresnet.cpu.compiler.program import Program, compile_program, prepare
from npresnet.cpu.compiler.split import Split, split_batch
from npresnet.cpu.compiler.stages import Stages, cut_in_two
from npresnet.cpu.kernels.lowering import Options
from npresnet.cpu.runtime import blas
from npresnet.cpu.runtime.pool import Pool
from npresnet.cpu.runtime.running import CUT
from npresnet.cpu.runtime.schedule import Job
from npresnet.cpu.runtime.workers import Team
from npresnet.errors import DeviceError
from npresnet.network import Network
from npresnet.plan.shapes import Shape, infer_shapes
from npresnet.system.locks import Lock

KEPT_SHAPES = 4  # image shapes whose programs and plans are kept
WHOLE, FRONT, BACK = "whole", "front", "back"  # parts of the network, see `stages`


class Key(NamedTuple):
    """Identifies a program: part of the network, image shape, images at once, and workers that share its tiles."""

    part: str
    input_shape: Shape
    images: int
    workers: int


class Compiled:
    """A program with its idle plans."""

    def __init__(self, program: Program, kept: int):
        self.program = program
        self.plans = Pool(program.bind, kept)
        self.jobs = Pool(lambda: Job(program.bind(), program.workers), 1)
        self.is_prepacked = False


class Shelf(NamedTuple):
    """Everything kept for one image shape.

    shapes  of every value, for one image
    stages  where the network is cut in two; None where it is not
    """

    shapes: Mapping[str, Shape]
    stages: Stages | None
    programs: dict[Key, Compiled]


class Route(NamedTuple):
    """The programs that a batch runs: `front` and, by group size, `backs` for its groups; `shared` for the remainder.

    Where the network is not cut, `front` is all of it and there are no backs.
    """

    split: Split
    front: Compiled | None
    backs: Mapping[int, Compiled]
    shared: Compiled | None


class Programs:
    """The programs of one executable: compiled on first use, kept for the last few image shapes. Thread-safe.

    store       where prepacked weights are kept between processes; None keeps none
    kept_plans  how many idle plans each program keeps
    """

    def __init__(self, network: Network, options: Options, store: Store | None, kept_plans: int):
        self._network = network
        self._options = options
        self._weights = prepare(network)
        self._store = store
        self._kept_plans = kept_plans
        self._shelves: OrderedDict[Shape, Shelf] = OrderedDict()
        self._lock = Lock()
        self._closed = False

    def admit(self) -> None:
        """Raise DeviceError after `close`: once for each call, so that a running call completes."""
        if self._closed:
            raise DeviceError("this model has been closed; load it again to use it")

    def shelf(self, input_shape: Shape) -> Shelf:
        """What is kept for images of (C, H, W). Raises ShapeError where they do not fit the network."""
        with self._lock.plain:
            found = self._shelves.get(input_shape)
            if found is not None:
                self._shelves.move_to_end(input_shape)
                return found
        shapes = infer_shapes(self._network, input_shape)
        made = Shelf(shapes, cut_in_two(self._network, shapes), {})
        with self._lock.plain:
            if self._closed:
                return made
            found = self._shelves.setdefault(input_shape, made)
            if len(self._shelves) > KEPT_SHAPES:
                self._shelves.popitem(last=False)
            return found

    def route(self, input_shape: Shape, images: int, team: Team | None) -> Route:
        """The programs for a batch, compiled and their weights prepacked by the team's workers where necessary.

        Raises ShapeError where the images do not fit the network, DeviceError where memory is insufficient.
        """
        workers = 1 if team is None else team.workers
        split, is_cut = split_batch(images, workers), self.shelf(input_shape).stages is not None
        front, backs, shared = None, {}, None
        if split.groups:
            front = self.get(Key(FRONT if is_cut else WHOLE, input_shape, 1, 1))
        if is_cut:
            backs = {size: self.get(Key(BACK, input_shape, size, 1)) for size in sorted(split.sizes)}
        if split.shared:
            shared = self.whole(input_shape, workers)
        self.ready(*(part for part in (front, *backs.values(), shared) if part is not None), team=team)
        return Route(split, front, backs, shared)

    def ready(self, *needed: Compiled, team: Team | None = None) -> Compiled:
        """The first of these programs, after the weights of all have been prepacked."""
        if not all(part.is_prepacked for part in needed):
            forms = dict.fromkeys(form for part in needed for form in part.program.prepacked())
            self._require_memory(needed, forms, 1 if team is None else team.workers)
            prepack(self._weights, forms, self._store, team)
            for part in needed:
                part.is_prepacked = True
        return needed[0]

    def _require_memory(self, needed: Sequence[Compiled], forms: Iterable[tuple[str, Any]], workers: int) -> None:
        """Raise DeviceError unless there is memory for these programs, before OpenBLAS is called.

        It ends the process where it finds none. All that a first call allocates is allocated once, untouched, and given
        back.
        """
        missing = [(self._weights[name], key) for name, key in forms if not self._weights[name].has(key)]
        weights_bytes = sum(4 * prod(filters.prepacked_shape(key)) for filters, key in missing)
        plans_bytes = max(  # a program that all workers share has one plan, with the scratch of each
            part.program.memory_bytes * (1 if part.program.workers > 1 else workers) for part in needed
        )
        size_bytes = weights_bytes + plans_bytes + blas.buffer_bytes() * workers
        try:
            np.empty(size_bytes, np.uint8)
        except MemoryError:
            raise DeviceError(
                f"this network needs {size_bytes / 1e6:,.0f} MB to run on {workers} thread{'s' * (workers > 1)} "
                f"(prepacked weights {weights_bytes / 1e6:,.0f} MB, images {plans_bytes / 1e6:,.0f} MB, and the BLAS): "
                "more than the memory available. Use fewer threads, smaller images, or raise the limit of this process "
                "or container"
            ) from None

    def whole(self, input_shape: Shape, workers: int) -> Compiled:
        """All of the network, for one image."""
        return self.get(Key(WHOLE, input_shape, 1, workers))

    def get(self, key: Key) -> Compiled:
        """A program, compiled on first use. Two threads may compile the same one concurrently; both get the first."""
        shelf = self.shelf(key.input_shape)
        found = shelf.programs.get(key)
        return found if found is not None else shelf.programs.setdefault(key, self.compile(key))

    def compile(self, key: Key) -> Compiled:
        """A new program, which is not kept."""
        network, shape, shelf = self._network, key.input_shape, self.shelf(key.input_shape)
        size = shape[1:]
        if key.part != WHOLE:
            assert shelf.stages is not None
            network = shelf.stages.front if key.part == FRONT else shelf.stages.back
            if key.part == BACK:
                shape = shelf.shapes[shelf.stages.front.outputs[CUT]]
        program = compile_program(network, shape, key.images, key.workers, self._weights, self._options, size)
        return Compiled(program, self._kept_plans)

    def close(self) -> None:
        """Release all programs and their plans. A running call may compile what it still needs; nothing is kept."""
        with self._lock.plain:
            self._closed = True
            self._shelves.clear()
