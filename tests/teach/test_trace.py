"""The numbers of `npresnet trace`: against the specification, the plan, and the engine itself."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet import ops, passes
from npresnet.errors import ArchitectureError, ImageError
from npresnet.network import INPUT, Network, Node
from npresnet.passes import fuse_max_pool, optimize
from npresnet.plan.shapes import infer_shapes
from npresnet.teach import trace
from npresnet.teach.steps import merged_into, run_keeping_all
from npresnet.teach.trace.maps import draw
from tests.support.cases import integers
from tests.support.layers import KINDS, PHOTO, model_of
from tests.support.models import model_running
from tests.support.random_networks import random_network

KIND = KINDS["1x1 with residual"]


@pytest.fixture(scope="module")
def traced():
    """(model, facts)"""
    model = model_of(KIND)
    return model, trace.gather(model, PHOTO)


def picture_of(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(BytesIO(base64.b64decode(data)))


def test_resnet50_has_175_nodes_and_56_steps():
    """Counted on the network alone: nothing is run."""
    shape_only = npresnet.build("resnet50", num_classes=2)
    folded = passes.fold_batch_norm(shape_only.network)
    steps = fuse_max_pool(passes.fuse(folded))
    assert [len(network) for network in (shape_only.network, folded, passes.fuse(folded), steps)] == [175, 122, 57, 56]
    done = merged_into(shape_only.network, steps)
    assert [node.name for node in done["conv1"]] == ["conv1", "bn1", "relu", "maxpool"]
    assert [node.op for node in done["layer1.0.conv3"]] == ["conv2d", "batch_norm", "add", "relu"]
    assert [node.op for node in done["layer1.0.downsample.0"]] == ["conv2d", "batch_norm"]


def test_counts(traced):
    model, facts = traced
    assert facts.nodes_before == len(model.network) == sum(facts.ops_before.values())
    assert facts.nodes_fused == len(optimize(model.network))
    assert len(facts.steps) == sum(facts.ops_after.values()) == facts.nodes_fused - 1  # the stem takes the max pool
    assert sum(len(step.nodes) for step in facts.steps) == facts.nodes_before


def values_of(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    return ops.run(Network(network.nodes, {node.name: node.name for node in network}), x)


def test_each_node_is_in_one_step_and_the_last_gives_its_result(subtests):
    for seed in range(25):
        with subtests.test(seed=seed):
            check_steps_of_random_network(seed)


def check_steps_of_random_network(seed):
    network, shape = random_network(seed)
    steps = fuse_max_pool(optimize(network))
    done = merged_into(network, steps)
    assert list(done) == [step.name for step in steps]
    assert sorted(node.name for nodes in done.values() for node in nodes) == sorted(node.name for node in network)
    x = integers(np.random.default_rng(seed), (1, *shape))
    before, after = values_of(network, x), values_of(steps, x)
    for name, nodes in done.items():
        np.testing.assert_array_equal(after[name], before[nodes[-1].name], err_msg=name)


def test_a_gate_goes_into_the_step_that_reads_it():
    """The rule reads no names of operations: whatever is gone went where its other input has become an input."""
    main, gate = Node("main", "conv2d", (INPUT,)), Node("gate", "linear", (INPUT,))
    network = Network(
        (main, gate, Node("act", "silu", ("gate",)), Node("mul", "scale_by", ("act", "main"))), {"y": "mul"}
    )
    steps = Network((gate.evolve(activation="silu"), main.evolve(inputs=(INPUT, "gate"))), {"y": "main"})
    done = merged_into(network, steps)
    assert {name: [node.name for node in nodes] for name, nodes in done.items()} == {
        "gate": ["gate", "act"],
        "main": ["main", "mul"],
    }


def test_a_product_whose_factor_went_into_its_gate_is_in_the_step_with_the_factors_name():
    """The step that scales the gate does no node: what it makes is in no network before the passes."""
    ones = np.ones(3, np.float32)
    norm = {"running_mean": 0 * ones, "running_var": ones, "weight": ones / 2, "bias": 0 * ones}
    nodes = (
        Node("pool", "global_avg_pool", (INPUT,)),
        Node("gate", "sigmoid", ("pool",)),
        Node("product", "multiply", (INPUT, "gate")),
        Node("scale", "batch_norm", ("product",), attrs={"eps": 0.0}, params=norm),
        Node("add", "add", ("scale", INPUT)),
    )
    network = Network(nodes, {"y": "add"})
    steps = optimize(network)
    done = {name: [node.name for node in nodes] for name, nodes in merged_into(network, steps).items()}
    assert done == {"pool": ["pool"], "gate": ["gate"], "scale.gate": [], "scale": ["product", "scale", "add"]}
    facts = trace.gather(model_running(network, 8, threads=1), np.zeros((8, 8, 3), np.uint8))
    assert [step.name for step in facts.steps] == ["pool", "gate", "scale.gate", "scale"]
    with pytest.raises(ArchitectureError, match="no step"):
        merged_into(network, [node for node in steps if node.name != "scale"])


def test_words_come_from_the_records(traced):
    _, facts = traced
    by_name = {step.name: step for step in facts.steps}
    assert by_name["conv1"].words == ["convolution", "BatchNorm", "ReLU", "max pool"]
    assert facts.taken_in == ["max pool"]
    assert facts.labels["conv2d_max_pool2d"] == "convolution with max pool"
    assert set(facts.labels) == {*facts.ops_before, *facts.ops_after}


def test_another_networks_steps_are_refused():
    network, _ = random_network(3)
    with pytest.raises(ArchitectureError, match="no step"):
        merged_into(network, Network((Node("other", "relu", (INPUT,)),), {"y": "other"}))


def test_maps_are_of_the_engines_values(traced):
    model, facts = traced
    x = model.preprocess(PHOTO)
    for step in facts.steps[::4]:
        last = step.nodes[-1][0]
        values = model.features(x, [last])[last][0]
        assert (step.maps.low, step.maps.high) == (values.min(), values.max())
        assert step.maps.zeros == (values == 0).mean()
        assert step.shape == values.shape


def test_values_have_the_bits_of_the_whole_network(traced):
    model, facts = traced
    x = model.preprocess(PHOTO)
    kept = run_keeping_all(model.executable(), x)
    np.testing.assert_array_equal(kept[facts.steps[-1].name], model(x))


def test_costs_are_the_plans(traced):
    model, facts = traced
    executable = model.executable()
    layout = executable.layout(facts.input_shape)
    steps = executable.steps(facts.input_shape)
    assert facts.total_macs == sum(step.macs for step in facts.steps)
    assert [2 * step.macs for step in facts.steps] == [step.flops for step in steps]
    assert [step.traffic for step in facts.steps] == [step.size_bytes for step in steps]
    assert facts.arena_bytes == layout.arena_bytes
    assert facts.total_ms == pytest.approx(sum(step.ms for step in facts.steps))
    assert min(step.ms for step in facts.steps) > 0
    assert facts.copying_ms == 0  # on the CPU
    shapes = infer_shapes(model.network, facts.input_shape)
    assert facts.unfused_bytes == 4 * sum(int(np.prod(shape)) for shape in shapes.values())


def test_no_two_blocks_meet_in_memory_and_time(traced):
    _, facts = traced
    assert {block.name for block in facts.arena} == {INPUT, *(step.name for step in facts.steps)}
    for i, a in enumerate(facts.arena):
        assert 0 <= a.offset <= a.offset + a.size <= facts.arena_bytes
        for b in facts.arena[:i]:
            in_time = a.first <= b.last and b.first <= a.last
            in_memory = a.offset < b.offset + b.size and b.offset < a.offset + a.size
            assert not (in_time and in_memory), (a, b)


def test_a_block_lives_from_its_step_to_its_last_reader(traced):
    _, facts = traced
    number = {step.name: n for n, step in enumerate(facts.steps)}
    for block in facts.arena:
        assert block.first == number.get(block.name, -1)
        readers = [n for n, step in enumerate(facts.steps) if block.name in step.reads]
        assert block.last == max(readers, default=len(facts.steps))


# --- pictures --------------------------------------------------------------------------------------------------------


def test_the_strongest_channels_come_first():
    values = np.zeros((20, 4, 6), np.float32)
    for channel, size in enumerate(np.random.default_rng(0).permutation(20)):
        values[channel] = -float(size)
    maps = draw(values)
    strengths = [abs(values[channel]).mean() for channel in maps.strongest]
    assert len(strengths) == 16
    assert strengths == sorted(abs(values).mean(axis=(1, 2)), reverse=True)[:16]
    assert picture_of(maps.channels).size == (4 * 6, 4 * 4)
    assert picture_of(maps.mean).size == (6, 4)


@pytest.mark.parametrize("shape", [(3, 5, 5), (1, 1, 7), (10,), (2048,), (64, 1, 1), (1, 300, 17)])
def test_any_shape_is_drawn(shape):
    maps = draw(np.random.default_rng(0).standard_normal(shape, np.float32))
    assert max(picture_of(maps.mean).size) <= 112
    assert (maps.channels == "") == (len(shape) == 1 or shape[0] == 1)


def test_nothing_but_zeros_and_nan_is_drawn_too():
    for fill in (0.0, np.nan):
        maps = draw(np.full((3, 4, 4), fill, np.float32))
        assert picture_of(maps.mean).convert("RGB").getcolors() == [(16, (0, 0, 4))]


def test_colours_say_the_sign():
    positive = picture_of(draw(np.eye(4, dtype=np.float32)[None]).mean).convert("RGB")
    assert positive.getpixel((0, 0)) == (252, 255, 164)
    assert positive.getpixel((1, 0)) == (0, 0, 4)
    signed = np.repeat(np.array([[[-1.0, 0.0, 1.0]]], np.float32), 2, axis=1)
    mixed = picture_of(draw(signed).mean).convert("RGB")
    assert [mixed.getpixel((x, 0)) for x in range(3)] == [(33, 87, 166), (247, 246, 246), (179, 88, 6)]


def test_the_page_is_small(traced):
    assert len(trace.render(traced[1])) < 2e6


def test_a_missing_image():
    with pytest.raises(ImageError):
        trace.gather(model_of(KIND), "missing.jpg")
