"""Which of several dicts of tensors is the network, by the custom of the field; else the caller is asked.

    state_dict beside state_dict_ema    the plain one. Both are networks in use, so the other is a rival
    student, teacher (DINO)             the teacher, which DINO evaluates
    trunk, heads (VISSL)                the trunk; the heads belong to the training's task
    network, loss                       the only one with convolutions, whatever its key
    generator, discriminator            refused: `key=` says which one

Of two paths the first keys that differ decide: `{"ema": {"model": ...}, "model": {"model": ...}}` has one plain model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from npresnet.errors import CheckpointError
from npresnet.weights.holders import (
    MATRICES,
    NETWORK,
    VECTORS,
    Entries,
    Holder,
    Path,
    dotted,
    find_holders,
    main_holders,
    name_of,
    short_name,
)

PLAIN = (
    "state_dict", "model_state_dict", "model", "net", "model_state", "network", "module", "params",
    "online_network_state_dict", "blobs",
)  # fmt: skip
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema")
WRAPPERS = (*PLAIN, *AVERAGED)  # in this order; the outer dict itself, if it holds a network, comes between both
_PLACES = {name: float(place) for place, name in enumerate(WRAPPERS)}
_UNKNOWN = float(len(WRAPPERS))
_SELF = ()  # unlike any key
_DINO = "DINO evaluates the teacher"
_VISSL = "VISSL's heads belong to the task of its training"
_MAX_LISTED = 12


class Choice(NamedTuple):
    """The dict to read; `rivals`, which could be meant as well; and the custom that decided against others."""

    holder: Holder
    rivals: list[Holder]
    custom: str = ""


def choose(root: Entries, path: Path = ()) -> Choice | None:
    """The dict of the network; None where no dict has tensors. Raises CheckpointError where several could be meant.

    path  the keys that lead to `root`
    """
    found = find_holders(root, path)
    candidates = main_holders(found)
    if not candidates:
        return None
    holder, rivals, custom = _preferred(candidates, len(path))
    parts = [other for other in found if _may_be_part(other, holder)]
    rest = [part for part in parts if not _is_vissl_head(part, holder)]
    return Choice(holder, [*rivals, *rest], custom if len(rest) == len(parts) else _VISSL)


def listed(holders: Sequence[Holder]) -> str:
    """The dotted paths, as many as a message can have."""
    paths = [dotted(holder.path) or "the top level" for holder in holders[:_MAX_LISTED]]
    more = f" and {len(holders) - _MAX_LISTED:,} more" if len(holders) > _MAX_LISTED else ""
    return ", ".join(paths) + more


def _preferred(candidates: list[Holder], depth: int) -> Choice:
    rivals: list[Holder] = []
    custom = ""
    while len(candidates) > 1:
        branches: dict[object, list[Holder]] = {}
        for holder in candidates:
            branches.setdefault(holder.path[depth] if depth < len(holder.path) else _SELF, []).append(holder)
        if len(branches) > 1 and _is_dino(branches):
            del branches["student"]
            custom = _DINO
        best = min(branches, key=_place)
        if len(branches) > 1 and _place(best) == _UNKNOWN:
            raise CheckpointError(several(candidates))
        candidates = branches.pop(best)
        rivals += [holder for others in branches.values() for holder in others]
        depth += 1
    return Choice(candidates[0], rivals, custom)


def several(holders: Sequence[Holder]) -> str:
    """The message for a file in which several dicts could be meant."""
    option = f"key={dotted(holders[0].path)!r}"
    return f"it holds several state dicts ({listed(holders)}); say which one is meant, such as {option}."


def _place(key: object) -> float:
    name = short_name(key)
    return _PLACES.get(name, _UNKNOWN) if key is not _SELF else len(PLAIN) - 0.5


def _is_dino(branches: dict[object, list[Holder]]) -> bool:
    """A student and a teacher with `backbone.` in front of their names; any others are asked about."""
    return all(
        len(branches.get(key, ())) == 1
        and any(name_of(name).removeprefix("module.").startswith("backbone.") for name in branches[key][0].entries)
        for key in ("student", "teacher")
    )


def _may_be_part(other: Holder, holder: Holder) -> bool:
    """Whether a dict beside the network may be a part of it: a classifier, a norm, or changes of its numbers."""
    is_around = holder.path[: len(other.path)] == other.path
    return holder.rank == NETWORK and other.rank in (VECTORS, MATRICES) and not other.is_loss and not is_around


def _is_vissl_head(other: Holder, holder: Holder) -> bool:
    around = holder.path[:-1]
    return holder.path[-1:] == ("trunk",) and other.path[: len(around) + 1] == (*around, "heads")
