"""Where npresnet's time goes: every step of a network's plan, timed in its place.

One thread, the whole plan in order, again and again: a step that is repeated on its own finds weights and input in the
cache, which it never does in use. The median over the passes is a step's time; whole calls of the model take turns with
the passes, so that what is not in any step (copying in and out, the call itself) shows too. Threads that overlap would
have no time by layer, so there is one; what more threads gain is the race's to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from npresnet.bench import machine
from npresnet.bench.peak import gemm_peak_gflops
from npresnet.bench.prepare import random_model
from npresnet.bench.timing import median
from npresnet.cpu.compiler.stages import GROUP
from npresnet.cpu.runtime.blas import guard
from npresnet.cpu.runtime.running import arithmetic
from npresnet.network import Network, Node
from npresnet.plan import Plan
from npresnet.plan.shapes import Shape, infer_shapes
from npresnet.plan.steps import Step

MIN_PASSES = 5
WORDS = {
    "conv2d": "",
    "linear": "",
    "conv2d_max_pool2d": "with max pool",
    "max_pool2d": "max pool",
    "avg_pool2d": "average pool",
    "global_avg_pool": "global average pool",
}


@dataclass(frozen=True)
class Request:
    """What to time: a model's name (random weights) or weight file, images a call, for how long, load's options."""

    model: str
    batch: int = 1
    size: int = 224
    seconds: float = 3.0
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepTime:
    """One step, for one image.

    shape      in words, such as "3x3 64->64, 56x56"
    algorithm  how it is computed
    ms         median over the passes
    flops      2 a multiply-add of the direct method, whatever the algorithm
    """

    name: str
    shape: str
    algorithm: str
    ms: float
    flops: int


@dataclass(frozen=True)
class LayerTimes:
    """All steps of one model at one batch. whole_ms is a call of the model by one thread, for one image, as ms are."""

    model: str
    batch: int
    size: int
    gemm_peak_gflops: float
    whole_ms: float
    passes: int
    steps: Sequence[StepTime]
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    blas: Sequence[Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def time_layers(request: Request) -> LayerTimes:
    """Load a model on one thread and time it step by step. Raises what `npresnet.load` raises.

    The GEMM peak is the better of two, measured before and after in this process.
    """
    import npresnet

    with TemporaryDirectory(prefix="npresnet-layers-") as folder:
        is_file = Path(request.model).is_file()
        path = Path(request.model) if is_file else random_model(request.model, Path(folder), 0, may_use_torch=False)
        with npresnet.load(path, threads=1, **request.options) as model:
            channels = model.config.value("in_channels", 3)
            images = _images(request, (channels, request.size, request.size))
            executable = model._executables.get(None)  # the one that model(x) runs
            group = group_of(request.batch)
            plans = executable.plans(images.shape[1:], images=group)
            before = gemm_peak_gflops()
            passes, whole = run_passes(plans, group, lambda: model(images), request.seconds)
            peak = max(before, gemm_peak_gflops())
            words = shapes_in_words(executable.network, images.shape[1:])
    return LayerTimes(
        model=Path(request.model).name,
        batch=request.batch,
        size=request.size,
        gemm_peak_gflops=round(peak, 1),
        whole_ms=round(median(whole) / request.batch, 4),
        passes=len(passes),
        steps=step_times(plans, passes, words),
        options=dict(request.options),
        versions={"npresnet": npresnet.__version__, "numpy": np.__version__},
        blas=machine.blas_libraries(),
    )


def group_of(batch: int) -> int:
    """How many images of a batch the backend takes through the deep layers at once, in its largest group."""
    return ceil(batch / ceil(batch / GROUP))


def images_of(plan: Plan) -> int:
    """How many images one run of this plan handles."""
    return len(plan.input)


def run_passes(
    plans: Sequence[Plan], images: int, call_model: Callable[[], object], seconds: float
) -> tuple[list[list[float]], list[float]]:
    """Turns of all plans, for a group of images, and the whole model, for about `seconds`; the first does not count.

    Returns, for each pass, the milliseconds an image of every step, plan after plan; and those of each whole call.
    """
    for number, plan in enumerate(plans):
        plan.input[...] = np.random.default_rng(number).standard_normal(plan.input.shape, dtype=np.float32)
    passes: list[list[float]] = []
    whole_ms: list[float] = []
    call = object()
    try:
        guard.hold(call)
        _time_pass(plans, images)
        call_model()
        deadline = time.perf_counter() + seconds
        while len(passes) < MIN_PASSES or time.perf_counter() < deadline:
            passes.append(_time_pass(plans, images))
            start_ns = time.perf_counter_ns()
            call_model()
            whole_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    finally:
        guard.release(call)
    return passes, whole_ms


def step_times(plans: Sequence[Plan], passes: Sequence[Sequence[float]], words: Mapping[str, str]) -> list[StepTime]:
    """The median of each step over the passes, with what is known of it."""
    steps = [(step, images_of(plan)) for plan in plans for step in plan.steps]
    return [
        StepTime(
            step.name,
            words.get(step.name, ""),
            step.algorithm,
            round(median(times), 5),
            step.flops // images,
        )
        for (step, images), times in zip(steps, zip(*passes, strict=True), strict=True)
    ]


def shapes_in_words(network: Network, input_shape: Shape) -> dict[str, str]:
    """Of every node: what it does to which shape, such as "7x7/2 3->64, 112x112" (the size is the output's)."""
    shapes = infer_shapes(network, input_shape)
    return {node.name: _words(node, shapes) for node in network}


def _words(node: Node, shapes: Mapping[str, Shape]) -> str:
    channels, *_ = shapes[node.inputs[0]]
    out_channels, *size = shapes[node.name]
    change = f"{channels}->{out_channels}" if channels != out_channels or node.params else f"{channels}"
    kind = WORDS.get(node.op, node.op)
    groups = f"{node.groups} groups" if node.groups > 1 else ""
    first = " ".join(filter(None, [kind, _window_words(node), change]))
    return ", ".join(filter(None, [first, groups, "x".join(map(str, size))]))


def _window_words(node: Node) -> str:
    """ "3x3", "3x3/2" with a stride, "3x3 dilated 2"."""
    if node.window is None:
        return ""
    (height, width), stride, dilation = node.window.kernel_size, node.window.stride, node.window.dilation
    strided = "" if max(stride) == 1 else f"/{stride[0]}" if len(set(stride)) == 1 else f"/{stride[0]}x{stride[1]}"
    dilated = "" if max(dilation) == 1 else f" dilated {max(dilation)}"
    return f"{height}x{width}{strided}{dilated}"


def _time_pass(plans: Sequence[Plan], images: int) -> list[float]:
    """Milliseconds an image of every step, in one pass over all images: a plan for fewer of them runs several times."""
    found: list[float] = []
    with arithmetic():
        for plan in plans:
            runs = [[_time_step(step) for step in plan.steps] for _ in range(images // images_of(plan))]
            found += [sum(times) / images for times in zip(*runs, strict=True)]
    return found


def _time_step(step: Step) -> float:
    start_ns = time.perf_counter_ns()
    for tile in step.tiles:
        for kernel, args in tile:
            kernel(*args)
    return (time.perf_counter_ns() - start_ns) / 1e6


def _images(request: Request, shape: Shape) -> np.ndarray:
    """(batch, C, H, W)"""
    return np.random.default_rng(request.seed).standard_normal((request.batch, *shape), dtype=np.float32)
