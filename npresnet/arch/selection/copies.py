"""Several networks in one file: those of unknown names that are copies of each other, and the message that asks.

student.stem.0.weight, ..., teacher.stem.0.weight, ...     the same names below two modules
stem.0.weight, ..., ema.stem.0.weight, ...                 and below one of the names beside it
"""

from __future__ import annotations

from npresnet.arch.tensors import Tensors, shorten

DEEPEST = 3  # modules in front of a copy's names
IMAGE_CHANNELS = 3  # a network has a convolution that reads images; one that reads 1 may be depthwise


def find_copies(tensors: Tensors) -> list[str]:
    """The prefixes of networks of equal names, "" for the one without; [] where there are not two."""
    names = set(tensors)
    half = len(names) / 2  # which copies are at least: equal stems are no networks
    for depth in range(1, DEEPEST + 1):
        below, readers = _below(tensors, depth)
        equal: dict[frozenset[str], list[str]] = {}
        for prefix in readers:
            equal.setdefault(frozenset(below[prefix]), []).append(prefix)
        for rests, prefixes in equal.items():
            copies = prefixes if len(prefixes) > 1 else ["", *prefixes] if rests <= names else []
            if len(rests) * len(copies) > half:
                return copies
    return []


def _below(tensors: Tensors, depth: int) -> tuple[dict[str, list[str]], dict[str, None]]:
    """{prefix of `depth` modules: the rests of names below it}, and the prefixes with a convolution of images."""
    below: dict[str, list[str]] = {}
    readers: dict[str, None] = {}
    for name in tensors:
        *modules, rest = name.split(".", depth)
        if len(modules) == depth:
            prefix = "".join(f"{module}." for module in modules)
            below.setdefault(prefix, []).append(rest)
            shape = tensors.shape(name)
            if len(shape) == 4 and shape[1] == IMAGE_CHANNELS:
                readers[prefix] = None
    return below, readers


def several(prefixes: list[str], how: str) -> str:
    """The refusal of a file with networks below these prefixes. `how`: what is known of them."""
    shown = shorten([prefix.rstrip(".") or "no prefix" for prefix in prefixes])
    named = [prefix.rstrip(".") for prefix in prefixes if prefix]
    given = " or ".join(f"key={name!r}" for name in named[:3])
    if len(named) < len(prefixes):
        start = f"{named[0]}."
        given += (
            "; for the one without a prefix, load {name: array for name, array in read_state_dict(path).items() "
            f"if not name.startswith({start!r})}}"
        )
    return (
        f"the file holds {len(prefixes)} networks {how}, under {shown}, and does not tell which one is meant. "
        f"Give {given}"
    )
