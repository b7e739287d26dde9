"""BiT in its authors' names: timm's network of the same numbers, with the authors' eps."""

from __future__ import annotations

import re

import numpy as np

from npresnet import arch
from npresnet.arch.families import resnetv2
from tests.arch.families.tiny import tiny

BIT = {"norm": "group_norm", "weight_standardisation": True, "pool_border": "zeros", "block": "Bottleneck"}
TENSORS = tiny(resnetv2, **BIT, layers=[11, 1])


def authors(name: str) -> str:
    """The authors' name of timm's tensor."""
    name = re.sub(
        r"^stages\.(\d+)\.blocks\.(\d+)\.", lambda m: f"body.block{int(m[1]) + 1}.unit{int(m[2]) + 1:02d}.", name
    )
    name = name.replace("downsample.conv.", "downsample.").replace("stem.", "root.").replace("head.fc.", "head.conv.")
    return re.sub(r"^norm\.", "head.gn.", re.sub(r"\.norm(\d)\.", r".gn\1.", name))


def test_names_are_translated():
    tensors = {authors(name): array for name, array in TENSORS.items()}
    assert {"root.conv.weight", "body.block1.unit11.gn1.weight", "body.block2.unit01.downsample.weight"} <= set(tensors)
    network, config = arch.build(tensors)
    expected, timm = arch.build(TENSORS)
    assert [node.name for node in network] == [node.name for node in expected]
    assert (config.value("home"), config.value("family")) == ("big_transfer", "resnetv2")
    assert (config.value("weight_eps"), timm.value("weight_eps")) == (1e-10, 1e-8)
    same, _ = arch.build(tensors, options={"weight_eps": 1e-8})
    for node, other in zip(same, expected, strict=True):
        for role, array in other.params.items():
            np.testing.assert_array_equal(node.params[role], array)


def test_the_eps_counts():
    small = {name: array * np.float32(1e-5) if array.ndim == 4 else array for name, array in TENSORS.items()}
    deviations = {}
    for eps in (1e-10, 1e-8):
        network, _ = arch.build(small, options={"weight_eps": eps})
        deviations[eps] = network["stages.1.blocks.0.conv2"].params["weight"].std()
    assert deviations[1e-10] > 2 * deviations[1e-8] > 0
