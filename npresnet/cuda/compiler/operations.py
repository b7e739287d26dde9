"""Each operation of the network as launches: its kernel, its parameters packed, where its values lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from npresnet.cuda.compiler.arena import Arena, Stored
from npresnet.cuda.compiler.choices import Choice
from npresnet.cuda.elements import Element, store
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import (
    add,
    avg_pool2d,
    batch_norm,
    global_avg_pool,
    layout,
    linear,
    max_pool2d,
    relu,
    shortcut_a,
)
from npresnet.cuda.runtime.weights import Weights
from npresnet.cuda.shapes import LinearShape, PoolShape
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Array, Network, Node
from npresnet.ops.conv2d import folded_weight
from npresnet.passes.fold_batch_norm import scale_and_shift
from npresnet.plan.shapes import Shape

TAKES_RELU = ("conv2d", "add", "linear", "batch_norm", "relu")


class Place(NamedTuple):
    """Everything that turning a node into launches may need.

    base     the arena's address
    network  without flatten, as `reduction` makes it
    shapes   of one image, by name
    """

    base: int
    arena: Arena
    network: Network
    shapes: Mapping[str, Shape]
    choices: Mapping[str, Choice]
    element: Element
    capability: int
    weights: Weights

    def address(self, name: str) -> int:
        """Of a value."""
        return self.base + self.arena.values[name].offset_bytes

    def stored(self, name: str) -> Stored:
        return self.arena.values[name]

    @property
    def workspace(self) -> int:
        """Its address."""
        return self.base + self.arena.workspace_offset

    @property
    def images(self) -> int:
        return self.arena.images


Lower = Callable[[Node, Place], list[Launch]]


def copy_in(place: Place) -> list[Launch]:
    """The staged images to NHWC, with channels of zeros where they are stored with more than they have."""
    channels, height, width = place.shapes[INPUT]
    padded, staged = place.stored(INPUT).channels, place.base + place.arena.images_offset
    return layout.nchw_to_nhwc(
        place.images, channels, height * width, padded, place.element, x=staged, y=place.address(INPUT)
    )


def copy_out(asked: str, source: str, place: Place) -> list[Launch]:
    """A value to its result in NCHW; none for a fully connected layer's, which is written there to begin with."""
    if source != INPUT and place.network[source].op == "linear":
        return []
    value, result = place.stored(source), place.base + place.arena.output_offsets[asked]
    channels = place.shapes[INPUT][0] if source == INPUT else value.channels  # without the padding
    return layout.nhwc_to_nchw(
        place.images, channels, value.positions, value.channels, place.element, x=place.address(source), y=result
    )


def lower_node(node: Node, place: Place) -> list[Launch]:
    """The node's launches, its ReLU included."""
    launches = LOWER[node.op](node, place)
    if node.activation and node.op not in TAKES_RELU:
        y = place.address(node.name)
        launches += relu.launches(_count(place, node.name), place.element, x=y, y=y)
    return launches


def _conv2d(node: Node, place: Place) -> list[Launch]:
    choice = place.choices[node.name]
    module, shape, folded = choice.module, choice.shape, "scale" in node.params
    x, *residual = (place.address(name) for name in node.inputs)
    weight = place.weights.address(
        (node.name, folded, choice.launcher, shape.in_channels),
        lambda: module.pack(_widened(folded_weight(node), shape.in_channels // shape.groups), place.element),
    )
    bias = place.weights.address((node.name, folded, "bias"), partial(_bias, node))
    launches: list[Launch] = module.launches(
        shape,
        place.element,
        choice.tile,
        x=x,
        weight=weight,
        bias=bias,
        residual=residual[0] if residual else 0,
        y=place.address(node.name),
        workspace=place.workspace,
    )
    return launches


def _linear(node: Node, place: Place) -> list[Launch]:
    """Its float32 result goes where it is asked for; readers get it in the element's storage."""
    (source,), (out_features, in_features) = node.inputs, node.params["weight"].shape
    shape = LinearShape(place.images, in_features, out_features, node.activation == "relu")
    weight = place.weights.address(
        (node.name, "weight", place.stored(source)[1:]), lambda: store(_in_order_of(source, node, place), place.element)
    )
    result = place.workspace
    if node.name in place.arena.output_offsets:
        result = place.base + place.arena.output_offsets[node.name]
    launches = linear.launches(
        shape,
        place.element,
        place.capability,
        x=place.address(source),
        weight=weight,
        bias=place.weights.address((node.name, "bias"), partial(_bias, node)),
        y=result,
    )
    if node.name in place.arena.values:
        y = place.address(node.name)
        launches += layout.nchw_to_nhwc(place.images, out_features, 1, out_features, place.element, x=result, y=y)
    return launches


def _batch_norm(node: Node, place: Place) -> list[Launch]:
    """A line for each channel; for a flattened image one for each of its numbers, in the order in which they lie."""
    value, (scale, shift) = place.stored(node.name), scale_and_shift(node)
    channels = value.channels
    if len(scale) != channels:
        scale, shift, channels = _positions_first(scale, value), _positions_first(shift, value), len(scale)
    rows = place.images * value.positions * value.channels // channels
    key = (node.name, "line", channels)
    return batch_norm.launches(
        rows,
        channels,
        place.element,
        x=place.address(node.inputs[0]),
        scale=place.weights.address((*key, "scale"), lambda: scale.astype(np.float32)),
        shift=place.weights.address((*key, "shift"), lambda: shift.astype(np.float32)),
        y=place.address(node.name),
        relu=node.activation == "relu",
    )


def _add(node: Node, place: Place) -> list[Launch]:
    a, b = node.inputs
    if place.stored(a)[1:] != place.stored(b)[1:]:
        raise ArchitectureError(f"{node.name}: the GPU backend does not add a flattened image to another vector")
    addresses = {"a": place.address(a), "b": place.address(b), "y": place.address(node.name)}
    return add.launches(_count(place, node.name), place.element, **addresses, relu=node.activation == "relu")


def _relu(node: Node, place: Place) -> list[Launch]:
    x, y = place.address(node.inputs[0]), place.address(node.name)
    return relu.launches(_count(place, node.name), place.element, x=x, y=y)


def _shortcut_a(node: Node, place: Place) -> list[Launch]:
    value = place.stored(node.inputs[0])
    return shortcut_a.launches(
        place.images,
        value.height,
        value.width,
        value.channels,
        place.element,
        stride=node.attrs["stride"],
        pad_channels=node.attrs["pad_channels"],
        x=place.address(node.inputs[0]),
        y=place.address(node.name),
    )


def _max_pool2d(node: Node, place: Place) -> list[Launch]:
    return max_pool2d.launches(_pool(node, place), place.element, **_from_to(node, place))


def _avg_pool2d(node: Node, place: Place) -> list[Launch]:
    return avg_pool2d.launches(_pool(node, place), place.element, **_from_to(node, place))


def _global_avg_pool(node: Node, place: Place) -> list[Launch]:
    value = place.stored(node.inputs[0])
    sizes = place.images, value.positions, value.channels
    return global_avg_pool.launches(*sizes, place.element, **_from_to(node, place))


LOWER: dict[str, Lower] = {
    "conv2d": _conv2d,
    "batch_norm": _batch_norm,
    "relu": _relu,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "global_avg_pool": _global_avg_pool,
    "linear": _linear,
    "add": _add,
    "shortcut_a": _shortcut_a,
}


def _pool(node: Node, place: Place) -> PoolShape:
    value, window = place.stored(node.inputs[0]), node.window
    assert window is not None
    ceil_mode, include = node.attrs.get("ceil_mode", False), node.attrs.get("count_include_pad", True)
    return PoolShape(place.images, value.height, value.width, value.channels, window, ceil_mode, include)


def _from_to(node: Node, place: Place) -> dict[str, int]:
    return {"x": place.address(node.inputs[0]), "y": place.address(node.name)}


def _count(place: Place, name: str) -> int:
    value = place.stored(name)
    return place.images * value.positions * value.channels


def _bias(node: Node) -> Array:
    out_channels = len(node.params["weight"])
    bias = node.params.get("bias")
    return np.zeros(out_channels, np.float32) if bias is None else np.asarray(bias, np.float32)


def _widened(weight: Array, channels: int) -> Array:
    """(O, C, KH, KW) with zeros for the channels that the image is stored with beyond its own."""
    missing = channels - weight.shape[1]
    return np.pad(weight, ((0, 0), (0, missing), (0, 0), (0, 0))) if missing else weight


def _in_order_of(source: str, node: Node, place: Place) -> Array:
    """A fully connected layer's (O, C*H*W) weight with its columns as the features lie: H, W, C."""
    weight, value = node.params["weight"], place.stored(source)
    rows = weight.reshape(len(weight), value.channels, value.positions)
    return rows.transpose(0, 2, 1).reshape(weight.shape)


def _positions_first(numbers: Array, value: Stored) -> Array:
    """(C*H*W,) -> (H*W*C,)"""
    return numbers.reshape(value.channels, value.positions).T.reshape(-1)
