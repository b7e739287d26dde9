"""Node and Network: what a net is. Pure data: no arithmetic happens here, and nothing is ever changed in place.

The same Network is run slowly (`ops`), sized and planned (`plan`), optimised (`passes`), lowered (`cpu`, `cuda`),
summarised, drawn and timed. A node is named as its parameters are named in the checkpoint (`layer1.0.conv1`); nodes
without parameters follow torchvision's module names, with the number of the call where a module runs several times
(`layer1.0.relu.1`, `layer1.0.relu.2`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from npresnet.errors import ArchitectureError
from npresnet.window import Window

INPUT = "input"  # the name by which nodes refer to the image batch, (N, C, H, W)
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Node:
    """One operation.

    name        unique; the checkpoint's own name for what has parameters
    op          the name of an operation with a record in `npresnet.ops`: conv2d, batch_norm, relu, add, linear, ...
    inputs      names of the nodes it reads. A conv2d's second input, if any, is the residual, added before the activation
    window      conv2d and pools only; a conv2d_max_pool2d, which passes may make of two, has a second in attrs["pool"]
    groups      conv2d only: filter o sees the channels of group o // (out_channels/groups) alone
    attrs       what this operation alone needs: eps, ceil_mode, count_include_pad, stride and padding of shortcut_a, ...,
                and what its activation needs: negative_slope
    params      role -> array: weight, bias, running_mean, running_var; scale (O,) of a conv2d with a folded BatchNorm
    activation  the name of an activation (relu, silu, ...) that is applied to the result last; None for none
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    window: Window | None = None
    groups: int = 1
    attrs: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Array] = field(default_factory=dict)
    activation: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "attrs", MappingProxyType(dict(self.attrs)))
        object.__setattr__(self, "params", MappingProxyType(dict(self.params)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied by its fields: a MappingProxyType cannot be."""
        fields = (self.name, self.op, self.inputs, self.window, self.groups)
        return Node, (*fields, dict(self.attrs), dict(self.params), self.activation)

    def evolve(self, **changes: Any) -> Node:
        """A copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Network:
    """Nodes in topological order, and what is asked of them: outputs maps each asked name to the node that gives it.

    Passes may merge and rename nodes; the asked names stay. Raises ArchitectureError where a node reads what no
    earlier node makes, a name stands twice, or an output is no node.
    """

    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "outputs", MappingProxyType(dict(self.outputs)))
        known = {INPUT}
        for node in self.nodes:
            missing = [name for name in node.inputs if name not in known]
            if missing:
                raise ArchitectureError(f"{node.name} reads {missing[0]}, which no earlier node makes")
            if node.name in known:
                raise ArchitectureError(f"two nodes are called {node.name}")
            known.add(node.name)
        for asked, name in self.outputs.items():
            if name not in known:
                raise ArchitectureError(f"output {asked} is to come from {name}, but there is no such node")

    def __reduce__(self) -> tuple[Any, ...]:
        return Network, (self.nodes, dict(self.outputs))

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    @property
    def _by_name(self) -> Mapping[str, Node]:
        cached: Mapping[str, Node] | None = self.__dict__.get("_index")
        if cached is None:
            cached = {node.name: node for node in self.nodes}
            object.__setattr__(self, "_index", cached)
        return cached

    def consumers(self) -> dict[str, list[Node]]:
        """For each value, INPUT included, the nodes that read it, in order."""
        readers: dict[str, list[Node]] = {INPUT: [], **{node.name: [] for node in self.nodes}}
        for node in self.nodes:
            for name in node.inputs:
                readers[name].append(node)
        return readers

    def find(self, module: str) -> str:
        """The node whose result a module of that name gives: the last node called `module` or `module.<anything>`.

        So "layer3" is the last node of layer3's last block, and a ReLU that runs three times gives its last result.
        Raises ArchitectureError for a name that no node has.
        """
        for node in reversed(self.nodes):
            if node.name == module or node.name.startswith(module + "."):
                return node.name
        if not self.nodes:
            raise ArchitectureError(f"there is no module called {module!r}: this network has none at all")
        some = ", ".join(dict.fromkeys(node.name.split(".")[0] for node in self.nodes))
        raise ArchitectureError(
            f"there is no module called {module!r} in this network. Names are those of torchvision's modules: {some}, "
            f"and inside them for example {self.nodes[len(self.nodes) // 2].name}"
        )

    def with_outputs(self, modules: Iterable[str]) -> Network:
        """The part of this network that gives the results of these modules (names as `find` takes them)."""
        outputs = {module: self.find(module) for module in modules}
        needed = set(outputs.values())
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
                kept.append(node)
        return Network(tuple(reversed(kept)), outputs)
