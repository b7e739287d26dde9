"""Operation: all that the project knows of one operation, apart from how a backend computes it.

One record an operation, beside its NumPy. Whoever walks through a network reads the record and keeps no table of
operations: `ops.run` computes, `plan.infer_shapes` sizes, `plan.count_macs` counts, `passes.fuse` merges, the views and
the teaching pages draw. A backend adds a lowering (see `npresnet.plan.lowering`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from npresnet.errors import ArchitectureError, ShapeError
from npresnet.network import Array, Node
from npresnet.window import Window

Shape = tuple[int, ...]  # of one image's value: (C, H, W), or (C,) once space is gone

POINT = Window.of(1)  # an output position sees the input position of the same place


def no_macs(node: Node, inputs: list[Shape], out: Shape) -> int:
    """Of an operation without weights."""
    return 0


def sees_same_place(node: Node, index: int, shape: Shape) -> Window | None:
    """Of an operation that looks at one position at a time."""
    return POINT


def sees_window(node: Node, index: int, shape: Shape) -> Window | None:
    """Of an operation whose first input lies under its window; what is added to the result is seen in its place."""
    return window_of(node) if index == 0 else POINT


def sees_all(node: Node, index: int, shape: Shape) -> Window | None:
    """Of an operation whose every output depends on the whole input."""
    return None


class Operation(NamedTuple):
    """One operation of a network.

    name           as `Node.op` has it
    label          in tables and pictures: "max pool"
    title          torchsummary's name of the module; "" where torchvision's code has a function and no module
    compute        the specification: (node, *inputs) -> result (N, ...), without the node's activation
    infer_shape    (node, shapes of the inputs) -> shape of the result, of one image; raises ShapeError
    count_macs     (node, shapes of the inputs, shape of the result) -> multiply-adds for one image
    sees           (node, number of an input, its shape) -> the window through which an output position sees that input;
                   None where it sees all of it
    inputs         the least and the largest number of inputs
    fuses          an activation that follows costs no pass of its own, so that `passes.fuse` takes it in
    monotone_only  the only activations that a node may carry are those with `is_monotone`
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
    """A function of single numbers, which an operation's node may carry (`Node.activation`) or which stands alone.

    name         as `Node.activation` has it, and `Node.op` where it stands alone
    title        torchsummary's name of the module
    function     (x, attrs of the node) -> a result of the same shape and dtype
    attrs        which of the node's attrs it reads: they go along when it is fused
    is_monotone  a larger number never gives a smaller result, rounding included: then the activation of a maximum is
                 the maximum of the activations, bit for bit
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


def window_of(node: Node) -> Window:
    """The node's window. Raises ArchitectureError where it has none."""
    if node.window is None:
        raise ArchitectureError(f"{node.name}: a {node.op} needs a window")
    return node.window


def image_shape(shape: Shape) -> Shape:
    """`shape`, if it is (C, H, W); else raises ShapeError."""
    if len(shape) != 3:
        raise ShapeError(f"expects an image (C, H, W), got {shape}")
    return shape


def same_shape(node: Node, inputs: list[Shape]) -> Shape:
    """The shape of the first input: the rule of operations on single numbers."""
    return inputs[0]
