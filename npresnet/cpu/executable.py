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


def compile(network: Network, *, threads: int | None = None) -> Executable:
    """Make `network` (best after `passes.optimize`) ready to run on `threads` threads, by default all usable CPUs."""
    return Executable(network, usable_cpus() if threads is None else threads)


class Size:
    """What is kept for one image size: its layout, and idle jobs (plans bound to memory) by their number of lanes."""

    def __init__(self, layout: Layout):
        self.layout = layout
        self.idle: dict[int, list[Job]] = {}


class Executable:
    """A network on the CPU. May be called from several threads at once; `close()` gives its memory back."""

    def __init__(self, network: Network, threads: int):
        self.network = network
        self.threads = threads
        self._prepared = prepare(network.nodes)
        self._sizes: OrderedDict[Shape, Size] = OrderedDict()
        self._lock = threading.Lock()
        self._team: Team | None = shared_team(threads) if threads > 1 else None
        self._closed = False

    def __call__(self, images: Array) -> dict[str, Array]:
        """images (N, C, H, W), any strides, cast to float32 -> {asked name: (N, ...) float32}, the caller's to keep."""
        if images.ndim != 4:
            raise ShapeError(f"expects images (N, C, H, W), got {images.shape}")
        size = self._size(images.shape[1:])
        values = size.layout.values
        outputs = {
            asked: np.empty((len(images), *values[name].shape), np.float32)
            for asked, name in self.network.outputs.items()
        }
        with guard:
            self._run_all(size, images, outputs)
        return outputs

    def layout(self, input_shape: Shape) -> Layout:
        """Shapes, lifetimes and arena offsets for one image (C, H, W). Raises ShapeError where it does not fit."""
        return self._size(input_shape).layout

    def plan(self, input_shape: Shape, lanes: int = 1) -> Plan:
        """A plan of its own for one image (C, H, W), to print, time or trace; never lent to a call."""
        return lower(self.layout(input_shape), self._prepared, lanes)

    def close(self) -> None:
        """Let go of memory and threads. Calls still running end well; later ones raise DeviceError."""
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
        """Borrow `count` jobs. They come back only after success: one that failed half way may be in any state."""
        with self._lock:
            idle = size.idle.setdefault(lanes, [])
            jobs = [idle.pop() for _ in range(min(count, len(idle)))]
        while len(jobs) < count:
            jobs.append(Job.of(lower(size.layout, self._prepared, lanes), lanes))
        yield jobs
        with self._lock:
            idle += jobs

    def _run_all(self, size: Size, images: Array, outputs: dict[str, Array]) -> None:
        team = self._team
        if team is None or not len(images) or not team.try_enter():
            self._run_alone(size, images, outputs)
            return
        try:
            shared = len(images) % self.threads
            whole = len(images) - shared
            if whole:
                self._run_images(team, size, images[:whole], {k: v[:whole] for k, v in outputs.items()})
            if shared:
                self._run_tiles(team, size, images[whole:], {k: v[whole:] for k, v in outputs.items()})
        finally:
            team.leave()

    def _run_alone(self, size: Size, images: Array, outputs: dict[str, Array]) -> None:
        with self._jobs(size, lanes=1, count=min(1, len(images))) as jobs:
            for index in range(len(images)):
                run_image(jobs[0], images, outputs, index)

    def _run_images(self, team: Team, size: Size, images: Array, outputs: dict[str, Array]) -> None:
        """Each lane takes the next image until none is left, or another lane has failed."""
        indices = itertools.count()  # next() is atomic, and cannot leave a lock behind when interrupted
        failed = threading.Event()

        def take_images(job: Job) -> None:
            try:
                while not failed.is_set() and (index := next(indices)) < len(images):
                    run_image(job, images, outputs, index)
            except BaseException:
                failed.set()
                raise

        with self._jobs(size, lanes=1, count=team.lanes) as jobs:
            team.run([partial(take_images, job) for job in jobs], failed.set)

    def _run_tiles(self, team: Team, size: Size, images: Array, outputs: dict[str, Array]) -> None:
        """All lanes work on one image: each runs its tiles of a step, then waits for the others."""
        with self._jobs(size, lanes=team.lanes, count=1) as (job,):
            for index in range(len(images)):
                barrier = Barrier(team.lanes)
                work = [partial(run_share, share, barrier, lane) for lane, share in enumerate(job.shares)]
                copy_in(job.plan, images, index)
                team.run(work, barrier.abort)
                copy_out(job.plan, outputs, index)
