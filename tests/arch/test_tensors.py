"""Tensors: what is returned, what is recorded as read, what is unused."""

from __future__ import annotations

import time

import numpy as np
import pytest

from npresnet.arch.source import CHANNEL_AXES, CONV_AXES, LINEAR_AXES, Wanted
from npresnet.arch.tensors import Tensors, agreed, shorten
from npresnet.errors import ArchitectureError


def make(**shapes) -> Tensors:
    return Tensors({name.replace("__", "."): np.ones(shape, np.float32) for name, shape in shapes.items()})


def wanted(name: str, shape: tuple[int, ...]) -> Wanted:
    axes = {1: CHANNEL_AXES, 2: LINEAR_AXES, 4: CONV_AXES}[len(shape)]
    return Wanted(name, shape, axes, None, lambda: "  the reason")


def test_only_take_records():
    tensors = make(a=(2, 3), b=(4,))
    tensors.peek("b", CHANNEL_AXES)
    tensors.take(wanted("a", (2, 3)))
    with pytest.raises(ArchitectureError, match=r"b \(4,\)") as caught:
        tensors.finish()
    assert "a (2, 3)" not in str(caught.value)
    tensors.take(wanted("b", (4,)))
    tensors.finish()


def test_what_inference_does_not_need_is_not_unused():
    tensors = make(a=(2, 3), index=(9, 9), bn__num_batches_tracked=(5,))
    tensors.take(wanted("a", (2, 3)))
    tensors.skip("index")
    tensors.skip("absent")
    tensors.finish()


def test_optional_tensors_are_checked_where_they_are_there():
    tensors = make(a=(2,))
    assert tensors.take_optional(wanted("b", (2,))) is None
    assert tensors.take_optional(wanted("a", (2,))).shape == (2,)
    with pytest.raises(ArchitectureError, match=r"a has shape \(2,\), expected \(3,\)"):
        tensors.take_optional(wanted("a", (3,)))


@pytest.mark.parametrize("shape", [(3, 4, 5, 5), (4, 3, 5, 1), (4, 3, 1, 5), (4, 3, 25), (60, 5), (), (4, 3, 5, 5, 1)])
def test_the_full_shape_is_checked(shape):
    tensors = make(w=shape)
    with pytest.raises(ArchitectureError) as caught:
        tensors.take(wanted("w", (4, 3, 5, 5)))
    words = [f"w has shape {shape}, expected (4, 3, 5, 5)", "out_channels, in_channels/groups", "the reason"]
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_missing_tensor_is_named_with_what_is_beside_it():
    missing = r"bn1\.weight is missing, though bn1\.bias is there"
    with pytest.raises(ArchitectureError, match=missing):
        make(bn1__bias=(3,)).peek("bn1.weight", CHANNEL_AXES)
    with pytest.raises(ArchitectureError, match=rf"(?s){missing}.*expected \(3,\)   channels.*the reason"):
        make(bn1__bias=(3,)).take(wanted("bn1.weight", (3,)))


def test_numbers_are_read_as_numbers():
    tensors = make(layer2__10__x=(1,), layer2__9__x=(1,), layer10__0__x=(1,), layerX__0__x=(1,), xlayer3__0__x=(1,))
    assert tensors.numbers_after("layer") == [2, 10]
    assert tensors.numbers_after("layer2.") == [9, 10]
    assert tensors.numbers_after("fc.") == []


def test_looking_below_each_of_many_stages_takes_one_pass_over_the_names():
    count = 20_000
    tensors = Tensors({f"layer{n}.0.conv1.weight": np.ones(1, np.float32) for n in range(count)})
    start = time.process_time()
    assert [tensors.numbers_after(f"layer{n}.") for n in tensors.numbers_after("layer")] == [[0]] * count
    assert time.process_time() - start < 2


def test_other_names():
    tensors = make(a__b=(1,), c=(2,)).renamed(lambda name: name.removeprefix("a."))
    assert {name: tensors.shape(name) for name in tensors} == {"b": (1,), "c": (2,)}
    with pytest.raises(ArchitectureError, match=r"twice in the file: a\.c and c"):
        make(a__c=(1,), c=(1,)).renamed(lambda name: name.removeprefix("a."))


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [([8], 8), ([9, 8, 8], 8), ([8, 8, None, 9], 8), ([6, 5], 6), ([None, 5], 5), ([None], 0), ([], 0)],
    ids=str,
)
def test_agreed(lengths, expected):
    """The majority counts, the first of equals, so that an error names the tensor that differs."""
    assert agreed(lengths) == expected


def test_only_vectors_that_were_taken_are_searched_for_nan():
    tensors = Tensors({"v": np.array([np.inf], np.float32), "w": np.array([np.nan], np.float32)})
    tensors.take(wanted("v", (1,)))
    assert tensors.non_finite() == ["v"]


def test_shorten():
    assert shorten("abc") == "a, b, c"
    assert shorten("abcde", 2) == "a, b and 3 more"
    assert len(shorten(["x" * 10_000])) < 200


def test_names_cannot_control_a_terminal():
    assert shorten(["a\nb", "\x1b[31m", "é"]) == "a\\nb, \\x1b[31m, é"
