"""Executable: a network on the CPU. `executable(x)` takes images and returns the network's outputs.

Compile, then run. The first call for an image shape and a number of images at once compiles a Program (`compiler`) and
prepacks the weights that it reads. Later calls look it up and run it on memory taken from a pool, so concurrent calls
share no buffer, and memory does not grow with the batch. `compiler.split` decides how a batch is split between workers.
A call that finds the workers busy with another call runs in its own thread alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet.cpu.compiler.prepared import Store
from npresnet.cpu.compiler.programs import BACK, FRONT, Key, Programs, Route
from npresnet.cpu.kernels.lowering import Options
from npresnet.cpu.runtime.blas import guard
from npresnet.cpu.runtime.cpus import default_threads, usable_cpus
from npresnet.cpu.runtime.running import copy_in, copy_out, run_group
from npresnet.cpu.runtime.workers import Team, shared_team, taken_from
from npresnet.errors import DeviceError, ShapeError
from npresnet.network import Array, Network
from npresnet.passes import fuse_max_pool
from npresnet.plan import Layout, Plan, Step
from npresnet.plan.shapes import Shape

if TYPE_CHECKING:
    from npresnet.cpu.runtime.stopwatch import Stopwatch

KEPT_PLANS = 2  # idle plans kept for each CPU or thread: more concurrent callers gain nothing


def compile(
    network: Network,
    *,
    threads: int | None = None,
    winograd: bool = True,
    fast: bool = False,
    store: Store | None = None,
) -> Executable:
    """Prepare `network` (best after `passes.optimize`) to run on `threads` threads, by default `default_threads`.

    winograd  False computes every convolution by the direct sum
    fast      True lets BLAS multiply several images together even where their last bits then depend on the batch
    store     where prepacked weights are kept between processes; None keeps none

    Where the system starts fewer threads (a container's limit of processes), these do the work. Raises
    ArchitectureError for an unsupported operation.
    """
    options = Options(winograd=winograd, exact=not fast)
    return Executable(fuse_max_pool(network), default_threads().number if threads is None else threads, options, store)


class Executable:
    """A network on the CPU. Safe to call from several threads at once; `close()` frees its memory.

    network  after this backend's passes
    """

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
        self._programs = Programs(network, options, store, KEPT_PLANS * max(threads, usable_cpus()))
        self._team: Team | None = shared_team(threads) if threads > 1 else None

    def __call__(self, images: Array) -> dict[str, Array]:
        """Run the network on every image.

        images   (N, C, H, W)    float32, any strides; other floats and integers are cast. Never changed. Clips are
                                 (N, C, T, H, W)
        returns  {output name: (N, ...) float32}, arrays that belong to the caller

        Raises ShapeError where the images do not fit the network, DeviceError after `close()` and where memory is
        insufficient.
        """
        _check_axes(images)
        self._programs.admit()
        shapes, call, team = self._programs.shelf(images.shape[1:]).shapes, object(), self._team
        try:
            outputs = {
                asked: np.empty((len(images), *shapes[name]), np.float32)
                for asked, name in self.network.outputs.items()
            }
            guard.hold(call)
            if len(images):
                self._run(team if team is not None and team.try_enter(call) else None, images, outputs)
            _release(call, team)
        except MemoryError:
            _release(call, team)
            raise DeviceError(
                f"{len(images)} images of {images.shape[1:]} (C, H, W) need more memory than there is"
            ) from None
        except BaseException:
            _release(call, team)  # again: Ctrl-C may have interrupted it
            raise
        return outputs

    def prepack(self, shape: Shape) -> None:
        """Compile for batches of this shape, (N, C, H, W), and prepack the weights, without running anything.

        Raises as a call does.
        """
        _check_count(shape[0])
        self._programs.admit()
        call, team = object(), self._team
        try:
            guard.hold(call)
            entered = team if team is not None and team.try_enter(call) else None
            self._programs.route(tuple(shape[1:]), shape[0], _alone_as_none(entered))
            _release(call, team)
        except BaseException:
            _release(call, team)  # again: Ctrl-C may have interrupted it
            raise

    def as_array(self, x: Any) -> Array:
        """x as a call's argument: a NumPy array."""
        return np.asarray(x)

    def layout(self, input_shape: Shape, images: int = 1) -> Layout:
        """The memory layout of one image (C, H, W), the unit of work here. Raises ShapeError where it does not fit."""
        _check_count(images)
        self._programs.admit()
        return self._programs.whole(tuple(input_shape), 1).program.layout

    def steps(self, input_shape: Shape, images: int = 1) -> tuple[Step, ...]:
        """The steps that a worker runs for `images` images: the front's (run once for each image), then the back's."""
        return tuple(step for plan in self.plans(input_shape, images) for step in plan.steps)

    def stopwatch(self, images: Array) -> Stopwatch:
        """Times the steps that one worker runs for these images (N, C, H, W)."""
        from npresnet.cpu.runtime.stopwatch import Stopwatch  # not needed for predictions

        _check_axes(images)
        return Stopwatch(self.plans(images.shape[1:], len(images)), images)

    def keeping_all(self) -> Executable:
        """The same network on one thread, with every step's result among its outputs, by the step's name."""
        every = Network(self.network.nodes, {node.name: node.name for node in self.network})
        return Executable(every, 1, self.options)

    def plan(self, input_shape: Shape, workers: int = 1) -> Plan:
        """A new plan for one image (C, H, W), to print, time or trace; calls never use it."""
        self._programs.admit()
        return self._programs.ready(self._programs.whole(tuple(input_shape), workers)).program.bind()

    def plans(self, input_shape: Shape, images: int = 1) -> list[Plan]:
        """The plans that one worker runs for `images` images: of the whole network, or of its front and its back.

        The front's plan takes one image and runs once for each; the back's plan takes all of them and runs afterwards.
        """
        _check_count(images)
        input_shape = tuple(input_shape)
        if images == 1 or self._programs.shelf(input_shape).stages is None:
            return [self.plan(input_shape)]
        self._programs.admit()
        front = self._programs.get(Key(FRONT, input_shape, 1, 1))
        back = self._programs.compile(Key(BACK, input_shape, images, 1))  # not kept: calls never have so large groups
        return [self._programs.ready(part).program.bind() for part in (front, back)]

    def close(self) -> None:
        """Release plans, their memory, and threads. Running calls complete; later ones raise DeviceError."""
        self._programs.close()
        self._team = None

    # --- run ---------------------------------------------------------------------------------------------------------

    def _run(self, team: Team | None, images: Array, outputs: dict[str, Array]) -> None:
        team = _alone_as_none(team)
        route = self._programs.route(images.shape[1:], len(images), team)
        groups = deque(route.split.groups)
        if team is None:
            _run_groups(route, groups, [], images, outputs)
            return
        if route.front is not None:
            failed: list[bool] = []  # not an Event, which has a lock
            work = partial(_run_groups, route, groups, failed, images, outputs)
            team.run([work] * team.workers, lambda: failed.append(True))
        if route.shared is not None:
            job = route.shared.jobs.take()
            for index in route.split.shared:
                copy_in(job.plan, images[index : index + 1])
                team.run([partial(job.run, worker) for worker in range(team.workers)], job.abort)
                copy_out(job.plan, outputs, index, index + 1)
            route.shared.jobs.give(job)


def _run_groups(
    route: Route, groups: deque[tuple[int, int]], failed: list[bool], images: Array, outputs: Mapping[str, Array]
) -> None:
    """One worker: takes the next group of images until none remains, or another worker has failed."""
    assert route.front is not None
    backs: dict[int, Plan] = {}
    try:
        front = route.front.plans.take()
        for group in taken_from(groups):
            if failed:
                break
            size = group[1] - group[0]
            if size in route.backs and size not in backs:
                backs[size] = route.backs[size].plans.take()
            run_group(front, backs.get(size), images, outputs, *group)
    except BaseException:
        failed.append(True)
        raise
    route.front.plans.give(front)
    for size, back in backs.items():
        route.backs[size].plans.give(back)


def _alone_as_none(team: Team | None) -> Team | None:
    """None for a team without further threads, as where the system refuses them."""
    return None if team is None or team.workers == 1 else team


def _release(call: object, team: Team | None) -> None:
    if team is not None:
        team.leave(call)
    guard.release(call)


def _check_axes(images: Array) -> None:
    if images.ndim not in (4, 5):
        raise ShapeError(f"expects images (N, C, H, W), or clips (N, C, T, H, W), got {images.shape}")


def _check_count(images: int) -> None:
    if images < 1:
        raise ShapeError(f"expects at least one image, got {images}")
