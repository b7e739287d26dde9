"""How a batch is split between workers; decided only here.

With T workers and N images:

    the first T*(N // T) images  in small groups: a worker takes whole groups and never waits for another
    the remaining N % T          one at a time, the tiles of each shared by all workers

Both multiply the same numbers in the same order, so an image's result has the same bits either way.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from npresnet.cpu.runtime.memory import split

GROUP = 4  # the most images that a worker runs through the deep layers at once


class Split(NamedTuple):
    """groups: (first, last) of the images that one worker takes at once; shared: the remaining images."""

    groups: list[tuple[int, int]]
    shared: range

    @property
    def sizes(self) -> set[int]:
        """The sizes of the groups."""
        return {last - first for first, last in self.groups}


def split_batch(images: int, workers: int) -> Split:
    """Nearly equal groups of at most GROUP images, the same number for each worker, and the remainder."""
    whole = images - images % workers
    rounds = ceil(whole / (workers * GROUP))
    return Split(split(whole, workers * rounds) if whole else [], range(whole, images))
