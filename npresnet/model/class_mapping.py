"""What `classes=` may be: the name of a way, or a mapping from names to classes: a dict, or a JSON or CSV file.

What a mapping lacks is told: names without an entry, and entries whose label or number the model does not have.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from npresnet.errors import ArchitectureError
from npresnet.images.messages import name_of
from npresnet.images.reach import unreachable
from npresnet.model.class_spelling import Labels, as_number, by_name, by_number, classes_told, some_of
from npresnet.model.tables import read_table

WAYS = ("names", "sorted", "index")
Classes = str | os.PathLike[str] | Mapping[Any, Any] | None
_COLUMN_FIRST = ("folder", "name", "class", "from", "source")
_COLUMN_SECOND = ("label", "index", "class_index", "target", "to", "class", "model")
_ABSENT = object()  # no entry; that of JSON's null is None
_MOST = 4  # names in each list of a message that may have three


def read_mapping(source: Any) -> Mapping[Any, Any]:
    """A dict, or the JSON object or the CSV rows of a file. Raises ArchitectureError, ImageError of a CSV."""
    if isinstance(source, Mapping):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise ArchitectureError(
            f"classes must be one of {', '.join(map(repr, WAYS))}, a dict or a file, got {source!r:.60}"
        )
    path = os.fspath(source)
    if closed := unreachable(path):
        raise ArchitectureError(f"classes {path!r} {closed}")
    if not os.path.isfile(path):
        raise ArchitectureError(f"classes {path!r} is neither {', '.join(map(repr, WAYS))} nor an existing file")
    if path.lower().endswith(".json"):
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
        except (OSError, ValueError, RecursionError) as error:
            raise ArchitectureError(f"the mapping {name_of(path)} cannot be read as JSON: {error}") from error
        if isinstance(found, Mapping):
            return found
        raise ArchitectureError(f'the mapping {name_of(path)} is not an object {{"name": "label or number"}}')
    return _once([cells for _, cells in read_table(path, "name,label", _COLUMN_FIRST, _COLUMN_SECOND)])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if found.setdefault(name, value) != value:
            raise ArchitectureError(f"the mapping says both {found[name]!r:.40} and {value!r:.40} of {name!r:.60}")
    return found


class ClassMapping:
    """A mapping whose targets are classes of a model: a number is that of a class, a text a label, else a number."""

    def __init__(self, entries: Mapping[Any, Any], model_labels: Labels, count: int):
        self._entries, self._labels, self._count = entries, model_labels, count
        self._composed = {_composed(name): target for name, target in entries.items()}
        self._by_name, self._by_number = by_name(model_labels, count), by_number(count)

    def classes(self, names: Sequence[Any], kind: str) -> list[int]:
        """The class of each name.

        kind  of the names, for messages: "folders" or "labels"

        Raises ArchitectureError if a name has no entry, or its entry's target is none of the model's classes, or
        several.
        """
        targets = [self._target(name) for name in names]
        lacking = [name for name, target in zip(names, targets, strict=True) if target is _ABSENT]
        used = {name: target for name, target in zip(names, targets, strict=True) if target is not _ABSENT}
        found = {name: self._found(target) for name, target in used.items()}
        self._check_one(used, found)
        unknown = [f"{name!r:.40}: {used[name]!r:.40}" for name, indices in found.items() if not indices]
        if lacking or unknown:
            raise ArchitectureError(self._complaint(lacking, unknown, len(names), kind))
        return [found[name][0] for name in names]

    def _target(self, name: Any) -> Any:
        """_ABSENT without an entry. macOS writes names of files as NFD, editors write NFC."""
        for form in (name, str(name)):
            if form in self._entries:
                return self._entries[form]
        return self._composed.get(_composed(name), _ABSENT)

    def _found(self, target: Any) -> list[int]:
        if isinstance(target, str):
            return self._by_name(target) or self._by_number(target)
        try:
            return self._by_number(as_number(target))
        except ArchitectureError:  # of a float, a list, ...
            return []

    def _check_one(self, used: Mapping[Any, Any], found: Mapping[Any, list[int]]) -> None:
        for name, indices in found.items():
            if len(indices) > 1:
                raise ArchitectureError(
                    f"the mapping's entry {name!r:.60}: {used[name]!r:.60} may mean any of the classes {indices[:5]} "
                    "of the model; give the number of one instead"
                )

    def _complaint(self, lacking: list[Any], unknown: list[str], total: int, kind: str) -> str:
        """What has no entry, what entries there are, which of them name no class, and what the model's labels are."""
        parts = []
        if lacking:
            which = f"{len(lacking):,}" if len(lacking) == total else f"{len(lacking):,} of {total:,}"
            what = f"{which} {kind} have no entry" if total > 1 else f"1 {kind.removesuffix('s')} has no entry"
            parts.append(f"{what} in the mapping: {some_of(map(str, lacking), _MOST)}")
            parts.append(f"its entries: {some_of(map(str, self._entries), _MOST)}")
        if unknown:
            shown = ", ".join(unknown[:_MOST]) + (f", ... ({len(unknown):,})" if len(unknown) > _MOST else "")
            what = (
                "1 entry of the mapping names" if len(unknown) == 1 else f"{len(unknown):,} entries of the mapping name"
            )
            parts.append(f"{what} no class of the model: {shown}")
        return "; ".join([*parts, classes_told(self._labels, self._count, _MOST)])


def _composed(name: Any) -> str:
    return unicodedata.normalize("NFC", str(name))
