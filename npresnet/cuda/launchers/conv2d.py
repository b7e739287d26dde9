"""Convolution: its kernel by `compiler.choices`, its filters as that kernel wants them, its launches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from npresnet.cuda.compiler.choices import Choice, Layer, choose
from npresnet.cuda.compiler.cost import Work
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.linear import bias_of
from npresnet.cuda.launchers.lowering import Bound, Lowering, Place, Request
from npresnet.network import INPUT, Array, Node
from npresnet.ops.convolution import folded_weight
from npresnet.ops.record import window_of


class Conv2dLowering(Lowering):
    """A convolution by the kernel of its choice. Its epilogue adds the residual and applies ReLU."""

    fuses = frozenset({"relu"})

    def reads_padding(self, node: Node) -> bool:
        """The filters get zeros for them; those of a group, or the image as a residual, would see other channels."""
        return node.groups == 1 and INPUT not in node.inputs[1:]

    def layer(self, request: Request) -> Layer:
        node, stored = request.node, request.stored[request.node.inputs[0]]
        channels, out_channels = request.shapes[node.inputs[0]][0], len(node.params["weight"])
        sizes = (request.images, stored.height, stored.width, channels, out_channels)
        shape = ConvShape(*sizes, window_of(node), node.groups, self.fused(node).code)
        return Layer(shape, stored.channels, len(node.inputs) > 1)

    def choose(self, request: Request) -> Choice:
        return choose(self.layer(request), request.element, request.gpu)

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        choice: Choice = bound.choice
        return {"sums": choice.module.workspace_bytes(choice.shape, bound.element, choice.tile)}

    def work(self, bound: Bound) -> list[Work]:
        choice: Choice = bound.choice
        return choice.work(bound.element, has_residual=len(bound.node.inputs) > 1)

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node, choice, is_folded = bound.node, bound.choice, "scale" in bound.node.params
        module, shape = choice.module, choice.shape
        x, *residual = (place.address(name) for name in node.inputs)
        weight = place.weights.address(
            (node.name, is_folded, choice.launcher, shape.in_channels),
            lambda: module.pack(_widened(folded_weight(node), shape.in_channels // shape.groups), bound.element),
        )
        launches: list[Launch] = module.launches(
            shape,
            bound.element,
            choice.tile,
            x=x,
            weight=weight,
            bias=place.weights.address((node.name, is_folded, "bias"), lambda: bias_of(node)),
            residual=residual[0] if residual else 0,
            y=place.address(node.name),
            workspace=place.workspace,
            tickets=place.tickets,
        )
        return launches


def _widened(weight: Array, channels: int) -> Array:
    """(O, C, KH, KW) with zeros for the channels that the image is stored with beyond its own."""
    missing = channels - weight.shape[1]
    return np.pad(weight, ((0, 0), (0, missing), (0, 0), (0, 0))) if missing else weight
