"""The picture of a confusion matrix: cells in their places, readable for 2, 10 and 1,000 classes."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from PIL import Image

from npresnet.views import confusion


def counts_of(n: int) -> np.ndarray:
    """All right, but for class 1, half of which is taken for the last one; class 0 has no images."""
    counts = np.diag(np.full(n, 40))
    counts[0, 0] = 0
    counts[1, 1] = counts[1, n - 1] = 20
    if n == 2:
        counts[1] = (20, 20)
    return counts


def frame_of(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Its first and last row, its first and last column."""
    frame = (pixels == 160).all(axis=2)
    (top, bottom), (left, right) = (np.flatnonzero(frame.sum(1 - axis) > 100)[[0, -1]] for axis in (0, 1))
    return top, bottom, left, right


def cells_of(picture: Image.Image, n: int) -> np.ndarray:
    """(n, n, 3): a corner of each cell; the frame says where they are."""
    pixels = np.asarray(picture).astype(int)
    top, bottom, left, right = frame_of(pixels)
    rows = top + 1 + (np.arange(n) * (bottom - top - 1)) // n
    columns = left + 1 + (np.arange(n) * (right - left - 1)) // n
    return pixels[rows][:, columns]


@pytest.mark.parametrize("n", [2, 3, 10, 24, 60, 100, 200, 1000])
def test_cells(n):
    counts = counts_of(n)
    picture = confusion.draw_confusion(counts, [f"class {i}" for i in range(n)])
    cells = cells_of(picture, n)
    is_paper = (cells == confusion.PAPER).all(axis=2)
    np.testing.assert_array_equal(is_paper, counts == 0)
    for row, column in np.argwhere(counts):
        red, _, blue = cells[row, column]
        assert (blue > red) == (row == column)
    if n > 2:
        assert tuple(cells[2, 2]) == tuple(confusion.RIGHT)
    assert max(picture.size) < 1_700


def test_one_in_a_thousand_is_seen():
    counts = np.diag(np.full(1000, 5000))
    counts[400, 700] = 1
    cells = cells_of(confusion.draw_confusion(counts, ["x"] * 1000), 1000)
    assert np.abs(cells[400, 700] - confusion.PAPER).max() > 60


def test_more_classes_than_pixels_share_cells():
    n = 2 * confusion.MAX_CELLS - 1  # the last cell is one class
    counts = np.diag(np.full(n, 3))
    counts[7, n - 1] = 9
    picture = confusion.draw_confusion(counts, [str(i) for i in range(n)])
    cells = cells_of(picture, confusion.MAX_CELLS)
    assert tuple(cells[3, -1]) != tuple(confusion.PAPER)
    assert tuple(cells[4, -1]) == tuple(confusion.PAPER)
    assert tuple(cells[-1, -1]) == tuple(confusion.RIGHT)


@pytest.mark.parametrize("n", [10, 40, 80])
def test_names_lose_no_pixel(n):
    """Pillow cuts off what begins at a fraction of a negative pixel: the dot of hornbill's i, above narrow columns."""
    picture = confusion.draw_confusion(np.eye(n, dtype=int), [" "] * (n - 1) + ["hornbill goose"])
    ink = 255 - np.asarray(picture).astype(int)
    top, bottom, left, right = frame_of(255 - ink)
    title = confusion.MARGIN + confusion.TEXT + confusion.GAP
    beside, above = ink[top + 1 : bottom, :left].sum(), ink[title:top, left + 1 : right].sum()
    assert beside == above > 10_000


def test_names_and_counts_are_drawn():
    counts = counts_of(10)
    with_names = np.asarray(confusion.draw_confusion(counts, [f"class {i}" for i in range(10)]))
    without = np.asarray(confusion.draw_confusion(counts, [" " * 7] * 9 + ["class 9"]))
    assert with_names.shape == without.shape
    changed = np.argwhere((with_names != without).any(axis=2))
    assert len(changed) > 500  # 18 names of 7 letters
    other = counts.copy()
    other[5, 5] = 80  # the same share of its row
    changed = np.argwhere(
        (
            np.asarray(confusion.draw_confusion(other, ["x"] * 10))
            != np.asarray(confusion.draw_confusion(counts, ["x"] * 10))
        ).any(axis=2)
    )
    assert 0 < len(changed) < 2000


def test_names_of_any_length_and_script():
    names = ["蟻", "x" * 500, "naïve", "\x1b[31m"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # where no font has the first one
        picture = confusion.draw_confusion(np.eye(4, dtype=int), names)
    assert picture.width < 700


@pytest.mark.parametrize("n", [3, 101])
def test_long_labels_take_no_time(n):
    """A label of a million letters, which any file may have."""
    labels = ["i" * 10**6, *(f"class {i} " * 2_000 for i in range(n - 1))]
    started = time.perf_counter()
    picture = confusion.draw_confusion(counts_of(n), labels)
    assert time.perf_counter() - started < 5
    assert max(picture.size) < 1200


@pytest.mark.parametrize("room", [9, 40, 133, 460])
def test_shortened_labels_are_as_long_as_fits(room):
    text = "a label of many words, iii and mmm " * 5
    drawn, font = confusion._fitted(text, room, 13)
    assert drawn.endswith("..")
    assert text.startswith(drawn[:-2])
    assert len(drawn) == 3 or font.getlength(drawn) <= room
    assert font.getlength(text[: len(drawn) - 1] + "..") > room
