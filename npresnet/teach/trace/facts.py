"""Facts: everything that the page shows, found with a model and an image. Nothing is drawn here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet import images, passes
from npresnet.cpu.runtime.blas import guard
from npresnet.cpu.runtime.running import copy_in
from npresnet.network import INPUT, Array, Node
from npresnet.plan import Layout, Plan
from npresnet.plan.shapes import infer_shapes
from npresnet.plan.steps import Step
from npresnet.teach.explain.facts import name_of, predict
from npresnet.teach.pages import pictures
from npresnet.teach.trace.maps import Maps, draw, run_keeping_all
from npresnet.teach.trace.merging import swallowed_by

if TYPE_CHECKING:
    from npresnet.model.model import Model

PASSES = 5  # of the whole plan, timed; a step's time is the median


@dataclass(frozen=True)
class TracedStep:
    """One step of the plan.

    reads        names of the values it reads; `nodes` the (name, operation) that it does, as the network has them
    window       such as "3x3/2", "" for none
    shape        of its result, (C, H, W) or (C,)
    macs         multiply-adds of the direct sum
    traffic      bytes of inputs, weights and output, which it must move at least
    ms           median on one thread
    """

    name: str
    op: str
    nodes: list[tuple[str, str]]
    reads: list[str]
    window: str
    groups: int
    shape: tuple[int, ...]
    algorithm: str
    tiles: int
    macs: int
    weights: int
    traffic: int
    ms: float
    maps: Maps


@dataclass(frozen=True)
class Block:
    """A value's place in the arena: bytes offset..offset+size, from step `first` to step `last`, both counted.

    -1 is the time before the first step, when the image is copied in. halo: zeros around the image are part of it.
    """

    name: str
    first: int
    last: int
    offset: int
    size: int
    halo: bool


@dataclass(frozen=True)
class Facts:
    """What the page shows.

    nodes_before, ops_before     of the network as the checkpoint has it; after folding, after fusing, as it runs
    arena                        where values lie; arena_bytes in all, values_bytes if each had memory of its own
    """

    image: str
    arch: str
    prediction: list[tuple[str, float]]
    photo: str
    input_shape: tuple[int, ...]
    nodes_before: int
    nodes_folded: int
    nodes_fused: int
    ops_before: dict[str, int]
    ops_after: dict[str, int]
    steps: list[TracedStep]
    total_ms: float
    total_macs: int
    weights_bytes: int
    arena: list[Block]
    arena_bytes: int
    values_bytes: int
    unfused_bytes: int


def gather(model: Model, image: Any) -> Facts:
    """Run `model` on one image step by step, and keep what every step makes. Raises ImageError, ShapeError."""
    batch = model.preprocess(image)  # (1, C, H, W)
    executable = model._executables.get(None)
    executable(batch)  # prepacks the weights, and shows early where the image does not fit
    shape = batch.shape[1:]
    layout, plan = executable.layout(shape), executable.plan(shape)
    values = run_keeping_all(
        executable.network, batch, winograd=executable.options.winograd, fast=not executable.options.exact
    )
    done = swallowed_by(model.network, executable.network)
    times_ms = time_steps(plan, batch)
    steps = [
        _step(executable.network[step.name], step, done[step.name], layout, values[step.name][0], ms)
        for step, ms in zip(plan.steps, times_ms, strict=True)
    ]
    folded = passes.fold_batch_norm(model.network)
    return Facts(
        image=name_of(image),
        arch=str(model.config.value("arch")),
        prediction=predict(model, batch),
        photo=pictures.photo(images.cropped(image, model.config["preprocess"].value)),
        input_shape=shape,
        nodes_before=len(model.network),
        nodes_folded=len(folded),
        nodes_fused=len(passes.fuse(folded)),
        ops_before=dict(Counter(node.op for node in model.network)),
        ops_after=dict(Counter(node.op for node in executable.network)),
        steps=steps,
        total_ms=sum(times_ms),
        total_macs=sum(layout.macs.values()),
        weights_bytes=sum(step.weights for step in steps) * 4,
        arena=[_block(layout, name) for name in (INPUT, *(step.name for step in plan.steps))],
        arena_bytes=layout.arena_bytes,
        values_bytes=sum(value.size_bytes for value in layout.values.values()),
        unfused_bytes=_unfused_bytes(model, shape),
    )


def time_steps(plan: Plan, batch: Array, count: int = PASSES) -> list[float]:
    """Milliseconds of each step, in its place in the whole plan: the median of `count` passes after one to warm up."""
    call = object()
    guard.hold(call)  # BLAS on one thread
    try:
        found = []
        for _ in range(count + 1):
            copy_in(plan, batch)
            with np.errstate(all="ignore"):
                found.append([_time(step) for step in plan.steps])
    finally:
        guard.release(call)
    return [median(times) for times in zip(*found[1:], strict=True)]


def _time(step: Step) -> float:
    start_ns = perf_counter_ns()
    for tile in step.tiles:
        for kernel, args in tile:
            kernel(*args)
    return (perf_counter_ns() - start_ns) / 1e6


def _step(node: Node, step: Step, done: list[Node], layout: Layout, value: Array, ms: float) -> TracedStep:
    return TracedStep(
        name=node.name,
        op=node.op,
        nodes=[(part.name, part.op) for part in done],
        reads=list(node.inputs),
        window=_window(node),
        groups=node.groups,
        shape=tuple(layout.values[node.name].shape),
        algorithm=step.algorithm,
        tiles=len(step.tiles),
        macs=layout.macs[node.name],
        weights=sum(node.params[role].size for role in ("weight", "bias") if role in node.params),
        traffic=step.size_bytes,
        ms=ms,
        maps=draw(value),
    )


def _window(node: Node) -> str:
    """ "3x3", "3x3/2" with a stride, "3x3 dilated 2"."""
    if node.window is None:
        return ""
    height, width = node.window.kernel_size
    stride, dilation = max(node.window.stride), max(node.window.dilation)
    return f"{height}x{width}{f'/{stride}' if stride > 1 else ''}{f' dilated {dilation}' if dilation > 1 else ''}"


def _block(layout: Layout, name: str) -> Block:
    value = layout.values[name]
    last = min(value.lifetime.last, len(layout.network))
    return Block(name, value.lifetime.first, last, value.offset_bytes, value.size_bytes, value.has_halo)


def _unfused_bytes(model: Model, shape: tuple[int, ...]) -> int:
    """What the values of all nodes before the passes would take, each with memory of its own."""
    return sum(4 * int(np.prod(value)) for value in infer_shapes(model.network, shape).values())
