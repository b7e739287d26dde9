"""Registry x GPU backend: every operation, with every activation, computes what `npresnet.ops` does or is refused."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import cuda, ops
from npresnet.cuda.compiler import lowerings
from npresnet.cuda.compiler.lowerings import LOWERINGS
from npresnet.cuda.elements import ELEMENTS, Element
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network, Node
from npresnet.ops.registry import ACTIVATIONS, OPERATIONS
from npresnet.passes import optimize
from npresnet.window import Window
from tests.cuda import activations
from tests.cuda.running import compiled
from tests.emulator import emulator
from tests.support.cases import integers

pytestmark = emulator.needed

IMAGE = (8, 4, 4)  # of small whole numbers: all results without an activation are exact, in 16 bits as well
rng = np.random.default_rng(0)
FILTERS = integers(rng, (8, 8, 3, 3), most=1)
NORM = {"running_mean": np.ones(8), "running_var": np.full(8, 3.0), "weight": np.arange(8.0)}
VECTORS = {"weight": np.arange(1.0, 9.0), "bias": np.arange(-4.0, 4.0)}
SOME = ("relu", "leaky_relu", "silu", "gelu")
INEXACT = ("group_norm", "layer_norm2d", "filter_response_norm", "evo_norm_s0")  # statistics are rounded
FLAT, MEAN = Node("flat", "flatten", (INPUT,)), Node("mean", "global_avg_pool", (INPUT,))


def examples(op: str) -> tuple[Node, ...]:
    """Nodes of this operation that read the image, or FLAT."""
    if op in ACTIVATIONS:
        return Node("alone", op, (INPUT,)), Node("alone, flat", op, ("flat",))
    window, weight = Window.of(3, 1, 1), {"weight": FILTERS}
    return {
        "conv2d": (
            Node("plain", op, (INPUT,), window, params=weight),
            Node("residual", op, (INPUT, INPUT), window, params=weight),
            Node("grouped", op, (INPUT,), window, 4, params={"weight": FILTERS[:, :2]}),
        ),
        "conv2d_max_pool2d": (
            Node("pooled", op, (INPUT,), window, attrs={"pool": Window.of(2, 2), "ceil_mode": False}, params=weight),
        ),
        "batch_norm": (Node("norm", op, (INPUT,), attrs={"eps": 1.0}, params=NORM),),
        "group_norm": (
            Node("groups", op, (INPUT,), attrs={"groups": 2, "eps": 1.0}, params=VECTORS),
            Node("groups of a block", op, (INPUT, INPUT), attrs={"groups": 2, "eps": 1.0}, params=VECTORS),
            Node("pooled groups", op, ("mean",), attrs={"groups": 4, "eps": 1.0}),
        ),
        "layer_norm2d": (Node("layer", op, (INPUT,), attrs={"eps": 1.0}, params=VECTORS),),
        "filter_response_norm": (
            Node("frn", op, (INPUT,), attrs={"eps": 1.0}, params={**VECTORS, "tau": np.linspace(-1, 1, 8)}),
            Node("frn without tau", op, (INPUT,), attrs={"eps": 1.0}),
        ),
        "evo_norm_s0": (
            Node("evo", op, (INPUT,), attrs={"groups": 4, "eps": 1.0}, params={**VECTORS, "v": np.linspace(-1, 1, 8)}),
        ),
        "prelu": (
            Node("slopes", op, (INPUT,), params={"weight": np.arange(-4, 4) / 4}),
            Node("one slope", op, (INPUT,), params={"weight": np.array([0.25])}),
            Node("slopes, flat", op, ("flat",), params={"weight": np.arange(-64, 64) / 64}),
        ),
        "pad2d": (
            Node("zeros", op, (INPUT,), attrs={"padding": (1, 2, 0, 3)}),
            Node("reflected", op, (INPUT,), attrs={"padding": (3, 0, 1, 2), "mode": "reflect"}),
        ),
        "max_pool2d": (Node("max", op, (INPUT,), window),),
        "avg_pool2d": (Node("avg", op, (INPUT,), Window.of(2, 2)),),
        "global_avg_pool": (Node("mean", op, (INPUT,)),),
        "flatten": (Node("once more", op, (INPUT,)),),
        "linear": (Node("fc", op, ("flat",), params={"weight": integers(rng, (5, 128), most=1)}),),
        "add": (Node("sum", op, (INPUT, INPUT)), Node("sum, flat", op, ("flat", "flat"))),
        "multiply": (
            Node("square", op, (INPUT, INPUT)),
            Node("square, flat", op, ("flat", "flat")),
            Node("gated", op, (INPUT, "vector", INPUT)),
            Node("by position", op, (INPUT, "spatial")),
        ),
        "shortcut_a": (Node("shortcut", op, (INPUT,), attrs={"stride": 2, "pad_channels": (1, 3)}),),
        "broadcast_add": (
            Node("by channel", op, (INPUT, "pixel")),
            Node("by vector", op, (INPUT, "vector", INPUT)),
            Node("by position", op, (INPUT, "spatial")),
        ),
        "global_max_pool": (Node("largest", op, (INPUT,)),),
        "spatial_attention_pool": (Node("context", op, (INPUT, "equal")),),
        "attention_pool2d": (Node("attention", op, (INPUT,), attrs={"num_heads": 2}, params=attention_params()),),
        "channel_conv1d": (
            Node("zeros", op, ("pixel",), params={"weight": integers(rng, (1, 1, 3), most=2)}),
            Node("circular", op, ("vector",), attrs={"padding_mode": "circular"}, params=TAPS),
        ),
        "channel_mean": (Node("mean of channels", op, (INPUT,)),),
        "channel_max": (Node("largest channel", op, (INPUT,)),),
        "slice_channels": (
            Node("half", op, (INPUT,), attrs={"start": 0, "stop": 4}),
            Node("three", op, ("vector",), attrs={"start": 3, "stop": 6}),
        ),
        "concat": (
            Node("both", op, (INPUT, INPUT)),
            Node("vectors", op, ("vector", "vector", "vector")),
            Node("nine", op, (INPUT, "spatial")),
        ),
        "radix_sum": (Node("radix sum", op, (INPUT,), attrs={"radix": 2}),),
        "radix_softmax": (Node("equal shares", op, ("zero",), attrs={"radix": 2, "cardinality": 2}),),
        "radix_weighted_sum": (
            Node("weighted", op, (INPUT, "pixel"), attrs={"radix": 2}),
            Node("weighted by vector", op, (INPUT, "vector"), attrs={"radix": 4}),
        ),
    }[op]


TAPS = {"weight": integers(rng, (1, 1, 5), most=1), "bias": np.array([2.0], np.float32)}
# what gates and pools read beside the image; `zero` is 0, so that its softmaxes are equal shares, exactly
BESIDE = (
    Node("pixel", "max_pool2d", (INPUT,), Window.of(4)),
    Node("vector", "flatten", ("pixel",)),
    Node("spatial", "channel_max", (INPUT,)),
    Node("equal", "conv2d", (INPUT,), Window.of(1), params={"weight": np.zeros((1, 8, 1, 1), np.float32)}),
    Node("zero", "conv2d", ("pixel",), Window.of(1), params={"weight": np.zeros((8, 8, 1, 1), np.float32)}),
)


def beside(op: str) -> list[Node]:
    """Those of BESIDE that the examples of an operation read, and what these read."""
    read = {name for node in examples(op) for name in node.inputs}
    kept: list[Node] = []
    for node in reversed(BESIDE):
        if node.name in read:
            read.update(node.inputs)
            kept.insert(0, node)
    return kept


def attention_params() -> dict[str, np.ndarray]:
    """Queries of 0, so that every token has the same share: the result is a sum over 2**4 + 1 tokens, then halved."""
    shapes = {"k_weight": (8, 8), "v_weight": (8, 8), "v_bias": (8,), "proj_weight": (6, 8), "proj_bias": (6,)}
    params = {role: integers(rng, shape, most=1) for role, shape in shapes.items()}
    return {**params, "pos_embed": np.zeros((17, 8), np.float32), "q_weight": np.zeros((8, 8), np.float32)}


def carried(op: str) -> list[str]:
    """Activations that a node of this operation is tried with: where its own result is exact, all that it may carry."""
    if op in ACTIVATIONS and op not in ("relu", "relu6", "leaky_relu"):
        return []
    if op == "attention_pool2d":  # six launches each
        return ["relu", "sigmoid"]
    if op in INEXACT:
        return ["relu", "silu"]
    names = activations.NAMES if op == "batch_norm" else SOME  # all kernels have them from one header
    return [name for name in names if ACTIVATIONS[name].is_monotone or not OPERATIONS[op].monotone_only]


@pytest.mark.parametrize("op", [op for op in OPERATIONS if not op.endswith("3d")])  # of clips: tests/cuda/test_clips.py
def test_every_operation_with_every_activation(gpus, op):
    if op not in LOWERINGS:
        with pytest.raises(ArchitectureError, match=f"y: the GPU backend has no operation {op!r}"):
            compiled(Network((Node("y", op, (INPUT,)),), {"y": "y"}))
        return
    gpus()
    nodes = [FLAT, *([MEAN] if op == "group_norm" else beside(op))]
    for node in examples(op):
        nodes.append(node.evolve(attrs={**node.attrs, **activations.ATTRS}))
        nodes += [nodes[-1].evolve(name=f"{node.name} {name}", activation=name) for name in carried(op)]
    network = Network(tuple(nodes), {node.name: node.name for node in nodes})
    x = integers(np.random.default_rng(1), (2, *IMAGE))
    plain = {name: array.astype(np.float32) for name, array in ops.run(network, x.astype(np.float64)).items()}
    for element in ELEMENTS.values():
        found = compiled(network, element.name)(x)
        for node in nodes:
            stored = ELEMENTS["float32"] if node.op == "linear" else element  # its results are not rounded again
            before, name = (x, node.op) if node.op in ACTIVATIONS else (plain[node.name], None)
            if node.activation is not None:
                before, name = plain[node.name.removesuffix(f" {node.activation}")], node.activation
            if op in INEXACT or op == "attention_pool2d":  # shares of a seventeenth
                assert_near(found[node.name], plain[node.name], element, 1 + (node.activation is not None))
                continue
            activations.assert_applied(found[node.name], before.reshape(plain[node.name].shape), name, stored)


def assert_near(found: np.ndarray, right: np.ndarray, element: Element, stored: int) -> None:
    """A few roundings of numbers of this size, and those to the element: an activation may read what was stored."""
    step = stored * {"float16": 2.0**-10, "bfloat16": 2.0**-7}.get(element.name, 0.0)
    allowed = np.abs(right) * step + (8 + np.abs(right)) * 8 * 2.0**-23
    assert (np.abs(found - right) <= allowed).all(), f"{np.abs(found - right).max():.2e} in {element.name}"


def test_group_norm_of_a_flattened_map_is_refused(gpus):
    """Its numbers lie pixel by pixel; pooled ones are in order."""
    gpus()
    norm = Node("norm", "group_norm", ("flat",), attrs={"groups": 2, "eps": 1.0})
    with pytest.raises(ArchitectureError, match="norm: the GPU backend has no group_norm of a flattened map; it is"):
        compiled(Network((FLAT, norm), {"y": "norm"}))(np.zeros((1, *IMAGE), np.float32))


@pytest.mark.parametrize(
    ("node", "named"),
    [
        (Node("y", "fft", (INPUT,)), "fft"),
        (Node("y", "max_pool2d", (INPUT,), Window.of(2), activation="sinh"), "sinh"),
        (Node("y", "sinh", (INPUT,)), "sinh"),
    ],
)
def test_what_this_backend_does_not_have_is_refused_by_name(gpus, node, named):
    gpus()
    with pytest.raises(ArchitectureError, match=f"^y: the GPU backend has no operation '{named}'$"):
        cuda.compile(Network((node,), {"y": "y"}), cuda.open_gpu("cuda"), ELEMENTS["float32"])


def test_an_operation_without_a_lowering_is_refused_by_name(gpus, monkeypatch):
    gpus()
    monkeypatch.setattr(lowerings, "LOWERINGS", {name: one for name, one in LOWERINGS.items() if name != "shortcut_a"})
    with pytest.raises(ArchitectureError, match="shortcut: the GPU backend has no operation 'shortcut_a'"):
        compiled(Network(examples("shortcut_a"), {"y": "shortcut"}))


def test_an_activation_that_a_record_forbids_is_refused(gpus):
    gpus()
    (node,) = examples("conv2d_max_pool2d")
    with pytest.raises(ArchitectureError, match="pooled: a conv2d_max_pool2d cannot carry the activation 'silu'"):
        compiled(Network((node.evolve(activation="silu"),), {"y": "pooled"}))


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("channels", [3, 1, 6])
def test_the_image_as_a_residual_of_another_layer(gpus, element, channels):
    """The image is then stored as the residual's reader needs it, although convolutions could read it padded."""
    gpus()
    rng = np.random.default_rng(channels)

    def conv(name: str, x: str) -> Node:
        weight = integers(rng, (channels, channels, 3, 3), most=1)
        return Node(name, "conv2d", (x,), Window.of(3, 1, 1), params={"weight": weight})

    nodes = (conv("a", INPUT), conv("b", "a"), Node("sum", "add", ("b", INPUT)))
    network, x = Network(nodes, {"y": "sum"}), integers(rng, (2, channels, 7, 5), most=1)
    assert optimize(network)["sum" if "sum" in optimize(network) else "b"].inputs == ("a", INPUT)
    np.testing.assert_array_equal(compiled(optimize(network), element)(x)["y"], ops.run(network, x)["y"])
