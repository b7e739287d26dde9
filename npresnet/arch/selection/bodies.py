"""The residual networks in a file: where they stand, which of them is meant, and its tensors under torchvision's names.

A network stands below a prefix, "" or "<module>.": the marks of a home tell (`homes.Home.marks`). Of several networks

- one that a training keeps beside the other, as its average or its copy, is left out by custom (`LEADERS`);
- a whole copy is left out: the same names, shapes and numbers;
- anything else is refused, as only the caller can tell: `key="<prefix>"`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import permutations
from typing import NamedTuple

import numpy as np

from npresnet.arch.homes.home import Home
from npresnet.arch.homes.selfsupervised import LEADERS
from npresnet.arch.tensors import OUTSIDE, Tensors
from npresnet.errors import ArchitectureError
from npresnet.network import Array

MOST_NETWORKS = 8  # that are compared; a file with more is refused
RESERVED = re.compile(r"(conv|bn|norm|gn|layer|res|stages?|stem|block|blocks|downsample)[0-9]*")


class Body(NamedTuple):
    """A network in a file: whose names it has, and where it stands."""

    home: Home
    prefix: str


class Choice(NamedTuple):
    """The network that is meant, the names that belong to others, and what the latter are."""

    body: Body | None
    dropped: frozenset[str] = frozenset()
    notes: Mapping[str, str] = {}


def find_bodies(names: Iterable[str], homes: Iterable[Home]) -> list[Body]:
    """Every network, in the order of the shortest prefix; for each prefix the first home whose marks fit."""
    listed = list(names)
    in_order = sorted(listed)
    found: dict[str, Body] = {}
    for home in homes:
        for name in listed if home.marks else ():
            prefix = name[: -len(home.marks[0])]
            ends = name.endswith(home.marks[0]) and prefix not in found and _is_module(prefix)
            ends = ends and (not home.among or re.search(home.among, prefix) is not None)
            if ends and all(_has_start(in_order, prefix + mark) for mark in home.marks[1:]):
                found[prefix] = Body(home, prefix)
    return sorted(found.values(), key=lambda body: (body.prefix.count("."), len(body.prefix)))


def choose(tensors: Tensors, bodies: list[Body]) -> Choice:
    """The network that is meant. Raises ArchitectureError where the file holds several and does not tell."""
    dropped: set[str] = set()
    notes: dict[str, str] = {}
    left = {body.prefix: body for body in bodies}
    for prefix in list(left):
        for leader, module in _leaders(prefix):
            if leader in left:
                dropped.update(name for name in tensors if name.startswith(module))
                notes[module] = f"beside {leader.rstrip('.')}, which it follows"
                left.pop(prefix, None)
    for kept, copy in permutations(list(left)[:MOST_NETWORKS], 2):
        if kept in left and copy in left and _is_copy(tensors, kept, copy, list(left)):
            dropped.update(name for name in tensors if name.startswith(copy))
            notes[copy] = f"a whole copy of {kept.rstrip('.') or 'the network'}"
            del left[copy]
    if len(left) > 1:
        from npresnet.arch.selection.copies import several

        raise ArchitectureError(several(list(left), "with different numbers"))
    return Choice(next(iter(left.values()), None), frozenset(dropped), notes)


def translated(tensors: Tensors, body: Body) -> Tensors:
    """The network's tensors under torchvision's names; those beside it without the modules that it stands in.

    A name beside the network that could be taken for one of its own has OUTSIDE before it.
    """
    inside = {name: name[len(body.prefix) :] for name in tensors if name.startswith(body.prefix)}
    new_names = _renamed(inside.values(), body.home)
    own = {new.partition(".")[0] for new in new_names.values()}
    names = {name: new_names[below] for name, below in inside.items()}
    for name in tensors:
        if name not in inside:
            names[name] = _outside(name, body.prefix, own)
    arrays = {name: tensors.array(name) for name in tensors}
    ours = Tensors(_in_our_order(arrays, names, body.home)).renamed(names.__getitem__)
    return _with_statistics(ours, body.home.affine) if body.home.affine else ours


def _in_our_order(arrays: Mapping[str, Array], names: Mapping[str, str], home: Home) -> dict[str, Array]:
    """The arrays with their axes in PyTorch's order; `names` are ours."""
    flipped = re.compile(home.transposed).search if home.transposed else None
    found = dict(arrays)
    for name, array in arrays.items():
        if array.ndim == 2 and flipped and flipped(names[name]):
            found[name] = array.T
        elif array.ndim == 4 and home.hwio:
            found[name] = array.transpose(3, 2, 0, 1)
    return found


def _with_statistics(tensors: Tensors, pattern: str) -> Tensors:
    """The tensors, and mean 0 and variance 1 for every norm that matches and has no statistics: y = w x + b."""
    arrays = {name: tensors.array(name) for name in tensors}
    for name in tensors.matching(pattern):
        module, _, role = name.rpartition(".")
        if role == "weight" and f"{module}.running_mean" not in tensors:
            arrays[f"{module}.running_mean"] = np.zeros_like(arrays[name])
            arrays[f"{module}.running_var"] = np.ones_like(arrays[name])
    return Tensors(arrays)


def _has_start(in_order: list[str], start: str) -> bool:
    """Whether any of these sorted names starts so; a file may have very many names, and networks."""
    place = bisect_left(in_order, start)
    return place < len(in_order) and in_order[place].startswith(start)


def _is_module(prefix: str) -> bool:
    return not prefix or prefix.endswith(".")


def _leaders(prefix: str) -> list[tuple[str, str]]:
    """(the prefix of the network that this one follows, the module of the follower), by LEADERS."""
    parts = prefix.split(".")
    return [
        (".".join([*parts[:i], leader, *parts[i + 1 :]]), ".".join(parts[: i + 1]) + ".")
        for i, part in enumerate(parts)
        for leader, follower in LEADERS
        if part == follower
    ]


def _is_copy(tensors: Tensors, kept: str, copy: str, prefixes: list[str]) -> bool:
    """Whether all below `copy` is below `kept` too, the same numbers, and `kept` has no more of the same modules."""
    below = _below(tensors, copy, prefixes)
    modules = {name.partition(".")[0] for name in below}
    others = {name for name in _below(tensors, kept, prefixes) if name.partition(".")[0] in modules}
    return set(below) == others and all(_same(tensors.array(kept + name), tensors.array(copy + name)) for name in below)


def _below(tensors: Tensors, prefix: str, prefixes: list[str]) -> list[str]:
    """The names below a prefix, without it, that are not below another one inside."""
    inner = tuple(other for other in prefixes if other != prefix and other.startswith(prefix))
    return [name[len(prefix) :] for name in tensors if name.startswith(prefix) and not name.startswith(inner)]


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _renamed(names: Iterable[str], home: Home) -> dict[str, str]:
    """{name below the prefix: our name}."""
    old_names = list(names)
    new_names = dict(zip(old_names, old_names, strict=True))
    if home.counted:
        new_names = dict(zip(new_names, home.counted(old_names), strict=True))
    if home.blocks:
        new_names = dict(zip(new_names, _in_stages(old_names, *home.blocks), strict=True))
    for pattern, replacement in home.renamed:
        replace = partial(re.compile(pattern).sub, replacement)
        new_names = {name: replace(new) for name, new in new_names.items()}
    return new_names


def _in_stages(names: list[str], block: str, first: str) -> list[str]:
    """Blocks that are numbered through as layer<stage>.<block>: a stage begins with block 0 and wherever `first` is."""
    blocks, firsts = re.compile(block), re.compile(first)
    starts = sorted({0} | {int(found[1]) for found in map(firsts.search, names) if found})

    def place(found: re.Match[str]) -> str:
        number = int(found[1])
        stage = sum(start <= number for start in starts)
        return f"layer{stage}.{number - starts[stage - 1]}."

    return [blocks.sub(place, name) for name in names]


def _outside(name: str, prefix: str, own: set[str]) -> str:
    """The name of a tensor beside the network, without the modules that both stand in."""
    parts, modules = name.split("."), prefix.split(".")[:-1]
    shared = 0
    while shared < min(len(parts) - 1, len(modules)) and parts[shared] == modules[shared]:
        shared += 1
    short = ".".join(parts[shared:])
    return OUTSIDE + short if parts[shared] in own or RESERVED.fullmatch(parts[shared]) else short
