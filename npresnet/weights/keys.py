"""`key=`: which state dict of a file, as a dotted path of any depth.

    "teacher"  "state_dict_ema"  "state.model"      keys of nested dicts
    "encoder_k"  "model.momentum_encoder"           where the keys end, a prefix of names in the state dict there: only
                                                    these names are kept, without it
    ""                                              the top level itself

A key may contain dots, so the longest one that exists is tried first. A dict without tensors of its own is unwrapped
further, as a file is. Prefixes that all names share, such as `module.`, need not be written.
"""

from __future__ import annotations

from collections.abc import Iterator

from npresnet.config import Decision
from npresnet.errors import CheckpointError
from npresnet.weights.custom import choose, listed
from npresnet.weights.holders import Entries, Holder, Path, dotted, find_holders, main_holders
from npresnet.weights.inert import as_mapping
from npresnet.weights.rivals import Tensors
from npresnet.weights.source import shown
from npresnet.weights.state_dict import StateDict, at, chosen, common_prefix, strip_prefixes, tensors_of

_MAX_PARTS = 16
_MAX_LISTED = 12
_MAX_RIVALS = 4


def find_by_key(top: Entries, key: object) -> StateDict:
    """The state dict that `key` names. Raises CheckpointError with the keys that exist if there is none."""
    if not isinstance(key, str):
        raise CheckpointError(f"key={shown(repr(key))} is not a string; expected a path such as 'state_dict'.")
    parts = [part for part in key.split(".") if part]
    if len(parts) > _MAX_PARTS:
        raise CheckpointError(f"key={shown(key)!r} has {len(parts)} parts, more than any file nests.")
    for path, value, rest in _descents(top, (), parts):
        entries = as_mapping(value)
        found = None if entries is None else _named(top, entries, path, key, ".".join(rest))
        if found is not None:
            return found
    raise CheckpointError(_unknown(top, key))


def _descents(value: object, path: Path, parts: list[str]) -> Iterator[tuple[Path, object, list[str]]]:
    """Every way to follow the parts as keys, the longest keys first: (path, what is there, the parts left over)."""
    entries = as_mapping(value) or {}
    for count in range(len(parts), 0, -1):
        name = ".".join(parts[:count])
        for key in (name, name.encode("utf-8", "replace"), int(name) if name.isdecimal() and len(name) < 19 else name):
            if key in entries:
                yield from _descents(entries[key], (*path, key), parts[count:])
                break
    yield path, value, parts


def _named(top: Entries, entries: Entries, path: Path, key: str, prefix: str) -> StateDict | None:
    """The state dict in the dict that a path leads to; None if it has none or no name with the prefix."""
    holders = find_holders(entries, path)
    if prefix:
        return _with_prefix(top, entries, path, holders, key, prefix)
    own = next((holder for holder in holders if holder.path == path), None)
    if own is not None and (not path or own in main_holders(holders)):
        found = at(top, path)
        strip_prefixes(found)
    elif not path or (choice := choose(entries, path)) is None:
        return None
    else:
        found = chosen(top, choice)
        if found.key is not None:  # the key does not settle which of those below it
            return found
    found.key = Decision(key, "caller")
    return found


def _with_prefix(
    top: Entries, entries: Entries, path: Path, holders: list[Holder], key: str, prefix: str
) -> StateDict | None:
    fitting = [holder for holder in holders if _below(tensors_of(holder.entries), prefix) is not None]
    fitting = [holder for holder in main_holders(holders) if holder in fitting] or fitting
    if not fitting:
        return None
    usual = choose(entries, path) if len(fitting) > 1 else None  # raises where no custom decides
    best = next((holder for holder in fitting if usual is not None and holder.path == usual.holder.path), fitting[0])
    found = at(top, best.path)
    found.prefix, found.tensors = _below(found.tensors, prefix) or ("", {})
    strip_prefixes(found)
    others = [holder for holder in fitting if holder is not best]
    alternatives = tuple(f"key={dotted((*other.path, prefix))!r}" for other in others[:_MAX_RIVALS])
    found.key = Decision(key, "default" if others else "caller", f"names that begin with {found.prefix}", alternatives)
    return found


def _below(tensors: Tensors, prefix: str) -> tuple[str, Tensors] | None:
    """The tensors whose names begin with the prefix, after prefixes that all names share; None if there are none."""
    for full in (f"{prefix}.", f"{common_prefix(tensors)}{prefix}."):
        kept = {
            name.removeprefix(full): tensor
            for name, tensor in tensors.items()
            if name.startswith(full) and len(name) > len(full)
        }
        if kept:
            return full, kept
    return None


def _unknown(top: Entries, key: str) -> str:
    holders = find_holders(top)
    if not holders:
        return f"key={shown(key)!r} names no state dict: the file holds no tensors by name."
    first = main_holders(holders)[0]
    names = [name[len(common_prefix(tensors)) :] for tensors in (tensors_of(first.entries),) for name in tensors]
    starts = list(dict.fromkeys(name.partition(".")[0] for name in names))
    text = f"key={shown(key)!r} is not in the file. State dicts are at: {listed(holders)}."
    if len(starts) > _MAX_LISTED:
        return text
    where = dotted(first.path) or "the top level"
    return f"{text} Names in {where} begin with: {', '.join(map(shown, starts))}."
