"""Which of a file's tensors belong to the network, under which names, and what the others tell.

Applies the tables of names in `homes/`. Tensors left out of a file are recorded in the decisions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from npresnet.arch.homes.torchvision import PLAIN
from npresnet.arch.tensors import Tensors, shorten
from npresnet.config import Decision, Origin

if TYPE_CHECKING:
    from npresnet.arch.homes.home import Home

Decisions = dict[str, Decision]


class Notes(NamedTuple):
    """{module left out: its note}, and the classifiers that may have read what one of these gives."""

    of: dict[str, str]
    readers: tuple[str, ...]


def select(tensors: Tensors) -> tuple[Tensors, Decisions]:
    """The network's tensors under torchvision's names, those beside it that may matter, and the decisions that follow.

    Raises ArchitectureError where the file holds several networks and does not tell which is meant.
    """
    if are_plain(tensors):
        return tensors, _doubts_of_plain(tensors)
    from npresnet.arch.homes import tables
    from npresnet.arch.selection.bodies import choose, find_bodies, translated

    tensors = prepared(tensors)
    choice = choose(tensors, find_bodies(tensors, [home for home in tables.HOMES if _has_axes(home, tensors)]))
    tensors = tensors.without(choice.dropped)
    notes = {prefix.rstrip("."): note for prefix, note in choice.notes.items()}
    prefix, decided = "", {}
    if choice.body is not None:
        prefix, home = choice.body.prefix, choice.body.home
        tensors = translated(tensors, choice.body)
        decided = _named(home, prefix) | _implied(home, tensors)
        for also in home.also:
            decided |= _implied(also, tensors)
    around = [home for home in tables.HOMES if not home.marks and _is_from(home, tensors, prefix)]
    tensors, told, further = _without_what_surrounds(tensors, around)
    return tensors, _doubts_of_plain(tensors) | decided | told | _ignored(notes | further.of, further.readers)


def prepared(tensors: Tensors) -> Tensors:
    """The tensors without wrapping modules, and with every formula of a weight computed."""
    from npresnet.arch.selection.reparametrised import plain_weights
    from npresnet.arch.selection.wrappers import without_wrappers

    return plain_weights(without_wrappers(tensors))


def _without_what_surrounds(tensors: Tensors, homes: Sequence[Home]) -> tuple[Tensors, Decisions, Notes]:
    """The tensors without those that normalisers and homes leave out; what these tell; what was left out, and why."""
    from npresnet.arch.selection.irrelevance import left_out, readers
    from npresnet.arch.selection.normalisers import read_normaliser

    names, decided = read_normaliser(tensors)
    notes = dict.fromkeys(_modules(names), "the mean and standard deviation of images")
    homes = [home for home in homes if not home.left_out or left_out(home, tensors)]
    for home in homes:
        decided |= _implied(home, tensors)  # of all tensors: what one home leaves out may tell another something
    left, doubtful = tensors.without(names), dict[str, None]()
    for home in homes:
        dropped = left_out(home, left)
        doubtful |= dict.fromkeys(readers(left, dropped) if home.read_by == "ambiguous" else ())
        left = left.without(dropped)
        notes |= dict.fromkeys(_modules(dropped), home.note)
    return left, decided, Notes(notes, tuple(name for name in doubtful if f"{name}.weight" in left))


def are_plain(names: Iterable[str]) -> bool:
    """Whether all names are torchvision's, so that no other home's pattern matches.

    Compiling those patterns takes longer than the rest of recognising a file.
    """
    fits = re.compile(PLAIN).fullmatch
    return all(map(fits, names))


def _doubts_of_plain(tensors: Tensors) -> Decisions:
    """Places365's ResNet-18 has a max pool, its "wide" ResNet-18 of the same shapes none."""
    is_places = tensors.length("fc.weight", 0, ndim=2) == 365 and tensors.length("conv1.weight", 2, ndim=4) == 7
    if not is_places or "layer1.0.conv3.weight" in tensors:
        return {}
    return {"max_pool": Decision(True, "default", "365 classes: Places365", ("max_pool=False",))}


def _named(home: Home, prefix: str) -> Decisions:
    named = {"home": Decision(home.home, "inferred", "whose names were translated")} if home.home else {}
    if prefix:
        named["prefix"] = Decision(prefix, "inferred", "taken off the tensors' names")
    return named


def _has_axes(home: Home, tensors: Tensors) -> bool:
    """Whether a tensor with the first of the marks has the number of axes that the home asks for."""
    if not home.marks or home.ndim is None:
        return True
    return any(name.endswith(home.marks[0]) and len(tensors.shape(name)) == home.ndim for name in tensors)


def _has_groups(tensors: Tensors) -> bool:
    """Whether a filter of the first Bottleneck's 3x3 sees fewer channels than it is given."""
    given, seen = tensors.length("layer1.0.conv1.weight", 0, ndim=4), tensors.length("layer1.0.conv2.weight", 1, ndim=4)
    return given != seen


def _is_from(home: Home, tensors: Tensors, prefix: str) -> bool:
    if home.among and not re.search(home.among, prefix):
        return False
    shapes = map(tensors.shape, tensors.matching(home.found_by))
    fits = [
        shape
        for shape in shapes
        if home.ndim in (None, len(shape)) and min(shape[2:3], default=home.least_side) >= home.least_side
    ]
    return bool(fits) and (not home.beside or tensors.has(home.beside))


def _implied(home: Home, tensors: Tensors) -> Decisions:
    """The options that a home implies, ambiguous ones with their alternatives."""
    if not home.implied or not tensors.has(home.where) or (home.unless and tensors.has(home.unless)):
        return {}
    if home.stem_side not in (None, tensors.length("conv1.weight", 2, ndim=4)):
        return {}
    if home.grouped is not None and home.grouped != _has_groups(tensors):
        return {}
    return {
        option: Decision(value, "default" if option in home.alternatives else "inferred", home.because, others)
        for option, value in home.implied.items()
        for others in [home.alternatives.get(option, ())]
    }


def _modules(names: Iterable[str]) -> list[str]:
    """The first two parts of names, each once."""
    return list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))


def _ignored(notes: dict[str, str], readers: Sequence[str]) -> Decisions:
    """What was left out; ambiguous where a classifier may read it."""
    if not notes:
        return {}
    note = "; ".join(dict.fromkeys(notes.values()))
    if readers:
        note += f"; but {shorten(readers, 2)} may read what this gives, rather than the network's features"
    alternatives = tuple(f"head={name!r}" for name in (*readers[:2], "none")) if readers else ()
    origin: Origin = "default" if readers else "inferred"
    return {"ignored": Decision(shorten(notes), origin, note, alternatives)}
