"""The shape of every value for one image: (C, H, W), or (C,) once space is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from npresnet.errors import ArchitectureError, ShapeError
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window

Shape = tuple[int, ...]


def infer_shapes(network: Network, input_shape: Shape) -> dict[str, Shape]:
    """The shape of every value of `network` for one image.

    input_shape  (C, H, W)
    returns      {name: (C, H, W) or (C,)}, INPUT included

    Raises ShapeError, naming the layer, where a shape does not fit; ArchitectureError for an unknown operation.
    """
    shapes = {INPUT: tuple(input_shape)}
    for node in network:
        rule = RULES.get(node.op)
        if rule is None:
            raise ArchitectureError(f"{node.name}: no rule gives the size of operation {node.op!r}")
        inputs = [shapes[name] for name in node.inputs]
        try:
            shapes[node.name] = rule(node, inputs)
        except ShapeError as error:
            raise ShapeError(f"{node.name}: {error}") from None
    return shapes


def count_macs(node: Node, shapes: Mapping[str, Shape]) -> int:
    """Multiply-adds of one node for one image; 1 MAC = 2 FLOPs. Only products with weights count, as is usual."""
    if node.op not in ("conv2d", "conv2d_max_pool2d", "linear"):
        return 0
    weight, shape = node.params["weight"], shapes[node.name]
    if node.op == "conv2d_max_pool2d":  # before the pool
        shape = _conv2d(node, [shapes[name] for name in node.inputs])
    return prod(shape) * prod(weight.shape[1:])


def _conv2d(node: Node, inputs: list[Shape]) -> Shape:
    channels, *size = _image(inputs[0])
    out_channels, group_channels, kernel_height, kernel_width = node.params["weight"].shape
    if channels != group_channels * node.groups:
        raise ShapeError(
            f"expects {group_channels * node.groups} input channels, got {channels}\n"
            f"  input   {inputs[0]}   C, H, W\n"
            f"  weight  {node.params['weight'].shape}   out_channels, in_channels/groups, kernel_height, kernel_width\n"
            f"  Each filter sees in_channels/groups channels (groups = {node.groups})."
        )
    window, bias = _window_of(node), node.params.get("bias")
    if (kernel_height, kernel_width) != window.kernel_size:
        raise ShapeError(f"expects filters of size {window.kernel_size}, got weights {node.params['weight'].shape}")
    if bias is not None and bias.shape != (out_channels,):
        raise ShapeError(f"expects one bias a filter, ({out_channels},), got {bias.shape}")
    shape = (out_channels, *window.output_size(size))
    if len(inputs) > 1:
        _same([shape, inputs[1]])
    return shape


def _conv2d_max_pool2d(node: Node, inputs: list[Shape]) -> Shape:
    return _pooled(node.attrs["pool"], node, _conv2d(node, inputs))


def _pool(node: Node, inputs: list[Shape]) -> Shape:
    return _pooled(_window_of(node), node, inputs[0])


def _pooled(window: Window, node: Node, shape: Shape) -> Shape:
    channels, *size = _image(shape)
    if any(2 * p > k for p, k in zip(window.padding, window.kernel_size, strict=True)):  # nothing to pool in a corner
        raise ShapeError(
            f"expects padding of at most half the kernel_size, got padding {window.padding} "
            f"and kernel_size {window.kernel_size}"
        )
    if node.op == "avg_pool2d" and max(window.dilation) > 1:
        raise ShapeError(f"cannot average under a dilated window, got {window}")
    return (channels, *window.output_size(size, ceil_mode=node.attrs.get("ceil_mode", False)))


def _global_avg_pool(node: Node, inputs: list[Shape]) -> Shape:
    return (_image(inputs[0])[0], 1, 1)


def _flatten(node: Node, inputs: list[Shape]) -> Shape:
    return (prod(inputs[0]),)


def _linear(node: Node, inputs: list[Shape]) -> Shape:
    out_features, in_features = node.params["weight"].shape
    if inputs[0] != (in_features,):
        raise ShapeError(
            f"expects {in_features} features, got {inputs[0]}\n"
            f"  weight  {(out_features, in_features)}   out_features, in_features"
        )
    return (out_features,)


def _same(inputs: list[Shape]) -> Shape:
    if len(set(inputs)) > 1:
        raise ShapeError(f"adds values of different shapes (C, H, W): {' and '.join(map(str, inputs))}")
    return inputs[0]


def _batch_norm(node: Node, inputs: list[Shape]) -> Shape:
    channels = node.params["running_mean"].shape[0]
    if inputs[0][0] != channels:
        raise ShapeError(f"normalises {channels} channels, got {inputs[0]} (C, H, W)")
    return inputs[0]


def _shortcut_a(node: Node, inputs: list[Shape]) -> Shape:
    channels, *size = _image(inputs[0])
    stride, (before, after) = node.attrs["stride"], node.attrs["pad_channels"]
    return (before + channels + after, *(-(-n // stride) for n in size))


def _image(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ShapeError(f"expects an image (C, H, W), got {shape}")
    return shape


def _window_of(node: Node) -> Window:
    if node.window is None:
        raise ArchitectureError(f"{node.name}: a {node.op} needs a window")
    return node.window


RULES: dict[str, Callable[[Node, list[Shape]], Shape]] = {
    "conv2d": _conv2d,
    "conv2d_max_pool2d": _conv2d_max_pool2d,
    "batch_norm": _batch_norm,
    "relu": lambda node, inputs: inputs[0],
    "max_pool2d": _pool,
    "avg_pool2d": _pool,
    "global_avg_pool": _global_avg_pool,
    "flatten": _flatten,
    "linear": _linear,
    "add": lambda node, inputs: _same(inputs),
    "shortcut_a": _shortcut_a,
}
