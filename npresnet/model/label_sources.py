"""What a caller passes as class names: a list or the like, or something else, which is named."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, KeysView, Set
from typing import Any

from npresnet.images.messages import name_of
from npresnet.system.foreign import named
from npresnet.system.text import visible


def is_ordered(labels: Any) -> bool:
    """Whether this is a list or something like one; not a file, a table or text, although they can be iterated."""
    if isinstance(labels, (str, bytes, bytearray, memoryview)) or hasattr(labels, "read") or _is_table(labels):
        return False
    has_order = not isinstance(labels, Set) or isinstance(labels, (KeysView, ItemsView))  # views have the dict's
    return isinstance(labels, Iterable) and has_order and getattr(labels, "ndim", 1) == 1


def _is_table(labels: Any) -> bool:
    return hasattr(labels, "columns") and not isinstance(labels, type)


def described(labels: Any) -> str:
    """What is no list of names, and the way out."""
    if _is_table(labels):
        return "a table; pass its column of names as a list, list(table['name'])"
    if hasattr(labels, "read"):
        file = getattr(labels, "name", None)
        return (
            f"a file object; pass its path{f', {name_of(file)}' if isinstance(file, str) else ', or a list of names'}"
        )
    if isinstance(labels, (bytes, bytearray, memoryview)):
        return f"bytes, {bytes(labels[:20])!r}; pass a list of str, or the path of a file"
    return named(labels) or visible(f"{labels!r:.60}")
