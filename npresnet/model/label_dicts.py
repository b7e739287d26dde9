"""Class names of a dict, {index: name} or {name: index}, in the order of the indices."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from npresnet.errors import ArchitectureError


def in_order(labels: Mapping[Any, Any], where: str, keys_are: str) -> list[Any]:
    """Names by index, {"0": "cat"}, or indices by name, {"cat": 0}.

    keys_are  "index", "name", or "" where only the dict itself tells. Where all are numbers, names are strings as in
              torchvision's class_to_idx: {"0": 0, "1": 1, "10": 2}

    Raises ArchitectureError for a dict of neither kind, and for one of both that names no kind: {0: 1, 1: 2, 2: 0}.
    """
    by_index = None if keys_are == "name" else _by_index(labels)
    by_name = None if keys_are == "index" else _by_name(labels)
    if by_index is not None and by_name is not None and list(map(str, by_index)) != list(map(str, by_name)):
        if not all(isinstance(key, str) for key in labels):
            raise ArchitectureError(
                f"{where}: {dict(list(labels.items())[:3])!r:.80} can be {{index: name}} or {{name: index}}: all are "
                'numbers; pass {"class_to_idx": ...}, {"id2label": ...}, or a list of names in the order of the outputs'
            )
        by_index = None
    names = by_name if by_index is None else by_index
    if names is None:
        raise ArchitectureError(
            f'{where}: expected a dict {{"0": "cat", ...}} or {{"cat": 0, ...}}, with each index from 0 to '
            f"{len(labels) - 1} once, got {dict(list(labels.items())[:2])!r:.80}"
        )
    return names


def _by_index(labels: Mapping[Any, Any]) -> list[Any] | None:
    """The values in the order of the keys, if these are all indices from 0 on."""
    found = {int(key): name for key, name in labels.items() if _is_number(key)}
    positions = range(len(labels))
    return [found[index] for index in positions] if sorted(found) == list(positions) else None


def _by_name(labels: Mapping[Any, Any]) -> list[Any] | None:
    """The keys in the order of the values, if these are all indices from 0 on."""
    if not all(map(is_index, labels.values())) or sorted(labels.values()) != list(range(len(labels))):
        return None
    return sorted(labels, key=lambda name: labels[name])


def is_numbered(item: Any) -> bool:
    """A pair of index and name, in either order, as `class_to_idx.items()` gives them: ("cat", 0)."""
    kinds = [isinstance(part, str) or 2 * is_index(part) for part in item] if isinstance(item, (list, tuple)) else []
    return len(kinds) == 2 and all(kinds) and 2 in kinds


def is_index(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(key: Any) -> bool:
    return is_index(key) or (isinstance(key, str) and key.isdecimal() and len(key) < 10)
