"""npresnet's time by layer: every step of a compiled network, timed within a whole run.

The whole network runs repeatedly in order: a step that is repeated alone finds weights and input in the cache, which it
never does in use. The median over the passes is a step's time; whole calls of the model alternate with the passes, so
that time outside the steps (copying in and out, the call itself) is measured too. On the CPU one thread runs all steps:
overlapping steps of several threads would have no time of their own; the comparison with peers uses all threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet.bench import machine
from npresnet.bench.peak import gemm_peak_gflops
from npresnet.bench.prepare import random_model
from npresnet.bench.timing import median
from npresnet.config import Config
from npresnet.cpu.compiler.split import split_batch
from npresnet.cpu.runtime.blas import guard
from npresnet.network import Network, Node
from npresnet.ops.registry import operation_of
from npresnet.plan.executable import Stopwatch
from npresnet.plan.shapes import Shape

if TYPE_CHECKING:
    from npresnet.model.model import Model

MIN_PASSES = 5
ONE_THREAD = "one thread"  # of the CPU


@dataclass(frozen=True)
class Request:
    """What to time: a model's name (random weights) or weight file, images a call, duration, load's options."""

    model: str
    batch: int = 1
    size: int = 224
    seconds: float = 3.0
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepTime:
    """One step, for one image.

    shape      in words, such as "convolution 3x3 64->64, 56x56"
    algorithm  in words
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
    """All steps of one model at one batch.

    device            "one thread" of the CPU, or the GPU and the precision
    gemm_peak_gflops  of one thread; None on a GPU, whose ceilings the GPU report measures
    whole_ms          a call of the model, from NumPy images to NumPy logits, for one image, as for ms
    """

    model: str
    batch: int
    size: int
    device: str
    gemm_peak_gflops: float | None
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
    """Load a model, on the CPU for one thread, and time it step by step. Raises what `npresnet.load` raises.

    The GEMM peak is the better of two, measured before and after in this process.
    """
    import npresnet

    with TemporaryDirectory(prefix="npresnet-layers-") as folder:
        is_file = Path(request.model).is_file()
        path = Path(request.model) if is_file else random_model(request.model, Path(folder), 0, may_use_torch=False)
        with npresnet.load(path, threads=1, **request.options) as model:
            device, on_cpu = _device(model), model.config["device"].value == "cpu"
            images = _images(request, _image_shape(model.config, request.size))
            executable = model.executable()
            group = group_of(request.batch) if on_cpu else request.batch
            watch = executable.stopwatch(executable.as_array(images[:group]))
            before = gemm_peak_gflops() if on_cpu else 0.0
            passes, whole = run_passes(watch, group, lambda: model(images), request.seconds)
            peak = max(before, gemm_peak_gflops()) if on_cpu else None
            layout = executable.layout(images.shape[1:], group)
            words = shapes_in_words(layout.network, {name: value.shape for name, value in layout.values.items()})
    return LayerTimes(
        model=Path(request.model).name,
        batch=request.batch,
        size=request.size,
        device=device,
        gemm_peak_gflops=None if peak is None else round(peak, 1),
        whole_ms=round(median(whole) / request.batch, 4),
        passes=len(passes),
        steps=step_times(watch, passes, words),
        options=dict(request.options),
        versions={"npresnet": npresnet.__version__, "numpy": np.__version__},
        blas=machine.blas_libraries(),
    )


def group_of(batch: int) -> int:
    """The size of the largest group of a batch's images that a CPU worker runs through the deep layers at once."""
    return max(split_batch(batch, workers=1).sizes)


def run_passes(
    watch: Stopwatch, images: int, call_model: Callable[[], object], seconds: float
) -> tuple[list[list[float]], list[float]]:
    """Alternate passes of the stopwatch and of the whole model, for about `seconds`; the first is not counted.

    images  the number of images that the stopwatch runs in a pass

    Returns, for each pass, the milliseconds an image of every step; and those of each whole call.
    """
    passes: list[list[float]] = []
    whole_ms: list[float] = []
    call = object()
    try:
        guard.hold(call)
        watch.lap()
        call_model()
        deadline = time.perf_counter() + seconds
        while len(passes) < MIN_PASSES or time.perf_counter() < deadline:
            passes.append([ms / images for ms in watch.lap()])
            start_ns = time.perf_counter_ns()
            call_model()
            whole_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    finally:
        guard.release(call)
    return passes, whole_ms


def step_times(watch: Stopwatch, passes: Sequence[Sequence[float]], words: Mapping[str, str]) -> list[StepTime]:
    """The median time of each step over the passes, with its description."""
    return [
        StepTime(step.name, words.get(step.name, ""), step.algorithm, round(median(times), 5), step.flops // images)
        for step, images, times in zip(watch.steps, watch.images, zip(*passes, strict=True), strict=True)
    ]


def shapes_in_words(network: Network, shapes: Mapping[str, Shape]) -> dict[str, str]:
    """A description of every node, such as "convolution 7x7/2 3->64, 112x112" (the size is the output's)."""
    return {node.name: _words(node, shapes) for node in network}


def window_in_words(node: Node) -> str:
    """ "3x3", "3x3/2" with a stride, "3x3 dilated 2"; "" for an operation without a window."""
    if node.window is None:
        return ""
    stride, dilation = node.window.stride, node.window.dilation
    each = "x".join(map(str, stride if len(set(stride)) > 1 else stride[:1]))
    strided = "" if max(stride) == 1 else f"/{each}"
    dilated = "" if max(dilation) == 1 else f" dilated {max(dilation)}"
    return f"{'x'.join(map(str, node.window.kernel_size))}{strided}{dilated}"


def _words(node: Node, shapes: Mapping[str, Shape]) -> str:
    channels, *_ = shapes[node.inputs[0]]
    out_channels, *size = shapes[node.name]
    change = f"{channels}->{out_channels}" if channels != out_channels or node.params else f"{channels}"
    groups = f"{node.groups} groups" if node.groups > 1 else ""
    first = " ".join(filter(None, [operation_of(node).label, window_in_words(node), change]))
    return ", ".join(filter(None, [first, groups, "x".join(map(str, size))]))


def _device(model: Model) -> str:
    """The device, and the precision where there is a choice."""
    address = model.config["device"].value
    if address == "cpu":
        return ONE_THREAD
    from npresnet import cuda

    return f"{cuda.open_gpu(address).name} ({address}), {model.config['dtype'].value}"


def _image_shape(config: Config, size: int) -> Shape:
    """(C, size, size), of a network for clips (C, T, size, size)."""
    frames = (config.value("frames"),) if "frames" in config else ()
    return (config.value("in_channels", 3), *frames, size, size)


def _images(request: Request, shape: Shape) -> np.ndarray:
    """(batch, C, H, W)"""
    return np.random.default_rng(request.seed).standard_normal((request.batch, *shape), dtype=np.float32)
