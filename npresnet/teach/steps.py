"""The steps of a compiled network: which nodes each of them does, and what each makes of an image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from npresnet.errors import ArchitectureError
from npresnet.network import Array, Network, Node
from npresnet.plan.executable import Executable


def merged_into(network: Network, steps: Iterable[Node]) -> dict[str, list[Node]]:
    """{step's name: the nodes of `network` that it does, in order}; `steps` is what the passes made of `network`.

    The rule knows no operation. A node that keeps its name is its own step. One that is gone went into the step that
    makes one of its inputs, and what else it reads has become a further input of that step; or, where a factor behind
    it went into one of its inputs, into the step with the factor's name and its own operation. A step that computes
    such an input does no node. Raises ArchitectureError where `steps` was made of another network.
    """
    made_by, readers = {step.name: step for step in steps}, network.consumers()
    owner: dict[str, str] = {}  # node -> the step that gives its result, or that it went into
    found: dict[str, list[Node]] = {name: [] for name in made_by}
    for node in network:
        behind = {reader.name for reader in readers[node.name]}
        owner[node.name] = node.name if node.name in made_by else _owner_of(node, owner, made_by, behind)
        found[owner[node.name]].append(node)
    return found


def run_keeping_all(executable: Executable, x: Array) -> dict[str, Array]:
    """{step's name: its result (N, ...) float32}, computed by the same kernels. x: (N, C, H, W) float32."""
    keeping = executable.keeping_all()
    try:
        return keeping(keeping.as_array(x))
    finally:
        keeping.close()


def _owner_of(node: Node, owner: Mapping[str, str], made_by: Mapping[str, Node], behind: Set[str]) -> str:
    sources = [owner.get(name, name) for name in node.inputs]
    for position, source in enumerate(sources):
        others = sources[:position] + sources[position + 1 :]
        if source in made_by and all(other in made_by[source].inputs[1:] for other in others):
            return source
    for step in behind & made_by.keys():
        if made_by[step].op == node.op and made_by[step].inputs[0] == sources[0]:
            return step
    raise ArchitectureError(f"no step of the optimised network does {node.name}")
