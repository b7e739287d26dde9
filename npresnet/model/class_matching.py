"""Which class of a model the name of a class folder, or a label of a table, means: by rule, or refused.

    "names"   the model's labels: the same text; else the same but for case, spaces, "_" and "-", or one of several
              synonyms ("tench, Tinca tinca"); of ImageNet's classes also WordNet ids ("n02110341", "n02110341-dog")
    "sorted"  the names in sorted order are the classes, as torchvision's ImageFolder numbers them
    "index"   the names are the classes' numbers
    mapping   {name: label or number}: a dict, or a JSON or CSV file

None takes "names"; "sorted" where the model has no labels and there are as many names as classes; "index" where all
labels of a table are numbers. What two of these would read differently is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from npresnet.errors import ArchitectureError
from npresnet.model.class_mapping import WAYS, Classes, ClassMapping, read_mapping
from npresnet.model.class_spelling import (
    Labels,
    Lookup,
    as_number,
    by_name,
    by_number,
    by_spelling,
    classes_told,
    is_number,
    some_of,
)

_WAY_OUT = (
    'Say which is which by a mapping {"name": "label or number"} (classes={...}, --classes mapping.json), by the order '
    "(classes='sorted') or by numbers (classes='index')"
)


def match(names: Sequence[str], model_labels: Labels, count: int, classes: Classes, kind: str) -> list[int]:
    """The class of each name.

    names         different from each other, sorted
    model_labels  one a class, or None
    count         number of classes
    kind          of the names, for messages: "folders" or "labels"

    Raises ArchitectureError if a name has no class, or several, and if two folders have the same one without a mapping.
    """
    way = usual_way(names, model_labels, count, kind) if classes is None else classes
    if isinstance(way, str) and way in WAYS:
        if way == "sorted":
            return _in_order(names, count, kind)
        find = by_number(count) if way == "index" else by_name(model_labels, count)
        found = _all(names, find, kind, classes_told(model_labels, count))
        return _different(found, names, model_labels, kind)
    return ClassMapping(read_mapping(way), model_labels, count).classes(names, kind)


# --- which way -------------------------------------------------------------------------------------------------------


def usual_way(names: Sequence[str], model_labels: Labels, count: int, kind: str) -> str:
    """What None means. Raises ArchitectureError where numbers can be read in two ways."""
    numbers = all(is_number(name) for name in names)
    if model_labels is not None:
        if numbers and kind == "labels":
            found = list(map(by_name(model_labels, count), names))
            if not any(found):
                return "index"
            if found != [[int(name)] for name in names]:
                raise ArchitectureError(
                    f"the labels {some_of(names)} are numbers, and so are labels of the model, "
                    f"{some_of(model_labels)}; say which is meant: classes='index', the numbers of the classes, or "
                    "classes='names'"
                )
        return "names"
    if numbers:
        if kind == "folders" and len(names) == count and list(map(int, names)) != list(range(count)):
            raise ArchitectureError(
                f"the folders {some_of(names)} are numbers, which torchvision sorts as text, and the model has no "
                "labels; say which is meant: classes='index', the numbers of the classes, or classes='sorted', "
                "torchvision's order"
            )
        return "index"
    if len(names) == count:
        return "sorted"
    raise ArchitectureError(
        f"the model has {count} classes and no labels, and the {kind} are {len(names)}: {some_of(names)}. Load it with "
        f"labels=, or say which is which by a mapping (classes={{...}}, --classes mapping.json)"
    )


def _in_order(names: Sequence[str], count: int, kind: str) -> list[int]:
    if len(names) != count:
        raise ArchitectureError(
            f"classes='sorted' needs as many {kind} as the model has classes, {count}; got {len(names)}: "
            f"{some_of(names)}"
        )
    return list(range(count))


# --- one name --------------------------------------------------------------------------------------------------------


def lookup(model_labels: Labels, count: int, classes: Classes) -> Callable[[Any], int]:
    """For labels that come one by one: what gives the class of a number or a name. It raises ArchitectureError."""
    if isinstance(classes, str) and classes == "sorted":
        raise ArchitectureError("classes='sorted' needs all names at once; pass a folder, a CSV, or a mapping")
    find_number, find_name = by_number(count), by_name(model_labels, count)
    known, mapping = classes_told(model_labels, count), None
    if classes is not None and classes not in WAYS:
        mapping = ClassMapping(read_mapping(classes), model_labels, count)

    def find(label: Any) -> int:
        is_name = isinstance(label, str)
        names = [label if is_name else as_number(label)]
        if mapping is not None:
            return mapping.classes(names, "labels")[0]
        take = find_name if is_name and classes != "index" else find_number
        return _all(names, take, "labels", known)[0]

    return find


def check_numbering(names: Any, model_labels: Labels) -> None:
    """Refuse numbers of a data set whose own `classes` are the model's labels in other places, or some of them.

    names  its `classes`, as torchvision's data sets have them; of another type they tell nothing
    """
    if model_labels is None or not isinstance(names, (list, tuple)) or not all(isinstance(one, str) for one in names):
        return
    find = by_spelling(model_labels)
    found = [find(name) for name in names]
    if not all(found) or all(place in indices for place, indices in enumerate(found)):
        return
    raise ArchitectureError(
        f"the data set numbers its classes as {some_of(names)}, the model as {some_of(model_labels)}. Pass "
        "classes=dict(enumerate(dataset.classes)), which goes by their names, or classes='index' if the numbers are "
        "the model's"
    )


def _all(names: Sequence[Any], find: Lookup, kind: str, known: str) -> list[int]:
    """The one class of each name. Raises ArchitectureError, which shows both lists; `known` is the model's."""
    found = [find(name) for name in names]
    for name, indices in zip(names, found, strict=True):
        if len(indices) > 1:
            raise ArchitectureError(
                f"{str(name)!r:.60} may be any of the classes {indices[:5]} of the model. {_WAY_OUT}"
            )
    lost = [str(name) for name, indices in zip(names, found, strict=True) if not indices]
    if lost:
        number = f"{len(lost)}" if len(lost) == len(names) else f"{len(lost)} of {len(names)}"
        some = f"1 {kind.removesuffix('s')} matches" if len(names) == 1 else f"{number} {kind} match"
        raise ArchitectureError(f"{some} no class of the model: {some_of(lost)}; {known}. {_WAY_OUT}")
    return [indices[0] for indices in found]


def _different(found: list[int], names: Sequence[str], model_labels: Labels, kind: str) -> list[int]:
    """Two folders for one class may be a mistake; labels of a table may be spelled in several ways."""
    seen: dict[int, str] = {}
    for name, index in zip(names, found, strict=True):
        if kind == "folders" and index in seen:
            label = str(index) if model_labels is None else model_labels[index]
            both = some_of([seen[index], name])
            raise ArchitectureError(f"the folders {both} match the same class, {label!r:.60}. {_WAY_OUT}")
        seen[index] = name
    return found
