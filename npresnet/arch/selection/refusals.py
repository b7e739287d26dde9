"""Why a file is refused: the family that it belongs to, where its names tell, and the way out.

Rows of `homes.foreign` are tried only once no family could build the network, so that a family that becomes supported
needs no care here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from npresnet.arch.tensors import OUTSIDE, Tensors, common_module, shorten
from npresnet.errors import ArchitectureError

if TYPE_CHECKING:
    from npresnet.arch.homes.home import Foreign

SUPPORTED = (
    "npresnet builds residual networks: `npresnet.list_archs()` names them, and the documentation's page on families "
    "says which names of tensors it reads"
)


@contextmanager
def naming_foreign(tensors: Tensors) -> Iterator[None]:
    """Where no network can be built, and the names are those of an unsupported one, say so instead."""
    try:
        yield
    except ArchitectureError as error:
        text = foreign(tensors)
        if text is None:
            raise
        raise ArchitectureError(text) from error


def foreign(tensors: Tensors) -> str | None:
    """The refusal of an unsupported network that its names identify, perhaps below a module; None where they do not."""
    around = common_module(tensors) if len(tensors) else ""
    return _foreign(tensors) or (_foreign(tensors.renamed(lambda name: name[len(around) :])) if around else None)


def _foreign(tensors: Tensors) -> str | None:
    from npresnet.arch.homes.foreign import FOREIGN

    for row in FOREIGN:
        names = _witnesses(row, tensors)
        if names:
            shown = shorten((name.removeprefix(OUTSIDE) for name in names), 3)
            return f"this looks like {row.network}, which is not supported: {shown}. {row.advice or SUPPORTED}"
    return (
        f"this looks like RegNet, which is not supported, by the equal groups of its stages. {SUPPORTED}"
        if _is_regnet(tensors)
        else None
    )


def _is_regnet(tensors: Tensors) -> bool:
    """Whether Bottlenecks of a ResNet's names do not widen, and have more groups of one size in the second stage.

    MMPretrain's RegNets have torchvision's names, those of transformers its ResNets'.
    """
    convs = [[f"layer{i}.0.conv{k}.weight" for i in (1, 2)] for k in (1, 2, 3)]
    inside, seen, outside = (
        [tensors.length(name, axis, ndim=4) or 0 for name in names]
        for names, axis in zip(convs, (0, 1, 0), strict=True)
    )
    return inside == outside and 0 < seen[0] == seen[1] < inside[1]


def unknown(tensors: Tensors) -> str:
    """The refusal of tensors that no family recognises: the nearest family, and the first name that differs."""
    names = list(tensors)
    if not names:
        return "the tensors are not a ResNet known to npresnet: there are none at all"
    from npresnet.arch.selection.copies import find_copies, several

    copies = find_copies(tensors)
    if copies:
        return several(copies, "of the same names")
    return f"the tensors are not a ResNet known to npresnet: {_nearest(tensors, names)}. {SUPPORTED}"


def _nearest(tensors: Tensors, names: list[str]) -> str:
    from npresnet.arch.homes.foreign import NEAREST

    for kind, pattern in NEAREST:
        fitting = set(tensors.matching(pattern))
        if fitting:
            first = next((name for name in names if name not in fitting), names[0])
            return f"the nearest family is {kind}, and the first name that does not fit is {shorten([first])}"
    has_convolutions = any(tensors.length(name, 2, ndim=4) for name in names)
    what = "its convolutions have unknown names" if has_convolutions else "it has no 2-D convolution"
    return f"the architecture is unknown: {what}. Its names are {shorten(names)}"


def _witnesses(row: Foreign, tensors: Tensors) -> list[str]:
    """The names that identify such a network."""
    if (row.beside and not tensors.has(row.beside)) or (row.unless and tensors.has(row.unless)):
        return []
    if row.without is not None and any(len(tensors.shape(name)) == row.without for name in tensors):
        return []
    return _with_axes(tensors, tensors.matching(row.pattern), row.ndim)


def _with_axes(tensors: Tensors, names: Iterable[str], ndim: int | None) -> list[str]:
    return [name for name in names if ndim is None or len(tensors.shape(name)) == ndim]
