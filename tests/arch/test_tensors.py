"""Tensors: what is handed out, what is remembered, what is left."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.arch.tensors import CHANNEL_AXES, LINEAR_AXES, Tensors, shorten
from npresnet.errors import ArchitectureError


def make(**shapes) -> Tensors:
    return Tensors({name.replace("__", "."): np.ones(shape, np.float32) for name, shape in shapes.items()})


def test_only_take_remembers():
    tensors = make(a=(2, 3), b=(4,))
    tensors.peek("b", CHANNEL_AXES)
    tensors.take("a", LINEAR_AXES)
    with pytest.raises(ArchitectureError, match=r"b \(4,\)") as caught:
        tensors.refuse_leftovers()
    assert "a (2, 3)" not in str(caught.value)
    tensors.take("b", CHANNEL_AXES)
    tensors.refuse_leftovers()


def test_a_missing_tensor_is_named_with_what_is_beside_it():
    with pytest.raises(ArchitectureError, match=r"bn1\.weight is missing, though bn1\.bias is there"):
        make(bn1__bias=(3,)).peek("bn1.weight", CHANNEL_AXES)


def test_numbers_are_read_as_numbers():
    tensors = make(layer2__10__x=(1,), layer2__9__x=(1,), layer10__0__x=(1,), layerX__0__x=(1,), xlayer3__0__x=(1,))
    assert tensors.numbers_after("layer") == [2, 10]
    assert tensors.numbers_after("layer2.") == [9, 10]
    assert tensors.numbers_after("fc.") == []


def test_prefix():
    tensors = make(a__b=(1,), c=(1,)).without_prefix("a.")
    assert sorted(tensors) == ["b", "c"]
    with pytest.raises(ArchitectureError, match="twice"):
        make(a__c=(1,), c=(1,)).without_prefix("a.")


def test_only_vectors_that_were_taken_are_searched_for_nan():
    tensors = Tensors({"v": np.array([np.inf], np.float32), "w": np.array([np.nan], np.float32)})
    tensors.take("v", CHANNEL_AXES)
    assert tensors.non_finite() == ["v"]


def test_shorten():
    assert shorten("abc") == "a, b, c"
    assert shorten("abcde", 2) == "a, b and 3 more"
    assert len(shorten(["x" * 10_000])) < 200


def test_names_cannot_paint_on_a_terminal():
    assert shorten(["a\nb", "\x1b[31m", "é"]) == "a\\nb, \\x1b[31m, é"
