"""A convolution of a model as it is computed: BatchNorm folded in, with the input that a photo brings to it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from math import prod

import numpy as np

from npresnet import passes
from npresnet.errors import ArchitectureError
from npresnet.model.model import Model
from npresnet.network import Array, Network, Node
from npresnet.ops import run
from npresnet.ops.convolution import folded_weight
from npresnet.ops.record import window_of
from npresnet.ops.registry import activation_of
from npresnet.plan.shapes import infer_shapes
from npresnet.window import Window


@dataclass(frozen=True)
class RealLayer:
    """out = activation(conv(x, weight) + bias + residual), activation and residual where the network has them.

    x         (1, C, H, W) float32      what the layers before make of the photo
    weight    (O, C/G, KH, KW) float32  BatchNorm's scale folded in
    bias      (O,) float32
    residual  (1, O, OH, OW) float32, or None
    """

    network_input: tuple[int, ...]  # (C, H, W) of the photo
    network: Network  # ends in the layer; its outputs are "x", "residual" where there is one, and "out"
    node: Node
    x: Array
    weight: Array
    bias: Array
    residual: Array | None

    @property
    def name(self) -> str:
        """The checkpoint's name for it."""
        return self.node.name

    @property
    def window(self) -> Window:
        """Kernel size, stride, padding, dilation."""
        return window_of(self.node)

    @property
    def out_shape(self) -> tuple[int, ...]:
        """(1, O, OH, OW)."""
        return (1, len(self.weight), *self.window.output_size(self.x.shape[2:]))

    @property
    def macs(self) -> int:
        """Multiply-adds."""
        return prod(self.out_shape) * prod(self.weight.shape[1:])

    @property
    def size_bytes(self) -> int:
        """Bytes to read and write at least: input, weights, bias, residual, output."""
        arrays = [self.x, self.weight, self.bias, *([] if self.residual is None else [self.residual])]
        return sum(array.nbytes for array in arrays) + 4 * prod(self.out_shape)

    def activated(self, sums: Array) -> Array:
        """The layer's activation of what stands before it, in its dtype."""
        node = self.node
        return sums if node.activation is None else activation_of(node).function(sums, node.attrs)

    def with_whole_numbers(self) -> RealLayer:
        """The same layer with small whole numbers, whose sums are exact in any order."""
        rng = np.random.default_rng(0)

        def whole(array: Array) -> Array:
            return rng.integers(-3, 4, array.shape).astype(np.float32)

        x = whole(self.x)
        residual = None if self.residual is None else whole(self.residual)
        if self.node.inputs[1:] == self.node.inputs[:1]:  # the layer adds its own input: one value in memory
            residual = x
        arrays = (x, whole(self.weight), whole(self.bias), residual)
        return _with_weights(self.network_input, self.network, self.node, *arrays)


def find_layer(model: Model, name: str | None, x: Array) -> RealLayer:
    """The convolution of that name, or the first of those that cost the most multiply-adds.

    x  (1, C, H, W) float32, preprocessed

    Raises ArchitectureError for the name of anything but a convolution of this network.
    """
    network = passes.optimize(model.network)
    convolutions = [node.name for node in network if node.op == "conv2d"]
    if not convolutions:
        raise ArchitectureError("this network has no convolution for the ladder to compute")
    shapes = infer_shapes(network, x.shape[1:])
    if name is None:
        name = max(convolutions, key=lambda conv: prod(shapes[conv]) * prod(network[conv].params["weight"].shape[1:]))
    if name not in convolutions:
        close = difflib.get_close_matches(name, convolutions, n=3, cutoff=0.4) or convolutions[:3]
        raise ArchitectureError(
            f"{name!r} is not a convolution of this network; it has, for example, {', '.join(close)}"
        )
    node = network[name]
    outputs = {"x": node.inputs[0], "out": name} | ({"residual": node.inputs[1]} if len(node.inputs) > 1 else {})
    part = Network(network.with_outputs([name]).nodes, outputs)
    values = run(part, x)
    weight = np.ascontiguousarray(folded_weight(node), np.float32)
    bias = np.asarray(node.params.get("bias", np.zeros(len(weight))), np.float32)
    return _with_weights(x.shape[1:], part, node, values["x"], weight, bias, values.get("residual"))


def _with_weights(
    shape: tuple[int, ...], network: Network, node: Node, x: Array, weight: Array, bias: Array, residual: Array | None
) -> RealLayer:
    node = node.evolve(params={"weight": weight, "bias": bias})
    network = Network((*network.nodes[:-1], node), network.outputs)
    return RealLayer(shape, network, node, x, weight, bias, residual)
