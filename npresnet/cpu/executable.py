"""Executable: a network made ready for the CPU. `executable(x)` takes images and gives what the network was asked for.

The unit of work is one image. A Layout is made once for an image size and kept for the last few sizes. Plans, which are
layouts bound to memory, are lent to calls and come back, so that calls at the same time share no buffer, and memory
does not grow with the batch. With T threads and N images:

    the first T*(N // T) images  each thread runs whole images on a plan of its own: no thread waits for another
    the N % T left over          one image at a time, each step's tiles shared by all threads, a barrier after each step

Both run the same calls on the same numbers, so an image's result is the same bits either way. A call that finds the
threads busy with another call's work does its own in the thread that it came on.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from npresnet.cpu.blas import guard
from npresnet.cpu.cpus import usable_cpus
from npresnet.cpu.lowering import lower, prepare
from npresnet.cpu.running import Job, copy_in, copy_out, run_image, run_share
from npresnet.cpu.team import Barrier, Team, shared_team
from npresnet.errors import DeviceError, ShapeError
from npresnet.network import Array, Network
from npresnet.plan import Layout, Plan, make_layout
from npresnet.plan.shapes import Shape

KEPT_SIZES = 4  # image sizes whose layout and plans are kept
KEPT_JOBS = 2  # for each CPU or thread, idle plans that are kept: more callers at once than that gain nothing by it


def compile(network: Network, *, threads: int | None = None) -> Executable:
    """Make `network` (best after `passes.optimize`) ready to run on `threads` threads, by default all usable CPUs.

    Raises ArchitectureError for an operation that this backend does not have, DeviceError where the system starts no
    more threads.
    """
    return Executable(network, usable_cpus() if threads is None else threads)


class Size:
    """What is kept for one image size: its layout, and idle jobs (plans bound to memory) by their number of lanes."""

    def __init__(self, layout: Layout):
        self.layout = layout
        self.idle: dict[int, list[Job]] = {}


class Executable:
    """A network on the CPU. May be called from several threads at once; `close()` gives its plans' memory back."""

    def __init__(self, network: Network, threads: int):
        self.network = network
        self.threads = threads
        self._prepared = prepare(network.nodes)
        self._sizes: OrderedDict[Shape, Size] = OrderedDict()
        self._lock = threading.Lock()
        self._team: Team | None = shared_team(threads) if threads > 1 else None
        self._kept_jobs = KEPT_JOBS * max(threads, usable_cpus())
        self._closed = False

    def __call__(self, images: Array) -> dict[str, Array]:
        """Run the network on every image.

        images   (N, C, H, W)    float32, any strides; other floats and integers are cast. Never changed
        returns  {asked name: (N, ...) float32}, arrays that belong to the caller

        Raises ShapeError where the images do not fit the network, DeviceError after `close()` and where memory is too
        small.
        """
        if images.ndim != 4:
            raise ShapeError(f"expects images (N, C, H, W), got {images.shape}")
        size = self._size(images.shape[1:])
        values = size.layout.values
        outputs = {
            asked: np.empty((len(images), *values[name].shape), np.float32)
            for asked, name in self.network.outputs.items()
        }
        call, team = object(), self._team
        try:
            guard.hold(call)
            self._run_all(call, team, size, images, outputs)
            _let_go(call, team)
        except BaseException:
            _let_go(call, team)  # again, for Ctrl-C may have come in the middle of it
            raise
        return outputs

    def layout(self, input_shape: Shape) -> Layout:
        """Shapes, lifetimes and arena offsets for one image (C, H, W). Raises ShapeError where it does not fit."""
        return self._size(input_shape).layout

    def plan(self, input_shape: Shape, lanes: int = 1) -> Plan:
        """A plan of its own for one image (C, H, W), to print, time or trace; never lent to a call."""
        return lower(self.layout(input_shape), self._prepared, lanes)

    def close(self) -> None:
        """Let go of plans, their memory, and threads. Calls still running end well; later ones raise DeviceError."""
        with self._lock:
            self._closed = True
            self._sizes.clear()
            self._team = None

    def _size(self, input_shape: Shape) -> Size:
        with self._lock:
            if self._closed:
                raise DeviceError("this model has been closed; load it again to use it")
            size = self._sizes.get(input_shape)
            if size is None:
                size = self._sizes[input_shape] = Size(make_layout(self.network, input_shape))
                if len(self._sizes) > KEPT_SIZES:
                    self._sizes.popitem(last=False)
            self._sizes.move_to_end(input_shape)
            return size

    @contextmanager
    def _jobs(self, size: Size, lanes: int, count: int) -> Iterator[list[Job]]:
        """Borrow `count` jobs. They come back only after success: one that failed half way may be in any state.

        A few of those for whole images stay for later calls, one of those for shared tiles: a team has one caller.
        """
        with self._lock:
            idle = size.idle.setdefault(lanes, [])
            jobs = [idle.pop() for _ in range(min(count, len(idle)))]
        while len(jobs) < count:
            jobs.append(Job.of(lower(size.layout, self._prepared, lanes), lanes))
        yield jobs
        with self._lock:
            idle += jobs
            del idle[self._kept_jobs if lanes == 1 else 1 :]

    def _run_all(self, call: object, team: Team | None, size: Size, images: Array, outputs: dict[str, Array]) -> None:
        if team is None or not len(images) or not team.try_enter(call):
            self._run_alone(size, images, outputs)
            return
        shared = len(images) % self.threads
        whole = len(images) - shared
        if whole:
            self._run_images(team, size, images[:whole], {k: v[:whole] for k, v in outputs.items()})
        if shared:
            self._run_tiles(team, size, images[whole:], {k: v[whole:] for k, v in outputs.items()})

    def _run_alone(self, size: Size, images: Array, outputs: dict[str, Array]) -> None:
        with self._jobs(size, lanes=1, count=min(1, len(images))) as jobs:
            for index in range(len(images)):
                run_image(jobs[0], images, outputs, index)

    def _run_images(self, team: Team, size: Size, images: Array, outputs: dict[str, Array]) -> None:
        """Each lane takes the next image until none is left, or another lane has failed."""
        indices = itertools.count()  # next() is atomic, and cannot leave a lock behind when interrupted
        failed: list[bool] = []  # not an Event, which has a lock

        def fail() -> None:
            failed.append(True)

        def take_images(job: Job) -> None:
            try:
                while not failed and (index := next(indices)) < len(images):
                    run_image(job, images, outputs, index)
            except BaseException:
                fail()
                raise

        with self._jobs(size, lanes=1, count=team.lanes) as jobs:
            team.run([partial(take_images, job) for job in jobs], fail)

    def _run_tiles(self, team: Team, size: Size, images: Array, outputs: dict[str, Array]) -> None:
        """All lanes work on one image: each runs its tiles of a step, then waits for the others."""
        with self._jobs(size, lanes=team.lanes, count=1) as (job,):
            for index in range(len(images)):
                barrier = Barrier(team.lanes)
                work = [partial(run_share, share, barrier, lane) for lane, share in enumerate(job.shares)]
                copy_in(job.plan, images, index)
                team.run(work, barrier.abort)
                copy_out(job.plan, outputs, index)


def _let_go(call: object, team: Team | None) -> None:
    if team is not None:
        team.leave(call)
    guard.let_go(call)
