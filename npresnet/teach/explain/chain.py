"""A convolution, and what follows it that the passes put into the same step: BatchNorm, residual, ReLU."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from npresnet import passes
from npresnet.errors import ArchitectureError
from npresnet.network import Network, Node


@dataclass(frozen=True)
class Chain:
    """What one fused step is made of.

    conv      the convolution as the checkpoint has it
    norm      the BatchNorm that is folded into it, or None
    add       the addition of a residual, or None; `residual` names what is added
    relu      the ReLU at the end, or None
    fused     all of that as one node, with `scale` and `bias` of the BatchNorm
    """

    conv: Node
    norm: Node | None
    add: Node | None
    residual: str | None
    relu: Node | None
    fused: Node

    @property
    def nodes(self) -> list[Node]:
        """Those that are there, in order."""
        return [node for node in (self.conv, self.norm, self.add, self.relu) if node is not None]

    @property
    def summed(self) -> str:
        """The node that gives the convolution's result with BatchNorm, before residual and ReLU."""
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
            raise ArchitectureError(f"{layer} is no convolution but a {node.op}; {which}")
    raise ArchitectureError(
        f"there is no layer called {layer!r} in this network; {which}. `npresnet summary` lists all of them"
    )


def find_chain(network: Network, conv: Node) -> Chain:
    """Follow the convolution's only reader as long as the passes merge it into the same step."""
    found: dict[str, Node] = {}
    last = conv
    consumers = network.consumers()
    while len(consumers[last.name]) == 1:
        (reader,) = consumers[last.name]
        if reader.op in found or _fused_name(network, reader.name) != conv.name:
            break
        found[reader.op] = last = reader
    norm, add, relu = (found.get(op) for op in ("batch_norm", "add", "relu"))
    before_add = (norm or conv).name
    residual = next((name for name in add.inputs if name != before_add), before_add) if add else None
    return Chain(conv, norm, add, residual, relu, _optimized(network, last.name)[conv.name])


def _fused_name(network: Network, name: str) -> str:
    """The step that gives a node's result, where nothing else is asked for."""
    return _optimized(network, name).outputs[name]


def _optimized(network: Network, name: str) -> Network:
    return passes.optimize(network.with_outputs([name]))
