"""Batches: order, laziness, errors of single images, and the end of threads."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from npresnet.errors import ImageError
from npresnet.model.batches import Item, batches, stack_by_shape
from npresnet.system import threads


def read(source):
    """A fake preprocessing function: "bad" fails, a number gives a constant image."""
    if source == "bad":
        raise ImageError("bad cannot be read")
    return np.full((1, 3, 2, 2), float(source), np.float32)


def values(batch):
    return [None if item.x is None else float(item.x[0, 0, 0, 0]) for item in batch]


@pytest.mark.parametrize("count", [1, 3])
def test_order_is_kept(count):
    sources = [str(number) for number in range(11)]  # strings are paths, which are read by threads
    found = list(batches(sources, read, 4, count))
    assert [values(batch) for batch in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


def test_files_and_bytes_are_read_by_threads_and_others_by_the_caller():
    def thread_of(source):
        return np.array([threading.current_thread() is caller])

    caller = threading.current_thread()
    (batch,) = batches(["1", b"2", Path("3"), object()], thread_of, 4, 1, in_background=True)
    assert [bool(item.x[0]) for item in batch] == [False, False, False, True]


def test_no_sources():
    assert list(batches([], read, 4, 2)) == []


def test_an_unreadable_image_keeps_its_position():
    (batch,) = batches(["1", "bad", "2"], read, 8, 2)
    assert values(batch) == [1, None, 2]
    assert str(batch[1].error) == "bad cannot be read"
    assert batch[0].error is None


def test_other_errors_are_not_hidden():
    with pytest.raises(ValueError, match="could not convert"):
        list(batches(["no number"], read, 2, 2))


@pytest.mark.parametrize("given", [0, 1, 4, 5, 9])
@pytest.mark.parametrize("count", [1, 2])
def test_images_before_an_error_are_yielded_first(given, count):
    def sources():
        yield from map(str, range(given))
        raise RuntimeError("the disk is gone")

    found, running = [], batches(sources(), read, 2, count)
    while len(found) < given:
        found += values(next(running))
    assert found == list(range(given))
    with pytest.raises(RuntimeError, match="the disk is gone"):
        next(running)


def test_sources_are_consumed_only_one_batch_ahead():
    drawn = []

    def sources():
        for number in range(100):
            drawn.append(number)
            yield str(number)

    running = batches(sources(), read, 5, 2)
    assert drawn == []
    next(running)
    assert len(drawn) == 10
    next(running)
    assert len(drawn) == 15
    running.close()


def test_objects_are_read_immediately():
    """A generator may reuse the same array, as video readers do."""
    frame = np.zeros(1)

    def frames():
        for number in range(6):
            frame[0] = number
            yield frame

    found = batches(frames(), lambda array: read(array[0]), 2, 3)
    assert [value for batch in found for value in values(batch)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("buffer", [bytes, bytearray])
def test_a_dict_may_be_filled_anew_for_each_image(buffer, count):
    """Bytes in it, too, where the generator can write into them."""

    def rows():
        row = {"bytes": buffer(1), "path": None}
        for number in range(6):
            if buffer is bytearray:
                row["bytes"][0] = number
            else:
                row["bytes"] = bytes([number])
            row["path"] = f"{number}.png"
            yield row

    def slow(source):
        time.sleep(0.002)
        return read(source["bytes"][0])

    items = [item for batch in batches(rows(), slow, 2, count) for item in batch]
    assert values(items) == [0, 1, 2, 3, 4, 5]
    assert [item.source["path"] for item in items] == [f"{number}.png" for number in range(6)]


def test_one_thread_reads_in_the_callers_thread():
    readers = set()

    def spy(source):
        readers.add(threading.current_thread())
        return read(source)

    list(batches(["1", "2", "3"], spy, 2, 1))
    assert readers == {threading.current_thread()}


def test_threads_end_when_the_iterator_is_closed():
    running = batches((str(number) for number in range(1000)), read, 2, 3)
    next(running)
    assert "npresnet-read" in threads.running()
    running.close()
    assert "npresnet-read" not in threads.running()


def test_images_are_stacked_by_shape():
    shapes = [(1, 3, 4, 4), (1, 3, 5, 4), (1, 3, 4, 4)]
    items = [Item(None, np.full(shape, number, np.float32), None, 0) for number, shape in enumerate(shapes)]
    items.insert(1, Item(None, None, ImageError("bad"), 0))
    groups = stack_by_shape(items)
    assert [(positions, x.shape) for positions, x in groups] == [([0, 3], (2, 3, 4, 4)), ([2], (1, 3, 5, 4))]
    np.testing.assert_array_equal(groups[0][1][:, 0, 0, 0], [0, 2])
