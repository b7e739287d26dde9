"""Which of a file's tensors belong to the network, under which names, and whether it is supported.

Applies the tables of names in `homes/`. Tensors left out of a file are recorded in the decisions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from npresnet.arch.homes import Foreign, Home
from npresnet.arch.homes.clip import CLIP
from npresnet.arch.homes.foreign import FOREIGN
from npresnet.arch.homes.tasks import CONTRASTIVE, DETECTION, SEGMENTATION
from npresnet.arch.homes.torchvision import FIRST_BLOCK, PLAIN, STEM
from npresnet.arch.tensors import Tensors, shorten
from npresnet.config import Decision
from npresnet.errors import ArchitectureError

HOMES: tuple[Home, ...] = (DETECTION, CONTRASTIVE, SEGMENTATION, CLIP)  # the first match counts


def select(tensors: Tensors) -> tuple[Tensors, dict[str, Decision]]:
    """The network's tensors under torchvision's names, and the decisions that follow."""
    if are_plain(tensors):
        return tensors, {}
    tensors, prefix = _without_prefix(tensors)
    home = next((home for home in HOMES if _is_from(home, tensors)), None)
    if home is None:
        return tensors, prefix
    tensors, settled = _translated(home, tensors)
    return tensors, prefix | settled


def refuse_foreign(tensors: Tensors) -> None:
    """Raise ArchitectureError, naming the network, where the tensors belong to an unsupported one."""
    plain = are_plain(tensors)
    for row in FOREIGN:
        names = [] if plain and row.by_name_alone else _witnesses(row, tensors)
        if names:
            advice = row.advice or (
                "npresnet builds torchvision's ResNets, ResNeXts and Wide ResNets, CIFAR ResNets, and hand-written "
                "ones with shortcut.* keys"
            )
            raise ArchitectureError(
                f"this looks like {row.network}, which is not supported: {shorten(names, 3)}. {advice}"
            )


def are_plain(names: Iterable[str]) -> bool:
    """Whether all names are torchvision's, so that no other home's pattern matches.

    Compiling those patterns takes longer than the rest of recognising a file.
    """
    fits = re.compile(PLAIN).fullmatch
    return all(map(fits, names))


def _without_prefix(tensors: Tensors) -> tuple[Tensors, dict[str, Decision]]:
    """Remove the common prefix of the stem and the first block, if there is exactly one."""
    if "conv1.weight" in tensors:
        return tensors, {}
    blocks = tensors.matching(rf"\.{re.escape(FIRST_BLOCK)}$")
    prefix = blocks[0].removesuffix(FIRST_BLOCK) if len(blocks) == 1 else ""
    if not prefix or not tensors.has(rf"^{re.escape(prefix)}{STEM}"):
        return tensors, {}
    short = tensors.renamed(lambda name: name.removeprefix(prefix))
    return short, {"prefix": Decision(prefix, "inferred", "taken off the tensors' names")}


def _is_from(home: Home, tensors: Tensors) -> bool:
    return bool(_with_axes(tensors, tensors.matching(home.found_by), home.ndim))


def _translated(home: Home, tensors: Tensors) -> tuple[Tensors, dict[str, Decision]]:
    """The tensors under our names, without those that the home leaves out; and the decisions that follow."""
    for pattern, replacement in home.renamed:
        tensors = tensors.renamed(partial(re.compile(pattern).sub, replacement))
    implied = home.implied if tensors.has(home.where) else {}
    settled = {option: Decision(value, "inferred", home.because) for option, value in implied.items()}
    left_out = tensors.matching(home.left_out) if home.left_out else []
    if not left_out:
        return tensors, settled
    modules = dict.fromkeys(".".join(name.split(".")[:2]) for name in left_out)
    ignored = Decision(shorten(modules), "inferred", home.note)
    return tensors.without(left_out), {"ignored": ignored, **settled}


def _witnesses(row: Foreign, tensors: Tensors) -> list[str]:
    """The names that identify such a network."""
    if (row.beside and not tensors.has(row.beside)) or (row.unless and tensors.has(row.unless)):
        return []
    return _with_axes(tensors, tensors.matching(row.pattern), row.ndim)


def _with_axes(tensors: Tensors, names: Iterable[str], ndim: int | None) -> list[str]:
    return [name for name in names if ndim is None or len(tensors.shape(name)) == ndim]
