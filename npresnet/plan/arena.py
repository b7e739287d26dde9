"""Assign each value an offset in one block of memory (the arena); values with disjoint lifetimes may share bytes.

1. Values with a halo (a border of zeros around the image, so that a convolution needs no bounds checks): the zeros are
   written once, when the arena is allocated, and no step writes to the border. Such memory is reused only by values
   with the same storage shape and halo.
2. Other values: in order of decreasing size, each at the lowest offset without a value of an overlapping lifetime.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from npresnet.plan.lifetimes import Lifetime

ALIGNMENT_BYTES = 64  # a cache line or AVX-512 register


class Request(NamedTuple):
    """`size_bytes` required during `lifetime`; `border` is None, or a key: memory is reused only for equal borders."""

    name: str
    size_bytes: int
    lifetime: Lifetime
    border: Hashable = None


def assign_offsets(requests: Sequence[Request]) -> tuple[dict[str, int], int]:
    """({name: offset in bytes}, total bytes). Every offset is a multiple of 64."""
    offsets, fixed_bytes = _share_borders([r for r in requests if r.border is not None])
    packed, packed_bytes = _pack([r for r in requests if r.border is None])
    offsets.update({name: fixed_bytes + offset for name, offset in packed.items()})
    return offsets, fixed_bytes + packed_bytes


def _share_borders(requests: list[Request]) -> tuple[dict[str, int], int]:
    places: dict[Hashable, list[tuple[int, int]]] = {}  # border -> (offset, end of its last use)
    offsets: dict[str, int] = {}
    end = 0
    for request in sorted(requests, key=lambda r: r.lifetime.first):
        free = places.setdefault(request.border, [])
        index = next((i for i, (_, last) in enumerate(free) if last < request.lifetime.first), len(free))
        if index == len(free):
            free.append((end, 0))
            end += _aligned(request.size_bytes)
        offsets[request.name] = free[index][0]
        free[index] = (free[index][0], request.lifetime.last)
    return offsets, end


def _pack(requests: list[Request]) -> tuple[dict[str, int], int]:
    placed: list[tuple[int, int, Request]] = []  # (offset, end, request), by offset
    for request in sorted(requests, key=lambda r: (-r.size_bytes, r.lifetime.first)):
        offset = 0
        for other_offset, other_end, other in placed:
            if other.lifetime.overlaps(request.lifetime):
                if offset + request.size_bytes <= other_offset:
                    break
                offset = max(offset, other_end)
        placed.append((offset, offset + _aligned(request.size_bytes), request))
        placed.sort(key=lambda entry: entry[0])
    return {request.name: offset for offset, _, request in placed}, max((end for _, end, _ in placed), default=0)


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
