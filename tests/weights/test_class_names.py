"""names_in: lists and tables of class names; everything else is not taken for them."""

from __future__ import annotations

import time

import pytest

from npresnet.weights.class_names import MAX_NAMES, names_in
from npresnet.weights.inert import Global, Inert
from tests.weights.fixtures.objects import tensor

ANTS = ["ants", "bees", "wild cats"]


def of_unknown_list(names: list[str], kind: str = "ClassList") -> Inert:
    made = Inert(Global("somewhere.dataset", kind))
    made.elements.extend(names)
    return made


@pytest.mark.parametrize(
    "value",
    [
        ANTS,
        tuple(ANTS),
        dict(enumerate(ANTS)),
        {str(place): name for place, name in enumerate(ANTS)},
        {name: place for place, name in enumerate(ANTS)},
        {"wild cats": 2, "ants": 0, "bees": 1},
        [("n01", "ants"), ["n02", "bees"], "wild cats"],
        {"1": ["n02", "bees"], "0": ["n01", "ants"], "2": ["n03", "wild\n cats "]},
        of_unknown_list(ANTS),
    ],
)
def test_names_in_the_order_of_the_outputs(value):
    assert names_in(value) == ANTS


def test_numbers_as_names():
    """class_to_idx of folders 0, 1, 10, 2 is sorted as text."""
    table = {"0": 0, "1": 1, "10": 2, "2": 3}
    assert names_in(table) == ["0", "1", "10", "2"]
    assert names_in({"1": 0, "0": 1}) == ["1", "0"]
    assert names_in({"1": "0", "0": "1"}) == ["1", "0"]


@pytest.mark.parametrize(
    "value",
    [
        None, 10, "ants", b"ants", [], {}, {"ants": 0, "bees": 2}, {0: "ants", 2: "bees"}, {"ants": 0.0}, [0, 1, 2],
        ["ants", 7], ["ants", ""], ["ants", None], ["ants", "  "], ["x" * 501], ["a\x1b[31m"], ["a\ud800"],
        {"ants": True, "bees": False}, tensor((3,)), {"a": tensor((3,))}, of_unknown_list(ANTS, "set"), [ANTS, 1],
        [[]], [["ants", 3]], ["a"] * (MAX_NAMES + 1), dict.fromkeys(range(MAX_NAMES + 1), "a"), {10**30: "a"},
        {"9" * 5000: "a"},
    ],
)  # fmt: skip
def test_what_is_not_taken_for_names(value):
    assert names_in(value) is None


def test_long_shared_names_are_bounded():
    start = time.perf_counter()
    assert names_in(["x" * 500] * 50_000) is None
    assert names_in(["x" * 10_000_000] * MAX_NAMES) is None
    assert time.perf_counter() - start < 1
