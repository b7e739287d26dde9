from __future__ import annotations

import numpy as np

import npresnet
from benchmarks.kit import draft
from benchmarks.kit.photos import encoded
from npresnet.images import draft as images_draft
from npresnet.images import preset
from tests.images.pictures import picture


def files(sizes: list[int]) -> list[tuple[bytes, str]]:
    return [(encoded(picture("RGB", side, side), 90), "cat") for side in sizes]


def test_each_margin_is_compared_with_whole_pictures():
    usual = images_draft.MARGIN
    found = draft.compare("some", npresnet.load("demo"), preset("cifar10"), files([64, 100, 300]))
    assert usual == images_draft.MARGIN
    rows = {row["margin"]: row for row in found["rows"]}
    assert list(rows) == [None, 1, 2, 3, 4]
    assert (rows[None]["changed"], rows[None]["largest"], rows[None]["pixel"]) == (0, 0.0, 0.0)
    errors = [rows[margin]["pixel"] for margin in (1, 2, 3, 4)]
    assert errors[0] > errors[1] > 0, "64 and 100 are halved at margin 1 and not at margin 2"
    assert errors[-1] <= errors[1]
    assert found["count"] == 3
    table = draft.table(found)
    assert table.rows[3][0] == "at least 3 times what is needed"
    assert table.header[0] == "some, N = 3"
    assert len(table.header) == len(table.rows[0]) == 7


def test_nothing_is_smaller_than_the_margin_allows():
    found = draft.compare("small", npresnet.load("demo"), preset("cifar10"), files([40, 63]))
    assert [row["rms"] for row in found["rows"]] == [0.0] * 5


def test_changes_are_counted():
    whole = np.array([[3.0, 0.0], [0.0, 4.0]])
    other = np.array([[3.0, 3.5], [0.0, 4.0]])
    assert draft._against(whole, other) == {"changed": 1, "largest": 3.5, "rms": (3.5**2 / 25) ** 0.5}
