"""Several networks of unknown names in one file: the refusal names the keys."""

from __future__ import annotations

import time

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.selection.copies import find_copies
from npresnet.arch.tensors import Tensors
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, conv, linear, norm, prefixed

OWN = conv("stem.0", 8, 3, 3, 3) | norm("stem.1", 8) | conv("body.0", 8, 8, 3, 3) | linear("out", 3, 8)


@pytest.mark.parametrize("prefixes", [("student.", "teacher."), ("nets.0.", "nets.1."), ("a.b.c.", "a.d.c.")])
def test_copies_below_two_modules(prefixes):
    first, second = prefixes
    found = find_copies(Tensors(prefixed(OWN, first) | prefixed(OWN, second)))
    assert len(found) == 2
    assert all(prefix.startswith(found) for prefix, found in zip(prefixes, found, strict=True))


def test_the_refusal_names_keys_that_lead_to_one_network():
    with pytest.raises(ArchitectureError, match=r"2 networks of the same names.* key='student' or key='teacher'"):
        arch.build(prefixed(OWN, "student.") | prefixed(OWN, "teacher."))
    with pytest.raises(ArchitectureError, match=r"no prefix, ema.*Give key='ema'; for the one without"):
        arch.build(OWN | prefixed(OWN, "ema."))


def test_equal_blocks_and_other_networks_are_no_copies():
    blocks = {name: array for i in range(3) for name, array in conv(f"stages.{i}.dw", 8, 1, 7, 7).items()}
    assert find_copies(Tensors(blocks)) == []
    stems = prefixed(OWN, "a.") | {f"b.{name}".replace("body", "trunk"): array for name, array in OWN.items()}
    stems |= norm("a.norm", 8) | norm("b.end", 8)
    assert find_copies(Tensors(stems)) == []
    assert find_copies(Tensors(prefixed(basic_net(), "only."))) == []


def test_many_prefixes_cost_little():
    """The pairs of 20,000 would take minutes."""
    many = {f"n{i}.conv{i}.a{i}.b{i}.weight": np.ones((1, 3, 1, 1), np.float32) for i in range(20_000)}
    start = time.process_time()
    assert find_copies(Tensors(many)) == []
    assert time.process_time() - start < 10
