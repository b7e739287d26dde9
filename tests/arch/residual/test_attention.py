"""Attention in blocks: every form of names is found, whatever the module is called, and no other name is one."""

from __future__ import annotations

import re

import numpy as np
import pytest

from npresnet.arch.residual import attention
from npresnet.arch.tensors import Tensors

FORMS = [(kind, pattern, layers) for kind, pattern, layers in attention._FORMS]


def names_of(pattern: str) -> list[str]:
    """A name that a form's pattern matches, for each name of its module."""
    inside = pattern.removeprefix(attention._BLOCK).removesuffix("$").replace("\\", "")
    modules = re.match(r"\(\?P<module>([^)]*)\)", inside)
    return ["layer3.11." + module + inside[modules.end() :] for module in modules[1].split("|")]


@pytest.mark.parametrize(("kind", "pattern", "layers"), FORMS)
def test_each_form_is_found_under_each_of_its_modules_names(kind, pattern, layers):
    for name in names_of(pattern):
        assert re.search(pattern, name)
        weight = np.zeros((1, 1, 3) if kind == "eca" else (4, 8, 1, 1), np.float32)
        found = attention.find_attention(Tensors({"layer1.0.conv1.weight": weight, name: weight}))
        assert (found.kind, found.layers) == (kind, layers)
        assert f"{found.names('layer3.11')[0]}.weight" == name


@pytest.mark.parametrize(
    "name", ["layer1.0.send.fc1.weight", "layer1.0.conv1.weight", "layer1.se.fc1.weight", "fc1.weight"]
)
def test_other_names_are_no_attention(name):
    assert attention.find_attention(Tensors({name: np.zeros((4, 8, 1, 1), np.float32)})) is None
