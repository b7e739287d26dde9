"""The schedules of networks: every conflict is ordered, and no gate is superfluous."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import cpu, ops
from npresnet.cpu.kernels import direct, pooling
from npresnet.cpu.runtime import memory
from npresnet.cpu.runtime.schedule import Job, Turn
from npresnet.network import INPUT, Network, Node
from npresnet.ops.registry import ACTIVATIONS
from npresnet.window import Window
from tests.support.any_node import all_operations, network_of, shape_for
from tests.support.cases import integers
from tests.support.checks import assert_same
from tests.support.plans import executable
from tests.support.random_networks import random_network
from tests.support.workers import in_order, overlapping, races, unordered

BANDS, CLIP_BANDS, PARTS = (4, 240, 241), (4, 6, 99, 101), (256, 41, 40)
FIXED_SIZE = ("attention_pool2d", "multiply", "broadcast_add", "channel_conv1d", "radix_softmax", "radix_weighted_sum")


@pytest.mark.parametrize("workers", [2, 3, 5])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_every_conflict_of_a_resnet_is_ordered(name, workers):
    plan = executable(name).plan((3, 224, 224), workers)
    all_turns = Job(plan, workers).turns
    assert not unordered(plan, all_turns)
    assert not races(plan, all_turns)


@pytest.mark.parametrize("op", [op for op in all_operations() if op not in ACTIVATIONS])
def test_every_conflict_of_an_operation_is_ordered(op):
    """On a map of several tiles, or of several parts of its channels, before and behind others; scratch included."""
    made = network_of(op)
    shape = PARTS if op in ("global_avg_pool", "global_max_pool") else BANDS
    shape = shape_for(made) if op in FIXED_SIZE else CLIP_BANDS if made.takes_clips else shape
    nodes = (Node("first", "relu", (INPUT,)), *(node.evolve(inputs=renamed(node)) for node in made))
    network = Network((*nodes, Node("last", "relu", ("y",))), {"z": "last"})
    plan = cpu.compile(network, threads=3).plan(shape, 3)
    assert op in FIXED_SIZE or len(plan.steps[0].tiles) > 1
    all_turns = Job(plan, 3).turns
    assert not unordered(plan, all_turns)
    assert not races(plan, all_turns)


def renamed(node: Node) -> tuple[str, ...]:
    return tuple("first" if name == INPUT else name for name in node.inputs)


@pytest.mark.parametrize("workers", [2, 3])
def test_an_image_without_a_border_is_overwritten_only_once_the_stem_has_read_it(workers):
    """Its bytes are reused after the stem; with a border they never are."""
    rng = np.random.default_rng(0)
    nodes = (
        Node(
            "conv1",
            "conv2d",
            (INPUT,),
            Window.of(7, 2),
            params={"weight": integers(rng, (64, 3, 7, 7))},
            activation="relu",
        ),
        Node("maxpool", "max_pool2d", ("conv1",), Window.of(3, 2, 1)),
        Node("conv2", "conv2d", ("maxpool",), Window.of(1), params={"weight": integers(rng, (16, 64, 1, 1))}),
        Node("conv3", "conv2d", ("conv2",), Window.of(1), params={"weight": integers(rng, (64, 16, 1, 1))}),
    )
    plan = cpu.compile(Network(nodes, {"y": "conv3"}), threads=workers).plan((3, 320, 320), workers)
    all_turns = Job(plan, workers).turns
    assert not unordered(plan, all_turns)
    assert not races(plan, all_turns)


@pytest.mark.parametrize(("name", "workers"), [("resnet18", 2), ("resnet18", 3), ("resnet50", 2)])
def test_no_gate_of_a_resnet_is_superfluous(name, workers):
    plan = executable(name).plan((3, 224, 224), workers)
    all_turns = Job(plan, workers).turns
    gates = [gate for turns in all_turns for turn in turns for gate in turn.passes]
    assert len(gates) > 20
    places = in_order(plan, all_turns)
    pairs = overlapping(plan, all_turns, places)
    for gate in gates:
        without_gate = [[without(gate, turn) for turn in turns] for turns in all_turns]
        assert unordered(plan, without_gate, pairs)


@pytest.mark.parametrize("workers", [2, 3])
def test_races_are_seen_where_there_are_no_gates(workers):
    plan = executable("resnet18").plan((3, 224, 224), workers)
    all_turns = [[Turn([], turn.calls, []) for turn in turns] for turns in Job(plan, workers).turns]
    assert len(races(plan, all_turns)) > 50


def without(gate: object, turn: Turn) -> Turn:
    return Turn([g for g in turn.passes if g is not gate], turn.calls, [g for g in turn.opens if g is not gate])


@pytest.fixture
def small_tiles(monkeypatch):
    """Even images of ten pixels are cut into tiles."""
    monkeypatch.setattr(direct, "TILE_ROWS", 12)
    monkeypatch.setattr(pooling, "MIN_TILE_FLOATS", 20)
    monkeypatch.setattr(memory, "MIN_TILE_FLOATS", 20)


@pytest.mark.parametrize("workers", [2, 3])
def test_random_networks(small_tiles, workers):
    gates = 0
    for seed in range(25):
        network, image = random_network(seed)
        made = cpu.compile(network, threads=workers, winograd=False)
        plan = made.plan(image, workers)
        all_turns = Job(plan, workers).turns
        gates += sum(len(turn.passes) for turns in all_turns for turn in turns)
        assert not unordered(plan, all_turns), seed
        assert not races(plan, all_turns), seed
        x = integers(np.random.default_rng(seed), (1, *image))
        got = made(x)
        for asked, expected in ops.run(network, x).items():
            assert_same(got[asked], expected, (seed, asked))
        made.close()
    assert gates > 200
