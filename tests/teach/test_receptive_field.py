"""What a value sees of the photo: against the specification, and what is known of ResNet-18."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import ops
from npresnet.network import INPUT, Network, Node
from npresnet.ops import registry
from npresnet.ops.registry import OPERATIONS
from npresnet.passes import fuse_max_pool, optimize
from npresnet.plan.shapes import infer_shapes
from npresnet.teach.explain.receptive_field import jump, receptive_field
from npresnet.window import Window
from tests.support.layers import KINDS, model_of


@pytest.mark.parametrize("kind", ["7x7 stem", "3x3", "3x3 with residual", "3x3 strided", "dilated"])
@pytest.mark.parametrize("at", [(0, 0), (0.5, 1), (1, 0.5)])
def test_receptive_field_is_what_moves_the_number(kind, at):
    """With filters of ones a pixel of 1 in an image of zeros shows exactly where it is seen; whole lines at a time."""
    size, layer = 65, KINDS[kind].layer
    network = positive(model_of(KINDS[kind]).network.with_outputs([layer]))
    shapes = infer_shapes(network, (1, size, size))
    row, col = (int(share * (n - 1)) for share, n in zip(at, shapes[layer][1:], strict=True))
    field = receptive_field(network, layer, (row, row + 1), (col, col + 1), shapes)
    for axis, (first, last) in enumerate((field.rows, field.columns)):
        lines = np.zeros((size, 1, size, size), np.float32)
        for line in range(size):
            lines[(line, slice(None), *((line, slice(None)) if axis == 0 else (slice(None), line)))] = 1
        seen = np.flatnonzero(ops.run(network, lines)[layer][:, 0, row, col])
        assert (max(0, first), min(size, last)) == (seen[0], seen[-1] + 1)


def positive(network: Network) -> Network:
    """The network with one channel everywhere, filters of ones, and BatchNorms that change no sign."""
    nodes = []
    for node in network:
        params = {
            role: np.ones((1, 1, *array.shape[2:])[: array.ndim], np.float32) for role, array in node.params.items()
        }
        if node.op == "batch_norm":
            params |= {role: np.zeros(1, np.float32) for role in ("running_mean", "bias")}
        nodes.append(node.evolve(params=params, groups=1))
    return Network(tuple(nodes), network.outputs)


def test_receptive_fields_that_are_known():
    """ResNet-18's, of an output far from the borders: 7, then 11 after the pool, then 4*2 more a 3x3 of layer1."""
    network = model_of(KINDS["3x3"]).network
    shapes = infer_shapes(network, (3, 224, 224))

    def size(name):
        field = receptive_field(network, name, (20, 21), (20, 21), shapes)
        return field.rows[1] - field.rows[0], field.columns[1] - field.columns[0]

    assert size("conv1") == (7, 7)
    assert size("maxpool") == (11, 11)
    assert size("layer1.0.conv1") == (19, 19)
    assert size("layer1.0.conv2") == (27, 27)
    assert [jump(network, name, shapes) for name in (INPUT, "conv1", "maxpool", "layer2.0.conv1")] == [
        (1, 1),
        (2, 2),
        (4, 4),
        (8, 8),
    ]


def test_an_input_that_is_seen_whole_has_no_stride(monkeypatch):
    """A gate, one number a channel, depends on all of the image; neighbours are as far apart as on the main path."""
    gated = OPERATIONS["add"]._replace(
        name="gate", sees=lambda node, index, shape: None if index == 0 else Window.of(1)
    )
    monkeypatch.setattr(registry, "OPERATIONS", {**OPERATIONS, "gate": gated})
    stem = Node("stem", "max_pool2d", (INPUT,), Window.of(2, 2), attrs={"ceil_mode": False})
    network = Network((stem, Node("gated", "gate", (INPUT, "stem"))), {"y": "gated"})
    shapes = {INPUT: (3, 12, 10), "stem": (3, 6, 5), "gated": (3, 6, 5)}
    assert jump(network, "gated", shapes) == (2, 2)
    field = receptive_field(network, "gated", (1, 2), (0, 1), shapes)
    assert (field.rows, field.columns) == ((0, 12), (0, 10))
    seen = receptive_field(
        Network((stem, Node("sum", "add", ("stem", "stem"))), {"y": "sum"}), "sum", (1, 2), (0, 1), shapes
    )
    assert (seen.rows, seen.columns) == ((2, 4), (0, 2))


def test_a_fused_max_pool_widens_the_field():
    """A step that holds a convolution and a max pool sees what the two see one after the other."""
    network = model_of(KINDS["3x3"]).network.with_outputs(["maxpool"])
    shapes = infer_shapes(network, (3, 65, 65))
    (stem,) = fuse_max_pool(optimize(network)).nodes
    fused = Network((stem,), {"y": stem.name})
    for row in range(shapes["maxpool"][1]):
        apart = receptive_field(network, "maxpool", (row, row + 1), (0, 1), shapes)
        together = receptive_field(fused, stem.name, (row, row + 1), (0, 1), shapes)
        assert apart == together
    assert jump(fused, stem.name, shapes) == jump(network, "maxpool", shapes) == (4, 4)
