"""Zagoruyko's lists of parameters: the same network as under the names of its modules."""

from __future__ import annotations

import re

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.families import preact
from tests.arch.families.tiny import tiny

SIZES = {"layers": [2, 1, 1], "base": 16, "width_factor": 2, "stem_channels": 16}
WIDE = tiny(preact, names="block", projection="convShortcut", final_norm="bn1", num_classes=10, **SIZES)


def functional(name: str) -> str:
    """The functional code's name of a module's tensor."""
    found = re.fullmatch(r"block(\d)\.layer\.(\d+)\.(\w+)\.(\w+)", name)
    if found is None:
        return {"conv1.weight": "conv0"}.get(name, re.sub(r"^bn1\.", "bn.", name))
    stage, block, module, role = found.groups()
    prefix = f"group{int(stage) - 1}.block{block}"
    plain = {"conv1": "conv0", "conv2": "conv1", "convShortcut": "convdim"}
    if module in plain:
        return f"{prefix}.{plain[module]}"
    return f"{prefix}.bn{int(module[-1]) - 1}.{role}"


@pytest.mark.parametrize("prefix", ["", "params."])
def test_names_are_translated(prefix):
    tensors = {prefix + functional(name): array for name, array in WIDE.items() if "tracked" not in name}
    assert f"{prefix}group1.block0.convdim" in tensors
    network, config = arch.build(tensors)
    expected, _ = arch.build(WIDE)
    assert [node.name for node in network] == [node.name for node in expected]
    for node, other in zip(network, expected, strict=True):
        for role, array in other.params.items():
            np.testing.assert_array_equal(node.params[role], array)
    assert config.value("home") == "wide-residual-networks"
    assert config.value("family") == "preact"
