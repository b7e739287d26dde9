"""Which nodes of a network each step of its optimised form does."""

from __future__ import annotations

from npresnet.errors import ArchitectureError
from npresnet.network import Network, Node

SWALLOWED = ("batch_norm", "relu", "max_pool2d")  # by the node whose result they read


def swallowed_by(network: Network, steps: Network) -> dict[str, list[Node]]:
    """{step's name: the nodes of `network` that it does, in order}; `steps` is what the passes made of `network`.

    A node that keeps its name is its own step; one that is gone went into the step that makes what it reads. An
    addition reads two, and goes into the one that takes the other as its residual. Raises ArchitectureError where
    `steps` was made of another network.
    """
    owner: dict[str, str] = {}
    found: dict[str, list[Node]] = {step.name: [] for step in steps}
    for node in network:
        owner[node.name] = node.name if node.name in found else _owner_of(node, owner, steps)
        found[owner[node.name]].append(node)
    return found


def _owner_of(node: Node, owner: dict[str, str], steps: Network) -> str:
    sources = [owner.get(name, name) for name in node.inputs]
    if node.op in SWALLOWED and sources[0] in owner.values():
        return sources[0]
    if node.op == "add":
        for source, other in (sources, sources[::-1]):
            if source in owner.values() and steps[source].inputs[1:] == (other,):
                return source
    raise ArchitectureError(f"no step of the optimised network does {node.name}")
