"""Every operation of the registry x every consumer of its record: each pair works, or refuses by name."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import numpy as np
import pytest

from npresnet import cpu, ops
from npresnet.bench import onnx_file, torch_graph
from npresnet.bench.layers import shapes_in_words
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network, Node
from npresnet.ops.registry import ACTIVATIONS, OPERATIONS, operation_of
from npresnet.passes import fold_batch_norm, fuse, fuse_max_pool, optimize
from npresnet.plan import count_macs, infer_shapes
from npresnet.teach import explain, trace
from npresnet.teach.explain.receptive_field import jump, receptive_field
from npresnet.teach.ladder import find_layer
from npresnet.teach.steps import merged_into
from npresnet.views.summary import parameter_count, summary
from npresnet.window import Window
from tests.support.any_node import CLIP_OPERATIONS
from tests.support.models import model_running
from tests.support.small import picture

SIZE = 12
MADE_BY_PASSES = ("conv2d_max_pool2d",)  # other engines get networks before the passes
NOT_IN_ONNX = ("attention_pool2d", "evo_norm_s0")
IMAGE = (3, SIZE, SIZE)


class Case(NamedTuple):
    """A tiny network whose last node is the operation; its multiply-adds and parameters, counted by hand."""

    nodes: tuple[Node, ...]
    macs: int = 0
    params: int = 0


def positive(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(0.1, 1, shape).astype(np.float32)


def conv(op: str, **attrs: object) -> Node:
    weight = {"weight": positive(4, 3, 3, 3), "bias": positive(4)}
    return Node("y", op, (INPUT,), Window.of(3, 2, 1), attrs=attrs, params=weight)


def pooled(op: str, **fields: object) -> tuple[Node, ...]:
    return Node("pool", "max_pool2d", (INPUT,), Window.of(SIZE)), Node("y", op, ("pool",), **fields)


def six_channels(source: str = INPUT) -> Node:
    return Node("six", "concat", (source, source))


def attention() -> Node:
    shapes = {"pos_embed": (1 + SIZE * SIZE, 3), "proj_weight": (5, 4), "proj_bias": (5,)}
    shapes |= {f"{role}_weight": (4, 3) for role in "qkv"} | {f"{role}_bias": (4,) for role in "qkv"}
    params = {role: positive(*shape) for role, shape in shapes.items()}
    return Node("y", "attention_pool2d", (INPUT,), attrs={"num_heads": 2}, params=params)


def norm(op: str, *roles: str, **attrs: object) -> Case:
    params = {role: positive(3) - 0.3 * (role == "tau") for role in roles}
    return Case((Node("y", op, (INPUT,), attrs=attrs, params=params),), 0, 3 * len(roles))


CASES: dict[str, Callable[[], Case]] = {
    "conv2d": lambda: Case((conv("conv2d"),), 4 * 27 * 6 * 6, 4 * 27 + 4),
    "conv2d_max_pool2d": lambda: Case(
        (conv("conv2d_max_pool2d", pool=Window.of(3, 2, 1), ceil_mode=False),), 4 * 27 * 6 * 6, 4 * 27 + 4
    ),
    "batch_norm": lambda: Case(
        (
            Node(
                "y",
                "batch_norm",
                (INPUT,),
                attrs={"eps": 1e-5},
                params={role: positive(3) for role in ("weight", "bias", "running_mean", "running_var")},
            ),
        ),
        0,
        6,
    ),
    "group_norm": lambda: norm("group_norm", "weight", "bias", groups=1, eps=1e-5),
    "layer_norm2d": lambda: norm("layer_norm2d", "weight", "bias", eps=1e-5),
    "filter_response_norm": lambda: norm("filter_response_norm", "weight", "bias", "tau", eps=1e-5),
    "evo_norm_s0": lambda: norm("evo_norm_s0", "weight", "bias", "v", groups=3, eps=1e-5),
    "prelu": lambda: norm("prelu", "weight"),
    "pad2d": lambda: Case((Node("y", "pad2d", (INPUT,), attrs={"padding": (1, 2, 0, 3), "mode": "zeros"}),)),
    "max_pool2d": lambda: Case((Node("y", "max_pool2d", (INPUT,), Window.of(3, 2, 1), attrs={"ceil_mode": True}),)),
    "avg_pool2d": lambda: Case((Node("y", "avg_pool2d", (INPUT,), Window.of(2, 2, 1)),)),
    "global_avg_pool": lambda: Case((Node("y", "global_avg_pool", (INPUT,)),)),
    "flatten": lambda: Case((Node("y", "flatten", (INPUT,)),)),
    "linear": lambda: Case(
        (
            Node("row", "flatten", (INPUT,)),
            Node("y", "linear", ("row",), params={"weight": positive(5, prod(IMAGE)), "bias": positive(5)}),
        ),
        5 * prod(IMAGE),
        5 * prod(IMAGE) + 5,
    ),
    "add": lambda: Case(
        (Node("other", "max_pool2d", (INPUT,), Window.of(3, 1, 1)), Node("y", "add", ("other", INPUT)))
    ),
    "multiply": lambda: Case(
        (Node("other", "max_pool2d", (INPUT,), Window.of(3, 1, 1)), Node("y", "multiply", ("other", INPUT))),
    ),
    "shortcut_a": lambda: Case((Node("y", "shortcut_a", (INPUT,), attrs={"stride": 2, "pad_channels": (1, 2)}),)),
    "global_max_pool": lambda: Case((Node("y", "global_max_pool", (INPUT,)),)),
    "channel_conv1d": lambda: Case(
        pooled("channel_conv1d", params={"weight": positive(1, 1, 3), "bias": positive(1)}), 3 * 3, 3 + 1
    ),
    "broadcast_add": lambda: Case(
        (Node("shift", "channel_mean", (INPUT,)), Node("y", "broadcast_add", (INPUT, "shift"))),
    ),
    "slice_channels": lambda: Case((Node("y", "slice_channels", (INPUT,), attrs={"start": 1, "stop": 3}),)),
    "concat": lambda: Case(
        (Node("other", "max_pool2d", (INPUT,), Window.of(3, 1, 1)), Node("y", "concat", ("other", INPUT, "other")))
    ),
    "radix_sum": lambda: Case((six_channels(), Node("y", "radix_sum", ("six",), attrs={"radix": 3}))),
    "radix_softmax": lambda: Case(
        (
            Node("pool", "global_avg_pool", (INPUT,)),
            six_channels("pool"),
            Node("y", "radix_softmax", ("six",), attrs={"radix": 3, "cardinality": 2}),
        )
    ),
    "radix_weighted_sum": lambda: Case(
        (
            six_channels(),
            Node("weights", "global_avg_pool", ("six",)),
            Node("y", "radix_weighted_sum", ("six", "weights"), attrs={"radix": 2}),
        )
    ),
    "channel_mean": lambda: Case((Node("y", "channel_mean", (INPUT,)),)),
    "channel_max": lambda: Case((Node("y", "channel_max", (INPUT,)),)),
    "spatial_attention_pool": lambda: Case(
        (Node("logits", "channel_mean", (INPUT,)), Node("y", "spatial_attention_pool", (INPUT, "logits")))
    ),
    "attention_pool2d": lambda: Case((attention(),), (1 + 2 * 145) * 12 + 20, 145 * 3 + 3 * (12 + 4) + 20 + 5),
    **{name: lambda name=name: Case((Node("y", name, (INPUT,)),)) for name in ACTIVATIONS},
}


ON_IMAGES = [name for name in OPERATIONS if name not in CLIP_OPERATIONS]  # the others: test_clip_consumers.py


@pytest.fixture(params=ON_IMAGES)
def case(request) -> Case:
    return case_of(request.param)


def case_of(name: str) -> Case:
    if name not in CASES:
        pytest.fail(f"the registry has a new operation, {name}: give it a tiny network in CASES of {__file__}")
    found = CASES[name]()
    assert found.nodes[-1].op == name
    return found


def network_of(case: Case) -> Network:
    return Network(case.nodes, {"y": "y"})


def image(seed: int = 0) -> np.ndarray:
    """(1, C, H, W) float32 in 0.1 to 1, where ReLU and similar activations are strictly monotone."""
    return np.random.default_rng(seed).uniform(0.1, 1, (1, *IMAGE)).astype(np.float32)


def test_shapes_are_those_of_the_results(case):
    network = network_of(case)
    everything = Network(network.nodes, {node.name: node.name for node in network})
    found = {name: array.shape[1:] for name, array in ops.run(everything, image()).items()}
    assert infer_shapes(network, IMAGE) == {INPUT: IMAGE, **found}


def test_multiply_adds(case):
    network = network_of(case)
    shapes = infer_shapes(network, IMAGE)
    assert sum(count_macs(node, shapes) for node in network) == case.macs


def test_a_wrong_number_of_inputs_is_refused_by_name(case):
    node = case.nodes[-1]
    most = operation_of(node).inputs[1]
    with pytest.raises(ArchitectureError, match=rf"y: a {node.op} expects .* inputs, got {most + 1}"):
        operation_of(node.evolve(inputs=(INPUT,) * (most + 1)))


def test_summary(case):
    network = network_of(case)
    table = summary(network, IMAGE, 2)
    assert parameter_count(network) == case.params
    assert f"Total params: {case.params:,}\n" in table
    rows = [line.split("-")[0].strip() for line in table.split("=" * 64)[1].strip().splitlines()]
    assert rows == [title for node in network if (title := operation_of(node).title)]


def test_words_of_a_step_begin_with_the_label(case):
    network = network_of(case)
    assert shapes_in_words(network, infer_shapes(network, IMAGE))["y"].startswith(OPERATIONS[case.nodes[-1].op].label)


def test_receptive_field_is_what_moves_the_result(case):
    """Every row and column of the image is increased in turn: the results that change are those that depend on it."""
    network = network_of(case)
    shapes = infer_shapes(network, IMAGE)
    height, width = (*shapes["y"], 1, 1)[1:3]
    before = ops.run(network, image())["y"].reshape(-1, height, width)
    for axis, size in enumerate((height, width)):
        moved = np.zeros((size, SIZE), bool)  # [position of the result, line of the image]
        for line in range(SIZE):
            x = image()
            x[(slice(None), slice(None), *(slice(None),) * axis, line)] += 100
            apart = ops.run(network, x)["y"].reshape(-1, height, width) != before
            moved[:, line] = apart.any(axis=(0, 2 - axis))
        for position in range(size):
            place = [(0, 1), (0, 1)]
            place[axis] = (position, position + 1)
            field = receptive_field(network, "y", *place, shapes)
            first, last = (field.rows, field.columns)[axis]
            seen = np.flatnonzero(moved[position])
            if not seen.size:  # a border of zeros depends on nothing
                assert first >= SIZE or last <= 0
                continue
            assert (max(0, first), min(SIZE, last)) == (seen[0], seen[-1] + 1)


def test_neighbours_are_as_far_apart_as_their_fields(case):
    network = network_of(case)
    shapes = infer_shapes(network, IMAGE)
    if len(shapes["y"]) == 3 and shapes["y"][1] > 1:
        one, next_one = (receptive_field(network, "y", (i, i + 1), (i, i + 1), shapes) for i in (1, 2))
        apart = next_one.rows[0] - one.rows[0], next_one.columns[0] - one.columns[0]
        sees_all = any(
            operation_of(node).sees(node, i, shapes[x]) is None for node in network for i, x in enumerate(node.inputs)
        )
        assert jump(network, "y", shapes) == apart or (sees_all and apart == (0, 0))
    else:
        assert jump(network, "y", shapes) == (1, 1)


def test_every_node_is_in_one_step(case):
    """After a convolution, so that passes may merge it; a step always computes its last node's value."""
    stem = Node("stem", "conv2d", (INPUT,), Window.of(3, 1, 1), params={"weight": positive(3, 3, 3, 3)})
    behind = [
        node.evolve(inputs=tuple("stem" if name == INPUT else name for name in node.inputs)) for node in case.nodes
    ]
    network = Network((stem, *behind), {"y": "y"})
    steps = fuse_max_pool(optimize(network))
    done = merged_into(network, steps)
    assert sorted(node.name for nodes in done.values() for node in nodes) == sorted(node.name for node in network)
    before, after = (
        ops.run(Network(made.nodes, {node.name: node.name for node in made}), image()) for made in (network, steps)
    )
    for name, nodes in done.items():
        np.testing.assert_allclose(after[name], before[nodes[-1].name], rtol=1e-5, atol=1e-6)


def test_trace_shows_it(case):
    model = model_running(network_of(case), SIZE, threads=1)
    facts = trace.gather(model, picture(1))
    step = facts.steps[-1]
    assert step.words == [OPERATIONS[case.nodes[-1].op].label]
    assert step.nodes == [("y", case.nodes[-1].op)]
    assert facts.total_macs == case.macs
    assert sum(step.weights for step in facts.steps) == case.params
    result = model(model.preprocess(picture(1)))[0]
    assert (step.maps.low, step.maps.high) == (result.min(), result.max())
    assert "npresnet-data" in trace.render(facts)
    model.close()


def test_explain_and_ladder_take_a_convolution_and_refuse_others_by_name(case):
    """The network has a convolution, so it is the operation that is refused."""
    beside = Node("beside", "conv2d", (INPUT,), Window.of(1), params={"weight": positive(2, 3, 1, 1)})
    network = Network((beside, *case.nodes), {"y": "y", "beside": "beside"})
    model, node, photo = model_running(network, SIZE, threads=1), case.nodes[-1], picture(1)
    x = model.preprocess(photo)
    if node.op == "conv2d":
        assert explain.gather(model, photo, "y").labels == {"conv2d": "convolution"}
        assert find_layer(model, "y", x).macs == case.macs
    else:
        with pytest.raises(ArchitectureError, match=f"y is a {node.op}, not a convolution; there is beside"):
            explain.gather(model, photo, "y")
        with pytest.raises(ArchitectureError, match=r"'y' is not a convolution of this network; .* beside"):
            find_layer(model, "y", x)
    model.close()


def test_networks_without_any_convolution_are_refused():
    model = model_running(network_of(CASES["flatten"]()), SIZE, threads=1)
    with pytest.raises(ArchitectureError, match="no convolution to explain"):
        explain.gather(model, picture(1))
    x = model.preprocess(picture(1))
    with pytest.raises(ArchitectureError, match="no convolution for the ladder"):
        find_layer(model, None, x)
    model.close()


@pytest.mark.parametrize("name", ON_IMAGES)
def test_every_activation_is_carried_or_refused_by_name(name):
    """Specification and CPU backend agree, before and after the passes."""
    nodes, x = case_of(name).nodes, image() - 0.5
    plain = ops.run(Network(nodes, {"y": "y"}), x.astype(np.float64))["y"]
    for activation, record in ACTIVATIONS.items():
        network = Network((*nodes[:-1], nodes[-1].evolve(activation=activation)), {"y": "y"})
        if OPERATIONS[name].monotone_only and not record.is_monotone:
            for refusing in (ops.run, compute_on_cpu):
                with pytest.raises(ArchitectureError, match=f"y: a {name} cannot carry the activation '{activation}'"):
                    refusing(network, x)
            continue
        expected = record.function(plain, {})
        np.testing.assert_array_equal(ops.run(network, x.astype(np.float64))["y"], expected)
        for made in (network, fuse(fold_batch_norm(network))):
            np.testing.assert_allclose(compute_on_cpu(made, x)["y"], expected, rtol=1e-4, atol=1e-5)


def compute_on_cpu(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    executable = cpu.compile(network, threads=1)
    try:
        return executable(x)
    finally:
        executable.close()


@pytest.mark.parametrize("name", ON_IMAGES)
def test_the_other_engines_compute_it_or_refuse_by_name(name, tmp_path):
    """With every activation; a gate of one number a channel as a map and as a vector."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    nodes, x = case_of(name).nodes, image() - 0.5
    if name in MADE_BY_PASSES:
        with pytest.raises(ArchitectureError, match=f"y: no PyTorch form of {name}"):
            torch_graph.build(Network(nodes, {"y": "y"}))
        with pytest.raises(ArchitectureError, match=f"y: no ONNX form of {name}"):
            onnx_file.write(Network(nodes, {"y": "y"}), tmp_path / "refused.onnx", channels=3, size=SIZE)
        return
    variants = [(*nodes[:-1], nodes[-1].evolve(activation=activation)) for activation in (None, *ACTIVATIONS)]
    if name == "multiply":
        pool, flat = Node("pool", "global_avg_pool", (INPUT,)), Node("flat", "flatten", ("pool",))
        spatial = Node("mean", "channel_mean", (INPUT,))
        variants += [(pool, flat, Node("y", "multiply", (INPUT, gate))) for gate in ("pool", "flat")]
        variants += [(spatial, Node("y", "multiply", (INPUT, "mean", INPUT)))]
    if name == "channel_conv1d":
        variants += [(*nodes[:-1], nodes[-1].evolve(attrs={"padding_mode": "circular"}))]
    if name == "radix_softmax":
        variants += [(*nodes[:-1], nodes[-1].evolve(attrs={"radix": 1}))]
    for made in variants:
        network = Network(made, {"y": "y"})
        expected = ops.run(network, x.astype(np.float64))["y"]
        with torch.no_grad():
            found = torch_graph.build(network).double()(torch.from_numpy(x).double()).numpy()
            alone = torch_graph.run(network, torch.from_numpy(x).double())["y"].numpy()
        for array in (found, alone):
            np.testing.assert_allclose(array, expected, rtol=1e-6, atol=1e-7)  # weights are float32
        path = tmp_path / "network.onnx"
        if name in NOT_IN_ONNX:
            with pytest.raises(ArchitectureError, match=f"y: no ONNX form of {name}"):
                onnx_file.write(network, path, channels=3, size=SIZE)
            continue
        onnx_file.write(network, path, channels=3, size=SIZE)
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(None, {"input": x})[0], expected, rtol=1e-4, atol=1e-5)
