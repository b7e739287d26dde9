"""Executable: a network made ready for the CPU. `executable(x)` takes images and gives what the network was asked for.

The unit of work is one image. A Layout is made once for an image size and kept for the last few sizes. Plans, which are
layouts bound to memory, are lent to calls and come back, so that calls at the same time share no buffer, and memory
does not grow with the batch. With T threads and N images:

    the first T*(N // T) images  each thread runs whole images on plans of its own: no thread waits for another; the
                                 deep layers of a few images at once (`stages`)
    the N % T left over          one image at a time, its tiles shared by all threads, which wait for
                                 each other's tiles where they need them (`schedule`)

Both multiply the same numbers in the same order, so an image's result is the same bits either way. A call that finds
the threads busy with another call's work does its own in the thread that it came on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np

from npresnet.cpu.compiler.lowering import Options, prepare
from npresnet.cpu.compiler.prepack import prepack
from npresnet.cpu.compiler.prepared import Store
from npresnet.cpu.compiler.sizes import Size
from npresnet.cpu.compiler.stages import groups_of
from npresnet.cpu.runtime.blas import guard
from npresnet.cpu.runtime.cpus import usable_cpus
from npresnet.cpu.runtime.running import Chain, copy_in, copy_out
from npresnet.cpu.runtime.schedule import Job
from npresnet.cpu.runtime.workers import Team, shared_team
from npresnet.errors import DeviceError, ShapeError
from npresnet.network import Array, Network
from npresnet.passes import fuse_max_pool
from npresnet.plan import Layout, Plan
from npresnet.plan.shapes import Shape
from npresnet.system.locks import Lock

Lent = TypeVar("Lent", Job, Chain)

KEPT_SIZES = 4  # image sizes whose layout and plans are kept
KEPT_JOBS = 2  # for each CPU or thread, idle plans that are kept: more callers at once than that gain nothing by it


def compile(
    network: Network,
    *,
    threads: int | None = None,
    winograd: bool = True,
    fast: bool = False,
    store: Store | None = None,
) -> Executable:
    """Make `network` (best after `passes.optimize`) ready to run on `threads` threads, by default all usable CPUs.

    winograd  False computes every convolution by the direct sum
    fast      True lets BLAS take several images together even where that changes their last bits with the batch
    store     where prepacked weights are kept from one process to the next; None keeps none

    Raises ArchitectureError for an operation that this backend does not have, DeviceError where the system starts no
    more threads.
    """
    options = Options(winograd=winograd, exact=not fast)
    return Executable(fuse_max_pool(network), usable_cpus() if threads is None else threads, options, store)


class Executable:
    """A network on the CPU. May be called from several threads at once; `close()` gives its plans' memory back."""

    def __init__(
        self,
        network: Network,
        threads: int,
        options: Options = Options(),  # noqa: B008  frozen
        store: Store | None = None,
    ):
        self.network = network
        self.threads = threads
        self.options = options
        self._prepared = prepare(network.nodes)
        self._store = store
        self._sizes: OrderedDict[Shape, Size] = OrderedDict()
        self._lock = Lock()
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
        values = size.whole.layout.values
        outputs = {
            asked: np.empty((len(images), *values[name].shape), np.float32)
            for asked, name in self.network.outputs.items()
        }
        call, team = object(), self._team
        try:
            guard.hold(call)
            self._run_all(call, team, size, images, outputs)
            _release(call, team)
        except BaseException:
            _release(call, team)  # again, for Ctrl-C may have come in the middle of it
            raise
        return outputs

    def as_array(self, x: Any) -> Array:
        """What a call takes of x: a NumPy array."""
        return np.asarray(x)

    def layout(self, input_shape: Shape) -> Layout:
        """Shapes, lifetimes and arena offsets for one image (C, H, W). Raises ShapeError where it does not fit."""
        return self._size(input_shape).whole.layout

    def plan(self, input_shape: Shape, workers: int = 1) -> Plan:
        """A plan of its own for one image (C, H, W), to print, time or trace; never lent to a call."""
        return self._size(input_shape).plan(workers)

    def plans(self, input_shape: Shape, images: int = 1) -> list[Plan]:
        """The plans that one thread runs for `images` images: of the whole network, or of its front and its back.

        The front's plan is for one image and run for each of them, before the back's plan for all.
        """
        return self._size(input_shape).plans(images)

    def close(self) -> None:
        """Let go of plans, their memory, and threads. Calls still running end well; later ones raise DeviceError."""
        with self._lock.plain:
            self._closed = True
            self._sizes.clear()
            self._team = None

    def _size(self, input_shape: Shape) -> Size:
        with self._lock.plain:
            if self._closed:
                raise DeviceError("this model has been closed; load it again to use it")
            size = self._sizes.get(input_shape)
            if size is None:
                size = Size(self.network, input_shape, self._prepared, self.options)
                self._sizes[input_shape] = size
                if len(self._sizes) > KEPT_SIZES:
                    self._sizes.popitem(last=False)
            self._sizes.move_to_end(input_shape)
            return size

    @contextmanager
    def _borrowed(self, idle: list[Lent], new: Callable[[], Lent], count: int, kept: int) -> Iterator[list[Lent]]:
        """`count` jobs or chains. They come back only after success: one that failed half way may be in any state."""
        with self._lock.plain:
            lent = [idle.pop() for _ in range(min(count, len(idle)))]
        while len(lent) < count:
            lent.append(new())
        yield lent
        with self._lock.plain:
            idle += lent
            del idle[kept:]

    def _run_all(self, call: object, team: Team | None, size: Size, images: Array, outputs: dict[str, Array]) -> None:
        if not len(images):
            return
        entered = team if team is not None and team.try_enter(call) else None
        if len(images) not in size.prepacked:
            prepack(self._prepared, size.choices(len(images), self.threads), self._store, entered)
            size.prepacked.add(len(images))
        if entered is None:
            self._run_alone(size, images, outputs)
            return
        shared = len(images) % self.threads
        whole = len(images) - shared
        if whole:
            self._run_images(entered, size, images[:whole], outputs)
        if shared:
            self._run_tiles(entered, size, images[whole:], {k: v[whole:] for k, v in outputs.items()})

    def _run_alone(self, size: Size, images: Array, outputs: dict[str, Array]) -> None:
        with self._borrowed(size.chains, size.new_chain, 1, self._kept_jobs) as (chain,):
            for first, last in groups_of(len(images), 1):
                chain.run(images, outputs, first, last)

    def _run_images(self, team: Team, size: Size, images: Array, outputs: dict[str, Array]) -> None:
        """Each worker takes the next few images until none is left, or another worker has failed."""
        groups = iter(
            groups_of(len(images), team.workers)
        )  # next() is atomic: a lock could stay behind when interrupted
        failed: list[bool] = []  # not an Event, which has a lock

        def fail() -> None:
            failed.append(True)

        def take_images(chain: Chain) -> None:
            try:
                while not failed and (group := next(groups, None)):
                    chain.run(images, outputs, *group)
            except BaseException:
                fail()
                raise

        with self._borrowed(size.chains, size.new_chain, team.workers, self._kept_jobs) as chains:
            team.run([partial(take_images, chain) for chain in chains], fail)

    def _run_tiles(self, team: Team, size: Size, images: Array, outputs: dict[str, Array]) -> None:
        """All workers work on one image, each on tiles of its own (see `schedule`)."""
        with self._borrowed(size.jobs, partial(size.new_job, self.threads), 1, 1) as (job,):
            work = [partial(job.run, worker) for worker in range(team.workers)]
            for index in range(len(images)):
                copy_in(job.plan, images[index : index + 1])
                team.run(work, job.abort)
                copy_out(job.plan, outputs, index, index + 1)


def _release(call: object, team: Team | None) -> None:
    if team is not None:
        team.leave(call)
    guard.release(call)
