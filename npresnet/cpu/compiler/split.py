"""How a batch is split between workers: the one place that decides it.

With T workers and N images:

    the first T*(N // T) images  in groups of a few: a worker takes whole groups, and never waits for another
    the N % T left over          one image after another, its tiles shared by all workers

Both multiply the same numbers in the same order, so an image's result has the same bits either way.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from npresnet.cpu.runtime.memory import split

GROUP = 4  # images that a worker takes through the deep layers at once, at most


class Split(NamedTuple):
    """groups: (first, last) of the images that one worker takes at once; shared: the first image of those left over."""

    groups: list[tuple[int, int]]
    shared: range

    @property
    def sizes(self) -> set[int]:
        """How many images the groups have."""
        return {last - first for first, last in self.groups}


def split_batch(images: int, workers: int) -> Split:
    """Nearly equal groups of GROUP images at most, as many for each worker, and what is left over."""
    whole = images - images % workers
    rounds = ceil(whole / (workers * GROUP))
    return Split(split(whole, workers * rounds) if whole else [], range(whole, images))
