"""Operation: the description of an operation, except for its implementation in the backends.

There is one record per operation, in the file of its NumPy function. All code that walks over a network reads the
records and has no table of operations: `ops.run` computes, `plan.infer_shapes` sizes, `plan.count_macs` counts,
`passes.fuse` merges, the views and the teaching pages draw. A backend adds a lowering (see `npresnet.plan.lowering`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from npresnet.errors import ArchitectureError, ShapeError
from npresnet.network import Array, Node
from npresnet.window import Window

Shape = tuple[int, ...]  # of one image's value: (C, H, W) or (C,); of a clip's (C, T, H, W)

NOT_TRAINED = ("running_mean", "running_var", "scale")  # roles of parameters
POINT = Window.of(1)  # an output position depends on the same input position
POINT_3D = Window.of(1, axes=3)


def no_macs(node: Node, inputs: list[Shape], out: Shape) -> int:
    """For operations without weights."""
    return 0


def sees_same_place(node: Node, index: int, shape: Shape) -> Window | None:
    """For elementwise operations."""
    return point_of(shape)


def sees_window(node: Node, index: int, shape: Shape) -> Window | None:
    """For operations with a window over the first input; a residual is seen at the same position."""
    return window_of(node) if index == 0 else point_of(shape)


def point_of(shape: Shape) -> Window:
    """The window of one position of a value of this shape."""
    return POINT_3D if len(shape) == 4 else POINT


def sees_all(node: Node, index: int, shape: Shape) -> Window | None:
    """For operations whose every output depends on the whole input."""
    return None


class Operation(NamedTuple):
    """An operation of a network.

    name           the value of `Node.op`
    label          name in tables and figures: "max pool"
    title          torchsummary's name of the module; "" if it is a function rather than a module in torchvision
    compute        the specification: (node, *inputs) -> result (N, ...), without the node's activation
    infer_shape    (node, input shapes) -> shape of one image's result; raises ShapeError
    count_macs     (node, input shapes, result shape) -> multiply-adds for one image
    sees           (node, index of an input, its shape) -> the window of that input on which an output position depends;
                   None for the whole input
    inputs         minimum and maximum number of inputs
    fuses          whether `passes.fuse` merges a following activation into the node
    monotone_only  whether a node may carry only activations with `is_monotone`
    """

    name: str
    label: str
    title: str
    compute: Callable[..., Array]
    infer_shape: Callable[[Node, list[Shape]], Shape]
    count_macs: Callable[[Node, list[Shape], Shape], int] = no_macs
    sees: Callable[[Node, int, Shape], Window | None] = sees_same_place
    inputs: tuple[int, int] = (1, 1)
    fuses: bool = False
    monotone_only: bool = False


class Activation(NamedTuple):
    """An elementwise function, carried by another operation's node (`Node.activation`) or a node of its own.

    name         the value of `Node.activation`, and of `Node.op` as a node of its own
    title        torchsummary's name of the module
    function     (x, attrs of the node) -> a result of the same shape and dtype
    attrs        the node attributes that it reads; they are copied when it is fused
    is_monotone  whether a larger input never gives a smaller result, including rounding: then the activation of a
                 maximum is the maximum of the activations, bit for bit
    """

    name: str
    title: str
    function: Callable[[Array, Mapping[str, Any]], Array]
    attrs: tuple[str, ...] = ()
    is_monotone: bool = False

    @property
    def operation(self) -> Operation:
        """The activation as a node of its own."""
        return Operation(
            name=self.name,
            label=self.title,
            title=self.title,
            compute=lambda node, x: self.function(x, node.attrs),
            infer_shape=same_shape,
        )


def trained_numbers(node: Node) -> int:
    """How many numbers training has fitted: all parameters but BatchNorm's statistics and what passes have made.

    None in a node with attrs["constant"]: a blur, a factor that the architecture fixes.
    """
    if node.attrs.get("constant"):
        return 0
    return sum(array.size for role, array in node.params.items() if role not in NOT_TRAINED)


def window_of(node: Node) -> Window:
    """The node's window. Raises ArchitectureError if it has none."""
    if node.window is None:
        raise ArchitectureError(f"{node.name}: a {node.op} needs a window")
    return node.window


def image_shape(shape: Shape) -> Shape:
    """`shape`. Raises ShapeError unless it is (C, H, W)."""
    if len(shape) != 3:
        raise ShapeError(f"expects an image (C, H, W), got {shape}")
    return shape


def clip_shape(shape: Shape) -> Shape:
    """`shape`. Raises ShapeError unless it is (C, T, H, W)."""
    if len(shape) != 4:
        raise ShapeError(f"expects a clip (C, T, H, W), got {shape}")
    return shape


def map_shape(shape: Shape) -> Shape:
    """`shape`. Raises ShapeError unless it is (C, H, W) or (C, T, H, W)."""
    return shape if len(shape) == 4 else image_shape(shape)


def flat_shape(shape: Shape) -> Shape:
    """`shape`. Raises ShapeError unless it is (C, H, W) or (C,): of an operation that does not take clips."""
    if len(shape) not in (1, 3):
        raise ShapeError(f"expects an image (C, H, W) or a vector (C,), and does not support clips, got {shape}")
    return shape


def same_shape(node: Node, inputs: list[Shape]) -> Shape:
    """The shape of the first input, for elementwise operations."""
    return inputs[0]
