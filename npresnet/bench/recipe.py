"""A Network as two plain files, so that a peer's process can rebuild it without npresnet's reader and its memory.

    recipe.json   {"nodes": [{name, op, inputs, window, groups, attrs, params: [roles], relu}, ...], "output": name}
    params.npz    "<node name>/<role>" -> array

Supports networks with one output only.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from npresnet.network import Network, Node
from npresnet.window import Window

RECIPE, PARAMS = "recipe.json", "params.npz"


def write(network: Network, folder: Path) -> None:
    """Write the two files of a network with one output."""
    (output,) = network.outputs.values()
    recipe = {"nodes": [_node_to_json(node) for node in network], "output": output}
    (folder / RECIPE).write_text(json.dumps(recipe, indent=1))
    params: dict[str, Any] = {f"{n.name}/{role}": array for n in network for role, array in n.params.items()}
    np.savez(folder / PARAMS, **params)


def read(folder: Path) -> Network:
    """The network that `write` stored."""
    recipe = json.loads((folder / RECIPE).read_text())
    with np.load(folder / PARAMS) as arrays:
        nodes = tuple(_node_from_json(entry, arrays) for entry in recipe["nodes"])
    return Network(nodes, {recipe["output"]: recipe["output"]})


def _node_to_json(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "op": node.op,
        "inputs": node.inputs,
        "window": asdict(node.window) if node.window else None,
        "groups": node.groups,
        "attrs": dict(node.attrs),
        "params": list(node.params),
        "activation": node.activation,
    }


def _node_from_json(entry: dict[str, Any], arrays: Any) -> Node:
    window = entry["window"] and Window(**{axis: tuple(sizes) for axis, sizes in entry["window"].items()})
    params = {role: arrays[f"{entry['name']}/{role}"] for role in entry["params"]}
    return Node(**{**entry, "inputs": tuple(entry["inputs"]), "window": window, "params": params})
