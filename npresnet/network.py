"""Node and Network: the representation of a network as immutable data.

A Network is interpreted (`ops`), sized and planned (`plan`), optimised (`passes`), lowered (`cpu`, `cuda`), summarised,
drawn and timed. A node has the name of its parameters in the checkpoint (`layer1.0.conv1`); nodes without parameters
have torchvision's module names, followed by the number of the call if a module runs several times (`layer1.0.relu.1`,
`layer1.0.relu.2`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from npresnet.errors import ArchitectureError
from npresnet.window import Window

INPUT = "input"  # the name by which nodes refer to the batch: images (N, C, H, W) or clips (N, C, T, H, W)
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Node:
    """One operation.

    name        unique; that of its parameters in the checkpoint
    op          the name of an operation with a record in `npresnet.ops`: conv2d, batch_norm, relu, add, linear, ...
    inputs      names of the nodes it reads. A convolution's optional second input is the residual, added before
                activation
    window      convolutions and pools only; the pool's window of a (fused) conv2d_max_pool2d is in attrs["pool"]
    groups      convolutions only: filter o reads only the channels of group o // (out_channels/groups)
    attrs       attributes of the operation: eps, ceil_mode, count_include_pad, stride and padding of shortcut_a, ...,
                and of its activation: negative_slope; constant where its parameters are not the file's
    params      role -> array: weight, bias, running_mean, running_var; scale (O,) where a BatchNorm was folded in
    activation  the name of an activation (relu, silu, ...) applied to the result, or None
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

    def __repr__(self) -> str:
        """One line, whatever it holds: shapes, no numbers."""
        shapes = [f"{role} {array.shape}" for role, array in self.params.items()]
        window = [] if self.window is None else [f"window {self.window.kernel_size}"]
        what = ", ".join([f"{self.op} of {', '.join(self.inputs)}", *window, *shapes, *filter(None, [self.activation])])
        return f"<Node {self.name}: {what}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields as dicts, because a MappingProxyType cannot be pickled."""
        fields = (self.name, self.op, self.inputs, self.window, self.groups)
        return Node, (*fields, dict(self.attrs), dict(self.params), self.activation)

    def evolve(self, **changes: Any) -> Node:
        """A copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Network:
    """Nodes in topological order; outputs maps the name of each requested output to the node that computes it.

    Passes may merge and rename nodes but keep the outputs' names. Raises ArchitectureError if a node reads a value that
    no earlier node computes, a name is not unique, or an output is not a node.
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
                raise ArchitectureError(f"{node.name} reads {missing[0]}, which no earlier node computes")
            if node.name in known:
                raise ArchitectureError(f"two nodes are called {node.name}")
            known.add(node.name)
        for output, name in self.outputs.items():
            if name not in known:
                raise ArchitectureError(f"output {output} refers to {name}, but there is no such node")

    def __repr__(self) -> str:
        """One line: how many nodes, of which operations most, and the outputs."""
        operations = Counter(node.op for node in self.nodes).most_common(4)
        most = ", ".join(f"{count} {op}" for op, count in operations)
        return f"<Network of {len(self.nodes)} nodes ({most or 'empty'}{', ...' * (len(operations) > 3)}) -> " + (
            f"{', '.join(list(self.outputs)[:4])}{', ...' * (len(self.outputs) > 4)}>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Network, (self.nodes, dict(self.outputs))

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    @property
    def takes_clips(self) -> bool:
        """Whether its input is clips (N, C, T, H, W) rather than images: a window has an axis of time."""
        return any(node.window is not None and len(node.window.stride) == 3 for node in self.nodes)

    @property
    def _by_name(self) -> Mapping[str, Node]:
        cached: Mapping[str, Node] | None = self.__dict__.get("_index")
        if cached is None:
            cached = {node.name: node for node in self.nodes}
            object.__setattr__(self, "_index", cached)
        return cached

    def consumers(self) -> dict[str, list[Node]]:
        """For each value, including INPUT, the nodes that read it, in order."""
        readers: dict[str, list[Node]] = {INPUT: [], **{node.name: [] for node in self.nodes}}
        for node in self.nodes:
            for name in node.inputs:
                readers[name].append(node)
        return readers

    def find(self, module: str) -> str:
        """The node that computes a module's output: the last node called `module` or `module.<anything>`.

        For example "layer3" is the last node of layer3's last block; for a ReLU that runs three times, its last call.
        Raises ArchitectureError for an unknown name.
        """
        for node in reversed(self.nodes):
            if node.name == module or node.name.startswith(module + "."):
                return node.name
        if not self.nodes:
            raise ArchitectureError(f"there is no module called {module!r}: this network is empty")
        some = ", ".join(dict.fromkeys(node.name.split(".")[0] for node in self.nodes))
        raise ArchitectureError(
            f"there is no module called {module!r} in this network. Its modules are {some}, "
            f"and of modules inside them, for example {self.nodes[len(self.nodes) // 2].name}"
        )

    def with_outputs(self, modules: Iterable[str]) -> Network:
        """The part of this network that computes these modules' outputs (names as for `find`)."""
        outputs = {module: self.find(module) for module in modules}
        needed = set(outputs.values())
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
                kept.append(node)
        return Network(tuple(reversed(kept)), outputs)
