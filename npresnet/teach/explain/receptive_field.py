"""How far a value sees: the pixels of the network's image on which a position of some feature map depends.

Backwards through the network, from outputs start..stop-1 of a window to its inputs, along each axis:

    first = start * stride - padding        last = (stop - 1) * stride - padding + dilation * (kernel_size - 1)

(`Window.input_range`.) Where paths part, as at a shortcut, the field holds those of both.
Source: Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from npresnet.network import INPUT, Network, Node
from npresnet.plan.shapes import Shape
from npresnet.window import Window

Range = tuple[int, int]


@dataclass(frozen=True)
class Field:
    """Rows and columns of the image, first and one past the last: may reach into the padding around it."""

    rows: Range
    columns: Range


def receptive_field(network: Network, name: str, rows: Range, columns: Range, shapes: Mapping[str, Shape]) -> Field:
    """What rows x columns (each start and stop) of the value `name` depend on; `shapes` as `plan.infer_shapes` says."""
    needed = {name: Field(rows, columns)}
    for node in reversed(network.nodes):
        field = needed.get(node.name)
        if field is not None:
            source = _step_back(node, field, shapes)
            for read in node.inputs:
                needed[read] = _union(needed.get(read, source), source)
    return needed[INPUT]


def jump(network: Network, name: str) -> tuple[int, int]:
    """Pixels of the image between neighbouring positions of a value, down and across: the product of all strides."""
    down = across = 1
    while name != INPUT:
        node = network[name]
        stride = _window(node).stride
        down, across, name = down * stride[0], across * stride[1], node.inputs[0]
    return down, across


def _step_back(node: Node, field: Field, shapes: Mapping[str, Shape]) -> Field:
    """Through one node: what it reads to make `field` of its result."""
    if node.op in ("global_avg_pool", "flatten", "linear"):  # everything
        _, height, width = (*shapes[node.inputs[0]], 1, 1)[:3]
        return Field((0, height), (0, width))
    window = _window(node)
    return Field(window.input_range(0, *field.rows), window.input_range(1, *field.columns))


def _window(node: Node) -> Window:
    if node.op == "shortcut_a":
        return Window.of(1, node.attrs["stride"])
    return node.window or Window.of(1)


def _union(a: Field, b: Field) -> Field:
    rows = min(a.rows[0], b.rows[0]), max(a.rows[1], b.rows[1])
    return Field(rows, (min(a.columns[0], b.columns[0]), max(a.columns[1], b.columns[1])))
