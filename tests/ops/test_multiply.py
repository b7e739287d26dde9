"""multiply: a map by a map or by one number per channel, against PyTorch's broadcasting; refused shapes."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import cpu, ops
from npresnet.errors import ArchitectureError, ShapeError
from npresnet.network import INPUT, Network, Node
from npresnet.ops.multiply import multiply
from npresnet.plan import infer_shapes
from npresnet.window import Window
from tests.support import torch_run
from tests.support.cases import integers

GATES = {
    "map": (5, 6, 7),
    "one pixel": (5, 1, 1),
    "vector": (5,),
}


def gated(kind: str, size: tuple[int, int] = (6, 7), **fields: object) -> Network:
    """The image times a gate of that shape, computed from the image."""
    gate = [Node("gate", "max_pool2d", (INPUT,), Window.of(1))]
    if kind != "map":
        gate = [Node("gate", "max_pool2d", (INPUT,), Window.of(size))]
    if kind == "vector":
        gate = [gate[0].evolve(name="pixel"), Node("gate", "flatten", ("pixel",))]
    return Network((*gate, Node("y", "multiply", (INPUT, "gate"), **fields)), {"y": "y", "gate": "gate"})


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_equals_pytorch_and_keeps_the_dtype(kind, dtype):
    x = integers(np.random.default_rng(0), (3, 5, 6, 7)).astype(dtype)
    got, expected = ops.run(gated(kind), x), torch_run.run(gated(kind), x)
    assert got["gate"].shape[1:] == GATES[kind]
    assert got["y"].dtype == dtype
    np.testing.assert_array_equal(got["y"], expected["y"])


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [(6, 7), (1, 1), (61, 43)])
def test_the_cpu_computes_the_same(kind, threads, size):
    """Also if a map is divided into bands, and every image has its own gate."""
    network = gated(kind, size)
    for count in (1, 2, 5):
        x = integers(np.random.default_rng(count), (count, 96, *size), most=3)
        expected = ops.run(network, x)
        got = cpu.compile(network, threads=threads)(x)
        np.testing.assert_array_equal(got["y"], expected["y"])
        assert (got["y"][0] != got["y"][-1]).any() or count == 1


def test_a_gate_of_a_wrong_image_or_channel_is_detected():
    """The comparison above can fail: gates differ between images and channels."""
    x = integers(np.random.default_rng(1), (2, 3, 4, 4))
    gate = integers(np.random.default_rng(2), (2, 3, 1, 1))
    for wrong in (gate[::-1], gate[:, ::-1]):
        assert (multiply(x, wrong) != multiply(x, gate)).any()


@pytest.mark.parametrize(
    ("first", "second"),
    [((4, 6, 7), (5, 1, 1)), ((5, 6, 7), (5, 6, 1)), ((5, 6, 7), (5, 7, 6)), ((5,), (5, 1, 1)), ((5,), (6,))],
)
def test_other_shapes_are_refused(first, second):
    with pytest.raises(ShapeError, match="one number per channel"):
        multiply(np.zeros((2, *first)), np.zeros((2, *second)))
    node = Node("y", "multiply", ("a", "b"))
    with pytest.raises(ShapeError, match=r"combines .* but expects the same shape, one number per channel"):
        ops.OPERATIONS["multiply"].infer_shape(node, [first, second])


def test_batches_of_different_length_are_refused():
    with pytest.raises(ShapeError, match="one number per channel"):
        multiply(np.zeros((2, 5, 6, 7)), np.zeros((1, 5, 1, 1)))


def test_a_single_input_is_refused():
    with pytest.raises(ArchitectureError, match="y: a multiply expects 2 to 3 inputs, got 1"):
        infer_shapes(Network((Node("y", "multiply", (INPUT,)),), {"y": "y"}), (5, 6, 7))
