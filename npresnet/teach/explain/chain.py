"""A convolution, and what follows it that the passes put into the same step: BatchNorm, residual, activation."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from npresnet import passes
from npresnet.errors import ArchitectureError
from npresnet.network import Network, Node
from npresnet.ops.registry import ACTIVATIONS

ROLES = ("batch_norm", "add", "activation")  # what may follow a convolution in its step, in this order


@dataclass(frozen=True)
class Chain:
    """What one fused step is made of.

    conv        the convolution as the checkpoint has it
    norm        the BatchNorm that is folded into it, or None
    add         the addition of a residual, or None; `residual` names what is added
    activation  the activation at the end, or None
    fused       all of that as one node, with `scale` and `bias` of the BatchNorm
    """

    conv: Node
    norm: Node | None
    add: Node | None
    residual: str | None
    activation: Node | None
    fused: Node

    @property
    def nodes(self) -> list[Node]:
        """Those that are there, in order."""
        return [node for node in (self.conv, self.norm, self.add, self.activation) if node is not None]

    @property
    def summed(self) -> str:
        """The node that gives the convolution's result with BatchNorm, before residual and activation."""
        return (self.norm or self.conv).name

    @property
    def last(self) -> str:
        """The node whose result the fused step gives."""
        return self.nodes[-1].name


def find_conv(network: Network, layer: str | None) -> Node:
    """The convolution of that name; the network's first one for None. Raises ArchitectureError, with suggestions."""
    convs = {node.name: node for node in network if node.op == "conv2d"}
    if not convs:
        raise ArchitectureError("this network has no convolution to explain")
    if layer is None:
        return next(iter(convs.values()))
    if layer in convs:
        return convs[layer]
    near = get_close_matches(layer, convs, n=3, cutoff=0) or list(convs)[:3]
    which = f"convolutions with names like it are {', '.join(near)}" if len(near) > 1 else f"there is {near[0]}"
    for node in network:
        if node.name == layer:
            raise ArchitectureError(f"{layer} is a {node.op}, not a convolution; {which}")
    raise ArchitectureError(
        f"there is no layer called {layer!r} in this network; {which}. `npresnet summary` lists all of them"
    )


def find_chain(network: Network, conv: Node) -> Chain:
    """Follow the convolution's only reader as long as the passes merge it into the same step.

    Raises ArchitectureError where one node does several of these things already: its sum cannot be seen by itself.
    """
    found: dict[str, Node] = {}  # what a node does in the step -> the node
    last = conv
    consumers = network.consumers()
    while len(consumers[last.name]) == 1:
        (reader,) = consumers[last.name]
        role = "activation" if reader.op in ACTIVATIONS else reader.op
        if role not in ROLES or role in found or _fused_name(network, reader.name) != conv.name:
            break
        found[role] = last = reader
    norm, add, activation = (found.get(role) for role in ROLES)
    _check_separate([conv, *found.values()])
    before_add = (norm or conv).name
    residual = next((name for name in add.inputs if name != before_add), before_add) if add else None
    return Chain(conv, norm, add, residual, activation, _optimized(network, last.name)[conv.name])


def _check_separate(nodes: list[Node]) -> None:
    for node in nodes:
        if node.activation is not None or (node.op == "conv2d" and len(node.inputs) > 1):
            raise ArchitectureError(
                f"{node.name} is fused already: its activation or its residual is part of it, so the sum before them "
                "cannot be shown. Explain another convolution, or the network as its checkpoint has it"
            )


def _fused_name(network: Network, name: str) -> str:
    """The step that gives a node's result, where nothing else is asked for."""
    return _optimized(network, name).outputs[name]


def _optimized(network: Network, name: str) -> Network:
    return passes.optimize(network.with_outputs([name]))
