"""How far a value sees: the pixels of the network's image on which a position of some feature map depends.

Backwards through the network, from outputs start..stop-1 of a window to its inputs, along each axis:

    first = start * stride - padding        last = (stop - 1) * stride - padding + dilation * (kernel_size - 1)

(`Window.input_range`.) An operation's record says through which window it sees each of its inputs. Where paths part,
as at a shortcut, the field holds those of both.
Source: Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from npresnet.network import INPUT, Network, Node
from npresnet.ops.registry import operation_of
from npresnet.plan.shapes import Shape

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
        if field is None:
            continue
        for index, read in enumerate(node.inputs):
            source = _step_back(node, index, field, shapes[read])
            needed[read] = _union(needed.get(read, source), source)
    return needed[INPUT]


def jump(network: Network, name: str, shapes: Mapping[str, Shape]) -> tuple[int, int]:
    """Pixels of the image between neighbouring positions of a value, down and across: the product of all strides.

    An input that is seen as a whole, such as a gate's, has no stride: the first that is seen through a window counts.
    """
    down = across = 1
    while name != INPUT:
        node = network[name]
        operation = operation_of(node)
        windows = [(operation.sees(node, index, shapes[read]), read) for index, read in enumerate(node.inputs)]
        window, name = next((found for found in windows if found[0] is not None), windows[0])
        if window is not None:
            down, across = down * window.stride[-2], across * window.stride[-1]
    return down, across


def _step_back(node: Node, index: int, field: Field, shape: Shape) -> Field:
    """What a node reads of its input number `index`, whose shape this is, to make `field` of its result."""
    window = operation_of(node).sees(node, index, shape)
    if window is None:  # all of it
        height, width = shape[-2:] if len(shape) > 1 else (1, 1)
        return Field((0, height), (0, width))
    rows, columns = len(window.stride) - 2, len(window.stride) - 1  # of clips after time
    return Field(window.input_range(rows, *field.rows), window.input_range(columns, *field.columns))


def _union(a: Field, b: Field) -> Field:
    rows = min(a.rows[0], b.rows[0]), max(a.rows[1], b.rows[1])
    return Field(rows, (min(a.columns[0], b.columns[0]), max(a.columns[1], b.columns[1])))
