"""Whether two state dicts hold the same numbers: an average that was never updated is no other network."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from npresnet.errors import CheckpointError
from npresnet.weights.tensor import EXPANSION_BYTES, Tensor, Unreadable

MAX_SHARING = 16  # limit on (bytes of all tensors) / (bytes stored) for one file

Tensors = dict[str, Tensor | Unreadable]


def differ(ours: Tensors, theirs: Tensors) -> bool:
    """Whether names, shapes or numbers differ."""
    pairs = _pairs(ours, theirs)
    if pairs is None or any(one.shape != other.shape or one.dtype != other.dtype for one, other in pairs):
        return True
    views = [view for pair in pairs for view in pair if not _same_view(*pair)]
    if not views:
        return False
    total_bytes, stored_bytes = expansion(views)
    if total_bytes > EXPANSION_BYTES + MAX_SHARING * stored_bytes:  # too much to compare
        return True
    try:
        return not all(np.array_equal(one.array(), other.array()) for one, other in pairs)
    except CheckpointError:  # the chosen dict's own problems are reported where it is read
        return True


def expansion(views: Iterable[Tensor]) -> tuple[int, int]:
    """Bytes of all tensors, and of the storages behind them."""
    tensors = list(views)
    storages = {id(whole): whole for whole in (view.storage.whole or view.storage for view in tensors)}
    return sum(view.size_bytes for view in tensors), sum(storage.size_bytes for storage in storages.values())


def _pairs(ours: Tensors, theirs: Tensors) -> list[tuple[Tensor, Tensor]] | None:
    """The tensors of both by name; None where the names differ or a tensor cannot be read."""
    if ours.keys() != theirs.keys():
        return None
    pairs = [(one, theirs[name]) for name, one in ours.items()]
    known = [(one, other) for one, other in pairs if isinstance(one, Tensor) and isinstance(other, Tensor)]
    return known if len(known) == len(pairs) else None


def _same_view(one: Tensor, other: Tensor) -> bool:
    return one is other or (one.storage is other.storage and (one.offset, one.stride) == (other.offset, other.stride))
