"""Names of classes in the objects of a file: checked, bounded, and never a reason to refuse the file.

    ["cat", "dog"]  ("cat", "dog")               a list, in the order of the outputs; pairs such as ("n02123045", "cat")
                                                 give their last item
    {0: "cat", 1: "dog"}  {"0": "cat", ...}      by index
    {"cat": 0, "dog": 1}                         indices by name, as torchvision's class_to_idx

Anything else is not taken for names: counts, the label of each training image, sets, which have no order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from npresnet.weights.inert import Global, Inert, as_mapping

MAX_NAMES = 100_000
_MAX_NAME = 500  # characters
_MAX_TOTAL = 8 << 20  # characters


def names_in(value: object) -> list[str] | None:
    """The names, in the order of the outputs; None if the value is no list or table of class names."""
    entries = as_mapping(value)
    found = _in_order(entries) if entries is not None else _elements(value)
    if found is None or not 1 <= len(found) <= MAX_NAMES:
        return None
    names = [_name(item) for item in found]
    plain = [name for name in names if name]
    if len(plain) != len(names) or sum(map(len, plain)) > _MAX_TOTAL:
        return None
    return plain


def _elements(value: object) -> Sequence[object] | None:
    if isinstance(value, Inert):  # a list of an unknown class
        return None if isinstance(value.what, Global) and value.what.name == "set" else value.elements
    return value if isinstance(value, (list, tuple)) else None


def _in_order(entries: Mapping[object, object]) -> list[object] | None:
    """The names of {index: name} or {name: index}, each index from 0 on once; numbers are no names in the former."""
    count = len(entries)
    if count > MAX_NAMES:
        return None
    by_index = {_index(key): name for key, name in entries.items()}
    by_name = {index: name for name, index in entries.items() if type(index) is int}
    for names in (by_index, by_name):
        if names.keys() == set(range(count)) and all(not isinstance(name, int) for name in names.values()):
            return [names[index] for index in range(count)]
    return None


def _index(key: object) -> int | None:
    if isinstance(key, str):
        return int(key) if key.isascii() and key.isdigit() and len(key) < 10 else None
    return key if type(key) is int else None


def _name(item: object) -> str | None:
    """A name that every output can show: no control characters, not empty, not endless."""
    if isinstance(item, (list, tuple)) and item:
        item = item[-1]
    if not isinstance(item, str) or len(item) > _MAX_NAME:
        return None
    name = " ".join(item.split())  # other spaces and line ends
    return name if name.isprintable() else None
