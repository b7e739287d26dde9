"""Chunks of pictures: how many a worker gets at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from npresnet.ray.sources import Picture

BATCHES = 8  # of a chunk: long enough that handing it out costs nothing, short enough to be done again


class Chunk(NamedTuple):
    """Pictures of file system number `which`, and how many workers have died with them."""

    which: int
    pictures: list[Picture]
    deaths: int = 0


def chunk_size(pictures: int, workers: int, batch_size: int) -> int:
    """Pictures of a chunk: BATCHES batches, fewer where each worker would have less than four chunks."""
    return max(1, min(BATCHES * batch_size, max(batch_size, -(-pictures // (4 * workers))), -(-pictures // workers)))


def chunks(files: Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    """Lists of at most `size`."""
    found: list[Picture] = []
    for file in files:
        found.append(file)
        if len(found) == size:
            yield found
            found = []
    if found:
        yield found
