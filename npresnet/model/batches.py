"""From image sources to batches of preprocessed images; the next is read while the caller uses the present one."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ImageError

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

Array = NDArray[Any]
Read = Callable[[Any], Array]  # image source -> (1, C, H, W) float32


class Item(NamedTuple):
    """One image source and what became of it: x (1, C, H, W), or the error that reading it raised."""

    source: Any
    x: Array | None
    error: ImageError | None
    elapsed_ms: float


if TYPE_CHECKING:
    Drawn = Item | Future[Item] | Exception


def batches(
    sources: Iterable[Any], read: Read, batch_size: int, threads: int, *, in_background: bool = False
) -> Iterator[list[Item]]:
    """Yield lists of at most `batch_size` Items, in the order of the sources.

    Files are read by `threads` threads, one batch ahead, so that two batches are in memory. With one thread it is
    the caller's own, unless `in_background`: a caller who waits for a GPU had better not read meanwhile. Anything else
    (PIL images, file objects, arrays) is read here and at once: such an object may be in use elsewhere, or be used
    again by the generator that gave it.
    """
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(threads, thread_name_prefix="npresnet-read") if threads > 1 or in_background else None
    try:
        ahead: deque[list[Drawn]] = deque()
        for chunk in _chunks(_drawn(pool, sources, read), batch_size):
            ahead.append(chunk)
            if len(ahead) > 1:  # nothing here holds what is yielded, so that the caller may let go of it
                yield [_result(drawn) for drawn in ahead.popleft()]
        while ahead:
            yield [_result(drawn) for drawn in ahead.popleft()]
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def read_item(source: Any, read: Read) -> Item:
    """Read one source; an ImageError becomes part of the Item."""
    start = perf_counter()
    x: Array | None = None
    error: ImageError | None = None
    try:
        x = read(source)
    except ImageError as caught:
        error = caught
    return Item(source, x, error, (perf_counter() - start) * 1e3)


def stack_by_shape(items: Iterable[Item]) -> list[tuple[list[int], Array]]:
    """Group the readable items of a batch: (their positions, x (n, C, H, W)) for each image size among them."""
    groups: dict[tuple[int, ...], list[tuple[int, Array]]] = {}
    for position, item in enumerate(items):
        if item.x is not None:
            groups.setdefault(item.x.shape, []).append((position, item.x))
    return [([p for p, _ in group], np.concatenate([x for _, x in group])) for group in groups.values()]


def _drawn(pool: ThreadPoolExecutor | None, sources: Iterable[Any], read: Read) -> Iterator[Drawn]:
    """Every source as it is read; where the iterable itself raises, its error, the last of all."""
    try:
        for source in sources:
            if pool is not None and isinstance(source, (str, os.PathLike)):
                yield pool.submit(read_item, source, read)
            else:
                yield read_item(source, read)
    except Exception as error:
        yield error


def _chunks(drawn: Iterator[Drawn], size: int) -> Iterator[list[Drawn]]:
    """Lists of `size`, the last one shorter; an error stands alone in a list of its own."""
    while chunk := list(islice(drawn, size)):
        if len(chunk) > 1 and isinstance(chunk[-1], Exception):
            yield chunk[:-1]
            del chunk[:-1]
        yield chunk


def _result(drawn: Drawn) -> Item:
    if isinstance(drawn, Exception):
        raise drawn
    return drawn if isinstance(drawn, Item) else drawn.result()
