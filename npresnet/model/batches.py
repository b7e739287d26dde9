"""Batches of preprocessed images from image sources; the next batch is read while the caller uses the current one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import islice
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ImageError
from npresnet.images.wrapped import is_awaiting_a_thread, own
from npresnet.system.threads import Task, TaskPool

Array = NDArray[Any]
Read = Callable[[Any], Array]  # image source -> (1, C, H, W) float32, or pixels (H, W, C) uint8


class Item(NamedTuple):
    """One image source and its result: x, as `Read` gives it, or the error raised while reading it."""

    source: Any
    x: Array | None
    error: ImageError | None
    elapsed_ms: float


Pending = Item | Task[Item] | Exception


def batches(
    sources: Iterable[Any], read: Read, batch_size: int, threads: int, *, in_background: bool = False
) -> Generator[list[Item], None, None]:
    """Yield lists of at most `batch_size` Items, in the order of the sources.

    Files and bytes, also those in the dicts of a data set, are read by `threads` threads, one batch ahead, so two
    batches are in memory. With one thread they are read in the caller's thread, unless `in_background` (for callers
    that wait for a GPU). Other sources (PIL images, file objects, arrays) are read immediately in the caller's thread
    because they may be in use elsewhere or be reused by the generator that yields them. For the same reason the Item of
    a dict has a copy of it.

    Where the system grants no thread, and after a fork in the child, the caller's thread reads what none has begun.
    """
    pool = TaskPool(threads, "npresnet-read") if threads > 1 or in_background else None
    with pool or nullcontext():
        ahead: deque[list[Pending]] = deque()
        for chunk in _chunks(_start(pool, sources, read), batch_size):
            ahead.append(chunk)
            if len(ahead) > 1:  # keeps no reference to the yielded list, so that the caller can free it
                yield [_result(pending) for pending in ahead.popleft()]
        while ahead:
            yield [_result(pending) for pending in ahead.popleft()]


def read_item(source: Any, read: Read) -> Item:
    """Read one source; an ImageError is stored in the Item."""
    start = perf_counter()
    x: Array | None = None
    error: ImageError | None = None
    try:
        x = read(source)
    except ImageError as caught:
        error = caught
    return Item(source, x, error, (perf_counter() - start) * 1e3)


def read_one(source: Any, read: Read) -> Item:
    """As `read_item`, but an ImageError is raised."""
    item = read_item(source, read)
    if item.error is not None:
        raise item.error
    return item


def stack_by_shape(items: Iterable[Item]) -> list[tuple[list[int], Array]]:
    """For items of (1, C, H, W): those of a batch that are readable, (positions, x (n, C, H, W)) for each size."""
    return [(positions, np.concatenate(group)) for positions, group in group_by_shape(items)]


def group_by_shape(items: Iterable[Item]) -> list[tuple[list[int], list[Array]]]:
    """The readable items of a batch, (positions, their x) for each size."""
    groups: dict[tuple[int, ...], list[tuple[int, Array]]] = {}
    for position, item in enumerate(items):
        if item.x is not None:
            groups.setdefault(item.x.shape, []).append((position, item.x))
    return [([p for p, _ in group], [x for _, x in group]) for group in groups.values()]


def _start(pool: TaskPool | None, sources: Iterable[Any], read: Read) -> Iterator[Pending]:
    """Start reading each source; if the iterable itself raises, yield its error last."""
    try:
        for source in map(own, sources):
            if pool is not None and is_awaiting_a_thread(source):
                yield pool.submit(partial(read_item, source, read))
            else:
                yield read_item(source, read)
    except Exception as error:
        yield error


def _chunks(pending: Iterator[Pending], size: int) -> Iterator[list[Pending]]:
    """Lists of `size`, the last one possibly shorter; an error is in a list of its own."""
    while chunk := list(islice(pending, size)):
        if len(chunk) > 1 and isinstance(chunk[-1], Exception):
            yield chunk[:-1]
            del chunk[:-1]
        yield chunk


def _result(pending: Pending) -> Item:
    if isinstance(pending, Exception):
        raise pending
    return pending if isinstance(pending, Item) else pending.result()
