"""Facts: everything that the page shows, found with a model and an image. Nothing is drawn here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from statistics import median
from typing import TYPE_CHECKING, Any

from npresnet import passes
from npresnet.bench.layers import window_in_words
from npresnet.network import INPUT, Array, Network, Node
from npresnet.ops.record import trained_numbers
from npresnet.ops.registry import activation_of, operation_of
from npresnet.plan import Step, infer_shapes
from npresnet.plan.executable import Layout, Stopwatch
from npresnet.system.settings import quiet
from npresnet.teach.about import Device, device_of, labels_of, name_of, predict, shown_image
from npresnet.teach.pages import pictures
from npresnet.teach.steps import merged_into, run_keeping_all
from npresnet.teach.trace.maps import Maps, draw

if TYPE_CHECKING:
    from npresnet.model.model import Model

PASSES = 5  # of the whole network, timed; a step's time is the median


@dataclass(frozen=True)
class TracedStep:
    """One step of the compiled network.

    nodes        the (name, operation) of what it does, as the network has them
    words        what it does, a label for each operation and for each activation that an operation carries
    reads        names of the values it reads
    window       such as "3x3/2", "" for none
    shape        of its result, (C, H, W) or (C,)
    tiles        how many parts it has, `Device.part` each
    macs         multiply-adds of the direct sum
    traffic      bytes of inputs, weights and output, which it must move at least
    ms           median
    """

    name: str
    op: str
    nodes: list[tuple[str, str]]
    words: list[str]
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
    labels                       what the page calls each operation
    taken_in                     labels of what the device's own passes put into the step before
    total_ms, copying_ms         of all steps; of copies in and out that are no node's, where a device times them
    arena                        where values lie; arena_bytes in all, values_bytes if each had memory of its own
    """

    image: str
    arch: str
    device: Device
    prediction: list[tuple[str, float]]
    photo: str
    input_shape: tuple[int, ...]
    nodes_before: int
    nodes_folded: int
    nodes_fused: int
    ops_before: dict[str, int]
    ops_after: dict[str, int]
    labels: dict[str, str]
    taken_in: list[str]
    steps: list[TracedStep]
    total_ms: float
    copying_ms: float
    total_macs: int
    weights_bytes: int
    arena: list[Block]
    arena_bytes: int
    values_bytes: int
    unfused_bytes: int


@quiet
def gather(model: Model, image: Any) -> Facts:
    """Run `model` on one image step by step, and keep what every step makes. Raises ImageError, ShapeError."""
    batch = model.preprocess(image)  # (1, C, H, W)
    prediction = predict(model, batch)  # first: it shows early where the image does not fit
    executable, shape, device = model.executable(), tuple(batch.shape[1:]), device_of(model)
    layout = executable.layout(shape)
    watch = executable.stopwatch(executable.as_array(batch))
    timed = {step.name: (step, ms) for step, ms in zip(watch.steps, median_laps(watch), strict=True)}
    steps = _steps(model.network, layout, timed, run_keeping_all(executable, batch))
    fused = passes.optimize(model.network)
    ops_before, ops_after = Counter(node.op for node in model.network), Counter(step.op for step in steps)
    return Facts(
        image=name_of(image),
        arch=str(model.config.value("arch")),
        device=device,
        prediction=prediction,
        photo=pictures.photo(shown_image(model, image)),
        input_shape=shape,
        nodes_before=len(model.network),
        nodes_folded=len(passes.fold_batch_norm(model.network)),
        nodes_fused=len(fused),
        ops_before=dict(ops_before),
        ops_after=dict(ops_after),
        labels=labels_of([*ops_before, *ops_after]),
        taken_in=taken_in(fused, layout.network),
        steps=steps,
        total_ms=sum(step.ms for step in steps),
        copying_ms=sum(ms for name, (_, ms) in timed.items() if name not in layout.values),
        total_macs=sum(layout.macs.values()),
        weights_bytes=sum(step.weights for step in steps) * device.item_bytes,
        arena=[_block(layout, name) for name in (INPUT, *(step.name for step in steps))],
        arena_bytes=layout.arena_bytes,
        values_bytes=sum(value.size_bytes for value in layout.values.values()),
        unfused_bytes=sum(device.item_bytes * prod(size) for size in infer_shapes(model.network, shape).values()),
    )


def median_laps(watch: Stopwatch, count: int = PASSES) -> list[float]:
    """Milliseconds of each step, in its place in the whole: the median of `count` laps after one to warm up."""
    laps = [watch.lap() for _ in range(count + 1)]
    return [median(times) for times in zip(*laps[1:], strict=True)]


def taken_in(fused: Network, steps: Network) -> list[str]:
    """Labels of the nodes of the optimised network that the device's own passes put into the step before them."""
    own = {step.name for step in steps}
    return list(dict.fromkeys(operation_of(node).label for node in fused if node.name not in own))


def _steps(
    network: Network,
    layout: Layout,
    timed: Mapping[str, tuple[Step, float]],
    values: Mapping[str, Array],
) -> list[TracedStep]:
    """One for each node that the device has work for: on a GPU a flatten has none, and counts to what it reads."""
    working = [node for node in layout.network if node.name in timed]
    done = merged_into(network, working)
    return [_step(node, *timed[node.name], done[node.name], layout, values[node.name][0]) for node in working]


def _step(node: Node, step: Step, ms: float, done: Sequence[Node], layout: Layout, value: Array) -> TracedStep:
    return TracedStep(
        name=node.name,
        op=node.op,
        nodes=[(part.name, part.op) for part in done],
        words=_words(done or [node]),
        reads=list(node.inputs),
        window=window_in_words(node),
        groups=node.groups,
        shape=tuple(layout.values[node.name].shape),
        algorithm=step.algorithm,
        tiles=len(step.tiles),
        macs=layout.macs[node.name],
        weights=trained_numbers(node),
        traffic=step.size_bytes,
        ms=ms,
        maps=draw(value),
    )


def _words(nodes: Sequence[Node]) -> list[str]:
    found = []
    for node in nodes:
        found.append(operation_of(node).label)
        if node.activation is not None:
            found.append(activation_of(node).operation.label)
    return found


def _block(layout: Layout, name: str) -> Block:
    value = layout.values[name]
    last = min(value.lifetime.last, len(layout.network))
    return Block(name, value.lifetime.first, last, value.offset_bytes, value.size_bytes, value.has_halo)
