"""Whether what a home leaves out is really no part of the answer: names alone do not prove it, shapes may refute it.

counters          are whole numbers; `step` of floating point scales something
pixel classifiers consist of convolutions; with a matrix among them they classify images
heads of tasks    have convolutions; linear layers alone classify, or regress, images
predictors        of a self-supervised training lead back to the space that they read
anything          that gives as many features as a classifier beside it reads may stand before that classifier
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from npresnet.arch.head.choice import ALL_BODIES
from npresnet.arch.tensors import Tensors

if TYPE_CHECKING:
    from npresnet.arch.homes.home import Home


def left_out(home: Home, tensors: Tensors) -> list[str]:
    """The names that a home leaves out; none where their shapes or types speak against it."""
    names = tensors.matching(home.left_out) if home.left_out else []
    if home.counts:
        return [name for name in names if tensors.array(name).dtype.kind != "f"]
    if home.pixelwise and any(_is_matrix(tensors, name) for name in names):
        return []
    if home.closes and not _closes(tensors, tensors.matching(home.closes)):
        return []
    if home.read_by == "refused" and (readers(tensors, names) or _is_linear(tensors, names)):
        return []
    return names


def readers(tensors: Tensors, names: Iterable[str]) -> list[str]:
    """The linear layers beside the body that are not among `names` and read as many features as one of these gives."""
    dropped = set(names)
    widths = {tensors.shape(name)[0] for name in dropped if _is_weight(tensors, name)}
    return [
        name.removesuffix(".weight")
        for name in tensors
        if name not in dropped
        and not name.startswith(ALL_BODIES)
        and _is_matrix(tensors, name)
        and tensors.shape(name)[1] in widths
    ]


def _is_linear(tensors: Tensors, names: Iterable[str]) -> bool:
    """Whether there are matrices and no convolution: then this is an ordinary classifier with the name of a task."""
    axes = {len(tensors.shape(name)) for name in names if _is_weight(tensors, name)}
    return axes == {2}


def _closes(tensors: Tensors, names: Iterable[str]) -> bool:
    """Whether the last matrix of a Sequential gives the features that the first one reads; so does a single one."""
    matrices = {_number(name): tensors.shape(name) for name in names if _is_matrix(tensors, name)}
    return len(matrices) < 2 or matrices[max(matrices)][0] == matrices[min(matrices)][1]


def _number(name: str) -> int:
    found = re.search(r"\.([0-9]{1,6})\.", name)
    return int(found[1]) if found else 0


def _is_weight(tensors: Tensors, name: str) -> bool:
    return name.endswith("weight") and len(tensors.shape(name)) > 1


def _is_matrix(tensors: Tensors, name: str) -> bool:
    return name.endswith(".weight") and len(tensors.shape(name)) == 2
