"""Lists of numbers in JSON: taken out of it, and read in pieces."""

from __future__ import annotations

import contextlib
import json
import time
from functools import partial
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

from npresnet.serve import numbers as module
from npresnet.serve.numbers import LONG, PIECE, numbers, put_back, taken_out
from npresnet.serve.refusals import RefusedError


def packed(content) -> bytes:
    return json.dumps(content).encode()


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, 1, 3), (2, 3, 1, 1), (3, 2, 5, 7), (1, 3, 71, 83)])
def test_every_form_of_the_same_numbers(shape, monkeypatch):
    """Flat and nested, with and without spaces, whole numbers and powers; no call of json has more than a piece."""
    size = int(np.prod(shape))
    x = np.random.default_rng(size).normal(scale=1e3, size=shape).astype(np.float32)
    x.flat[::3] = np.rint(x.flat[::3])
    lengths: list[int] = []
    counting = SimpleNamespace(loads=lambda text: [lengths.append(len(text)), json.loads(text)][1])
    monkeypatch.setattr(module, "json", counting)
    for found in (x.tolist(), x.ravel().tolist(), [int(v) if v == int(v) else float(v) for v in x.ravel()]):
        for text in (
            packed(found),
            json.dumps(found, indent="\t").encode(),
            json.dumps(found, separators=(",", ":")).encode(),
        ):
            np.testing.assert_array_equal(numbers(text, shape, "x"), x)
    assert max(lengths) < PIECE + 100


@pytest.mark.parametrize(
    "text",
    ["[1 2, 3]", "[1, 2, 3", "[1, , 3]", "[1, 2,]", "[,1, 2]", "1, 2, 3", "[1, 2, 3]]", "[[1, 2, 3]", "[1, 2, +3]",
     "[1, 2, 0x3]", "[1, 2, 03]", "[1, 2, .5]", "[1, 2, 5.]", "[1, 2, 1e]", "[1, 2, --1]", "[1, 2, NaN]", "[1][2][3]",
     "[1, 2, true]", "[1, 2, null]", "[[1, 2], 3]", "[1, 2]", "[1, 2, 3, 4]", "", "[]", "[[[[1, 2, 3]]]",
     "[[[1, 2, 3]]]", "]1, 2, 3[", "[[[[] 1, 2, 3]]]", "[[[1 [, 2, 3]]]]", "1[, 2, 3]", "[1, 2, ]3",
     "[1, 2, 9" + "9" * 5000 + "]"],
)  # fmt: skip
def test_what_is_no_list_of_them(text):
    with pytest.raises(RefusedError) as raised:
        numbers(text.encode(), (1, 1, 1, 3), "x")
    assert raised.value.status == 400


def by_json(text: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """What json and numpy make of a list of numbers; None where it is none, or of another shape."""

    def are_numbers(found) -> bool:
        return all(map(are_numbers, found)) if isinstance(found, list) else type(found) in (int, float)

    try:
        content = json.loads(text)
        with np.errstate(over="ignore"):
            found = np.array(content, np.float32) if isinstance(content, list) and are_numbers(content) else None
    except ValueError:
        return None
    fits = found is not None and found.size == np.prod(shape) and found.shape in ((found.size,), shape)
    return found.reshape(shape) if fits else None


def test_agrees_with_json_on_what_was_damaged():
    """Thousands of lists in which characters were inserted or left out."""
    random = Random(7)
    counts = {True: 0, False: 0}
    for _ in range(5000):
        shape = tuple(random.choices((1, 2, 3), k=4))
        values = random.choices((0, 1, -2, 0.5, 1e-3, 1e20, -0.0, 123456789), k=int(np.prod(shape)))
        content = np.array(values, object).reshape(shape).tolist() if random.random() < 0.6 else values
        text = list(json.dumps(content))
        for _ in range(random.choice((0, 1, 1, 2, 3))):
            at = random.randrange(len(text))
            text[at : at + random.choice((0, 1))] = random.choice(("", *"[],.-+eE0 1\n"))
        wanted = by_json("".join(text), shape)
        try:
            found = numbers("".join(text).encode(), shape, "x")
        except RefusedError:
            found = None
        assert (found is None) == (wanted is None), "".join(text)
        assert found is None or np.array_equal(found, wanted)
        counts[found is None] += 1
    assert min(counts.values()) > 1000


def test_a_shape_of_any_size_costs_nothing():
    with pytest.raises(RefusedError):
        numbers(b"[1, 2, 3]", (2**20, 3, 2**20, 2**20), "x")


def test_beyond_float32():
    assert np.isinf(numbers(b"[1e39, -1e999, 3]", (1, 1, 1, 3), "x")).tolist() == [[[[True, True, False]]]]


@pytest.mark.parametrize("rows", [[1.5, 2], [[1.5], [2]], [], [0.25] * LONG])
def test_taken_out(rows):
    """What remains is the same JSON; texts and other members stay as they are."""
    entry = {"name": "x", "data": rows, "shape": [1, 2], "note": 'it says "data": [1, 2, 3] and "data": ['}
    content = {"inputs": [entry, {"data": ["aGk="]}, {"data": {"data": [7]}}, {"data": 3}], "outputs": [{"name": "y"}]}
    text, lists = taken_out(packed(content), "x")
    found = json.loads(text)
    assert [json.loads(part.text) for part in lists.values()] == [rows, [7]]
    restored = json.loads(text, object_hook=partial(put_back, lists=lists))
    assert restored["inputs"][0]["data"] is lists[found["inputs"][0]["data"]]
    assert [part.is_empty for part in lists.values()] == [not rows, False]
    first, last = lists
    assert found["inputs"][0].pop("data") == first
    assert found["inputs"][2] == {"data": {"data": last}}
    assert found["inputs"][0] == {key: value for key, value in entry.items() if key != "data"}
    assert found["inputs"][1] == {"data": ["aGk="]}
    assert found["outputs"] == content["outputs"]


def test_a_long_list_that_goes_on_with_something_else():
    with pytest.raises(RefusedError, match="must be numbers"):
        taken_out(packed({"data": [0.5] * LONG + ["a"]}), "x")
    assert taken_out(packed({"data": [0.5, "a"]}), "x") == (packed({"data": [0.5, "a"]}), {})


def test_hostile_texts_cost_no_more_than_others():
    """Each of these took hours, or a hundred times its size, where a list was looked for to the end of the text."""
    began = time.process_time()
    for text in (b'"data":[' * 2**20, b'"data":[1],' * 2**19, b'"data":[' + b"[" * 2**23, b'"data":' + b" " * 2**23):
        with contextlib.suppress(RefusedError):
            found, lists = taken_out(text, "x")
            assert len(lists) <= module.FEW_LISTS
            assert len(found) <= len(text) + 200
    with pytest.raises(RefusedError):
        numbers(b"[1, 2, 0." + b"1" * 2**23 + b"]", (1, 1, 1, 3), "x")
    with pytest.raises(RefusedError):
        numbers(b"[" * 2**23 + b"1, 2, 3" + b"]" * 2**23, (1, 1, 1, 3), "x")
    assert time.process_time() - began < 5
