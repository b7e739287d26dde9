"""The programs of one executable: compiled on first use, kept in an LRU."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from npresnet.cpu.compiler.prepack import prepack
from npresnet.cpu.compiler.prepared import Store
from npresnet.cpu.compiler.program import Program, compile_program, prepare
from npresnet.cpu.compiler.split import Split, split_batch
from npresnet.cpu.compiler.stages import Stages, cut_in_two
from npresnet.cpu.kernels.lowering import Options
from npresnet.cpu.runtime.pool import Pool
from npresnet.cpu.runtime.running import CUT
from npresnet.cpu.runtime.schedule import Job
from npresnet.cpu.runtime.workers import Team
from npresnet.errors import DeviceError
from npresnet.network import Network
from npresnet.plan.shapes import Shape
from npresnet.system.locks import Lock

KEPT_PROGRAMS = 24  # those of about four image shapes
WHOLE, FRONT, BACK = "whole", "front", "back"  # parts of the network, see `stages`


class Key(NamedTuple):
    """Identifies a program: part of the network, image shape, images at once, and workers that share its tiles."""

    part: str
    input_shape: Shape
    images: int
    workers: int


class Compiled:
    """A program with its idle plans; for the whole network also its two stages."""

    def __init__(self, program: Program, kept: int, stages: Stages | None = None):
        self.program = program
        self.stages = stages
        self.plans = Pool(program.bind, kept)
        self.jobs = Pool(lambda: Job(program.bind(), program.workers), 1)
        self.is_prepacked = False


class Route(NamedTuple):
    """The programs that a batch runs: `front` and, by group size, `backs` for its groups; `shared` for the remainder.

    Where the network is not cut, `front` is all of it and there are no backs.
    """

    split: Split
    front: Compiled | None
    backs: Mapping[int, Compiled]
    shared: Compiled | None


class Programs:
    """One LRU for all image shapes, numbers of images at once and numbers of workers. Thread-safe.

    store       where prepacked weights are kept between processes; None keeps none
    kept_plans  how many idle plans each program keeps
    """

    def __init__(self, network: Network, options: Options, store: Store | None, kept_plans: int):
        self._network = network
        self._options = options
        self._weights = prepare(network)
        self._store = store
        self._kept_plans = kept_plans
        self._compiled: OrderedDict[Key, Compiled] = OrderedDict()
        self._lock = Lock()
        self._closed = False

    def route(self, input_shape: Shape, images: int, team: Team | None) -> Route:
        """The programs for a batch, compiled and their weights prepacked by the team's workers where necessary.

        Raises ShapeError where the images do not fit the network, DeviceError where memory is insufficient.
        """
        workers = 1 if team is None else team.workers
        split, whole = split_batch(images, workers), self.whole(input_shape, workers)
        front, backs = None, {}
        if split.groups and whole.stages is None:
            front = self.whole(input_shape, 1)
        elif split.groups:
            front = self.get(Key(FRONT, input_shape, 1, 1))
            backs = {size: self.get(Key(BACK, input_shape, size, 1)) for size in sorted(split.sizes)}
        shared = whole if split.shared else None
        needed = [part for part in (front, *backs.values(), shared) if part is not None]
        self.ready(*needed, team=team)
        return Route(split, front, backs, shared)

    def ready(self, *needed: Compiled, team: Team | None = None) -> Compiled:
        """The first of these programs, after the weights of all have been prepacked."""
        if not all(part.is_prepacked for part in needed):
            forms = dict.fromkeys(form for part in needed for form in part.program.prepacked())
            prepack(self._weights, forms, self._store, team)
            for part in needed:
                part.is_prepacked = True
        return needed[0]

    def whole(self, input_shape: Shape, workers: int) -> Compiled:
        """All of the network, for one image."""
        return self.get(Key(WHOLE, input_shape, 1, workers))

    def get(self, key: Key) -> Compiled:
        """A program, compiled on first use. Two threads may compile the same one concurrently; both get the first."""
        with self._lock.plain:
            if self._closed:
                raise DeviceError("this model has been closed; load it again to use it")
            found = self._compiled.get(key)
            if found is not None:
                self._compiled.move_to_end(key)
                return found
        made = self._compile(key)
        with self._lock.plain:
            found = self._compiled.setdefault(key, made)
            if len(self._compiled) > KEPT_PROGRAMS:
                self._compiled.popitem(last=False)
            return found

    def _compile(self, key: Key) -> Compiled:
        network, shape = self._network, key.input_shape
        if key.part != WHOLE:
            whole = self.whole(shape, 1)
            assert whole.stages is not None
            network = whole.stages.front if key.part == FRONT else whole.stages.back
            if key.part == BACK:
                shape = whole.program.layout.values[whole.stages.front.outputs[CUT]].shape
        program = compile_program(network, shape, key.images, key.workers, self._weights, self._options)
        if key.part != WHOLE:
            return Compiled(program, self._kept_plans)
        shapes = {name: value.shape for name, value in program.layout.values.items()}
        return Compiled(program, self._kept_plans, cut_in_two(network, shapes))

    def close(self) -> None:
        """Release all programs and their plans; later lookups raise DeviceError."""
        with self._lock.plain:
            self._closed = True
            self._compiled.clear()
