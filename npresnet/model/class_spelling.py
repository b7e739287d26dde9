"""How names of classes are spelled: forms of a name that mean the same, ImageNet's WordNet ids, and numbers."""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from npresnet.errors import ArchitectureError
from npresnet.model import labels

Labels = Sequence[str] | None  # of the model, one a class
Lookup = Callable[[Any], list[int]]  # name -> the classes that it may mean

_WORDNET_ID = re.compile(r"(n\d{8})(?![0-9A-Za-z])")
_SIGN = re.compile(r"(?<![^\s_,])-(?=\d)")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\s_,-]+(?=\d)")
_SEPARATORS = re.compile(r"[\s_,-]+")
_SAME_ORDER = 900  # of the 1,000 names of ImageNet that a model's labels must have in their places


def some_of(names: Iterable[str], most: int = 6) -> str:
    """The first of them, and how many there are: 'ant', 'bee', ... (10)."""
    shown = list(names)
    text = ", ".join(repr(name) if len(name) <= 40 else f"{name[:37]!r}..." for name in shown[:most])
    return f"{text}, ... ({len(shown):,})" if len(shown) > most else text or "none"


def classes_told(model_labels: Labels, count: int, most: int = 6) -> str:
    """For messages: what a name or a number may be."""
    if model_labels is None:
        return f"the model has no labels, only numbers from 0 to {count - 1:,}"
    return f"the model's labels, numbered from 0 to {count - 1:,}: {some_of(model_labels, most)}"


def by_spelling(model_labels: Sequence[str]) -> Callable[[str], list[int]]:
    """What gives the classes whose label a name may be: the same text; else the same but for case, spaces, "_" and "-",
    or one of several synonyms; else, of ImageNet's classes, a WordNet id.

    The two in the middle are one step: of ImageNet's "cardigan" and "Cardigan, Cardigan Welsh corgi", "Cardigan" may be
    either.
    """
    tables = [(spelling, _table(model_labels, spelling)) for spelling in (_exact, _synonyms)]
    wordnet = _wordnet_ids() if _is_imagenet(model_labels) else {}

    def find(name: str) -> list[int]:
        for spelling, table in tables:
            found = sorted({index for form in spelling(name) for index in table.get(form, ())})
            if found:
                return found
        known = _WORDNET_ID.match(name)
        return [wordnet[known[1]]] if known and known[1] in wordnet else []

    return find


def _exact(name: str) -> list[str]:
    return [unicodedata.normalize("NFC", name)]  # macOS writes names of files as NFD


def _loose(name: str) -> list[str]:
    """Without what separates words. Between digits it counts, "1-0" is not "10", and so does a sign: -1 is not 1."""
    form = _SIGN.sub("\N{MINUS SIGN}", unicodedata.normalize("NFKC", name).casefold())
    form = _SEPARATORS.sub("", _BETWEEN_DIGITS.sub("\N{MIDDLE DOT}", form))
    return [form] if form else []


def _synonyms(name: str) -> list[str]:
    """Of the whole name, and of each between its commas."""
    return list(dict.fromkeys(form for part in (name, *name.split(",")) for form in _loose(part)))


def _table(names: Sequence[str], spelling: Callable[[str], list[str]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        for form in spelling(name):
            found.setdefault(form, []).append(index)
    return found


def _is_imagenet(model_labels: Sequence[str]) -> bool:
    """Whether the classes are ImageNet's 1,000 in their order, perhaps in other words."""
    if len(model_labels) != len(labels.IMAGENET):
        return False
    pairs = zip(model_labels, labels.IMAGENET, strict=True)
    return sum(bool({*_synonyms(ours)} & {*_synonyms(theirs)}) for ours, theirs in pairs) >= _SAME_ORDER


@lru_cache(maxsize=1)
def _wordnet_ids() -> dict[str, int]:
    """{"n01440764": 0, ...}."""
    path = Path(labels.__file__).parent.parent / "data" / "imagenet_wordnet_ids.txt"
    return {name: index for index, name in enumerate(path.read_text(encoding="ascii").split())}


# --- a name, or a number ---------------------------------------------------------------------------------------------


def by_number(count: int) -> Lookup:
    return lambda name: [int(name)] if is_number(name) and 0 <= int(name) < count else []


def by_name(model_labels: Labels, count: int) -> Lookup:
    if model_labels is None:
        return by_number(count)
    find = by_spelling(model_labels)
    return lambda name: find(str(name))


def is_number(name: Any) -> bool:
    if isinstance(name, int):
        return True
    return isinstance(name, str) and name.isascii() and name.isdecimal() and len(name) < 10


def as_number(label: Any) -> int:
    """Of a Python or NumPy integer, or a tensor of one."""
    try:
        if not isinstance(label, (bool, np.bool_)):
            return operator.index(label)
    except TypeError:
        pass
    raise ArchitectureError(f"expected pairs (image, label), the label a number or a name, got {label!r:.60}")
