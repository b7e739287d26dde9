"""Every dict of tensors inside a checkpoint's object, with the keys that lead to it.

- Dicts are searched to any depth up to MAX_DEPTH: `{"checkpoint": {"state_dict": {...}}}`, Composer's
  `{"state": {"model": {...}}}`, VISSL's `{"classy_state_dict": {"base_model": {"model": {"trunk": {...}}}}}`. Lists and
  inert objects are not searched.
- Each dict is visited once, whatever the number of entries that refer to it, itself included: the cost is linear in
  the number of entries. A path of keys is a tuple; text is made of it only to be shown.
- The state of an optimizer, a scheduler, a gradient scaler or a random generator is never a network. Recognised by key,
  an optimizer's also by its entries `state` and `param_groups`.
- Losses (criterion.*, dino_loss), queues and metrics hold tensors, but count only where nothing else does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from npresnet.weights.inert import as_mapping, as_tensor, describe
from npresnet.weights.source import shown
from npresnet.weights.tensor import Tensor

MAX_DEPTH = 16
Entries = dict[object, object]
Path = tuple[object, ...]

STRAY, VECTORS, MATRICES, NETWORK = range(4)  # ranks
_CONVOLUTIONS = 2  # tensors of 3 or more axes that a network has at least

_TRAINING_STATE = (  # patterns, compiled where a file has inner dicts
    r"(?i)optimi[sz]er|scheduler|(^|_)(opts?|optims?|sched|scalers?|amp|rng|random|sampler|param_groups)(_|$)|^loops$"
)
_LOSS = r"(?i)(^|_)(loss|losses|criterion|criteria|metrics?|queue|memory|memory_bank|prototypes|stats|history)(_|$)"


class Holder:
    """A dict with tensors among its entries.

    path     the keys from the root, () for the root itself
    entries  the dict
    rank     NETWORK with convolutions, MATRICES, VECTORS, or STRAY with numbers only
    is_loss  it belongs to a loss, a queue or a metric

    Two are equal only if they are the same: comparing the dicts of a file could recurse.
    """

    __slots__ = ("entries", "is_loss", "path", "rank")

    def __init__(self, path: Path, entries: Entries, rank: int, is_loss: bool):
        self.path = path
        self.entries = entries
        self.rank = rank
        self.is_loss = is_loss


def find_holders(root: Entries, path: Path = ()) -> list[Holder]:
    """All dicts that hold tensors, outer ones first; `path` leads to the root."""
    found: list[Holder] = []
    seen = {id(root)}
    level: list[tuple[Path, Entries, bool]] = [(path, root, False)]
    for depth in range(MAX_DEPTH + 1):
        below: list[tuple[Path, Entries, bool]] = []
        for path, entries, is_loss in level:
            rank = rank_of(entries)
            if rank is not None:
                found.append(Holder(path, entries, rank, is_loss))
            for key, value in entries.items():
                inner = as_mapping(value)
                if not inner or depth == MAX_DEPTH or id(inner) in seen or _is_training_state(key, inner):
                    continue
                seen.add(id(inner))
                below.append(((*path, key), inner, is_loss or bool(re.search(_LOSS, short_name(key)))))
        level = below
    return found


def rank_of(entries: Entries) -> int | None:
    """What the tensors among these entries can be; None if there are none."""
    axes = [_axes(tensor) for tensor in map(as_tensor, entries.values()) if tensor is not None]
    if not axes:
        return None
    if sum(count > 2 for count in axes) >= _CONVOLUTIONS:
        return NETWORK
    return min(max(axes), MATRICES)


def main_holders(found: Iterable[Holder]) -> list[Holder]:
    """Those of the highest rank; losses and the like only where there is nothing else."""
    holders = list(found)
    plain = [holder for holder in holders if not holder.is_loss and holder.rank > STRAY]
    holders = plain or holders
    best = max((holder.rank for holder in holders), default=STRAY)
    return [holder for holder in holders if holder.rank == best]


def name_of(key: object) -> str:
    """A key as a name: Python 2 bytes are latin-1, integers become decimal strings."""
    if isinstance(key, bytes):
        return key.decode("latin-1")
    return key if isinstance(key, str) else describe(key)


def short_name(key: object) -> str:
    """A key of usual length as text, else "": thousands of dicts may share a long one, which is no known name."""
    return name_of(key) if isinstance(key, (str, bytes)) and len(key) <= 100 else ""


def dotted(path: Path) -> str:
    """A path of keys as `load(key=...)` takes it; of very long keys only the start."""
    return ".".join(shown(name_of(key[:300] if isinstance(key, (str, bytes)) else key), 200) for key in path)


def _axes(tensor: object) -> int:
    return len(tensor.shape) if isinstance(tensor, Tensor) else VECTORS  # one that cannot be read may be anything


def _is_training_state(key: object, entries: Entries) -> bool:
    return bool(re.search(_TRAINING_STATE, short_name(key))) or ("param_groups" in entries and "state" in entries)
