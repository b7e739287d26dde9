"""Which convolution and norm of a hand-written block is which, by shapes; by names only where shapes leave it open."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

# Parts of names that people give to projections.
PROJECTION = re.compile(
    r"short|skip|down|proj|ident|resid|match|side|right|bypass|adjust|(^|[._])(res|ds)([._]|$)", re.I
)
GATE = re.compile(r"gate|gating|atten|attn|mask|squeez|excit|calib", re.I)  # multiplied with the branch, not added
FOLLOWED = re.compile(r"(^|\.)(downsample|shortcut)\.0$")  # projections that a norm follows in every home
KINDS = {(3, 3): "BasicBlock", (1, 3, 1): "Bottleneck"}  # the sides of a branch's convolutions
FULL_BLOCK = 4  # convolutions: those of a Bottleneck and a projection


class Member(NamedTuple):
    """A convolution or norm: its name, its place in the file, and its shape (kernel_size 0 for a norm)."""

    name: str
    place: int
    kind: str
    width: int
    before: int
    side: int


class Roles(NamedTuple):
    """What a network's blocks consist of.

    names     {module's name in a block: torchvision's}
    projects  for each block, whether it has a projection
    widths    for each block, its output channels
    """

    names: dict[str, str]
    projects: list[bool]
    widths: list[int]


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in names by their value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]{1,9})", name) if part]


def number(name: str) -> int | None:
    """The module's number in a Sequential; None where it has a name."""
    last = name.rpartition(".")[2]
    return int(last) if last.isdecimal() and len(last) < 4 else None


def are_usual(convs: Sequence[str], norms: Sequence[str]) -> bool:
    """Whether the numbers of these layers leave room for activations between them, and for nothing else.

    In one Sequential a convolution comes first, its norm next, and one or two modules without tensors before the next
    convolution: an activation, and perhaps a Dropout.
    """
    pairs = list(zip(convs, norms, strict=False))
    steps = [(conv, norm, (1,)) for conv, norm in pairs] + [
        (norm, conv, (2, 3)) for (_, norm), (conv, _) in pairwise(pairs)
    ]
    parents = [conv.rpartition(".")[0] for conv in convs]
    starts = (conv for conv, parent, before in zip(convs, parents, [None, *parents], strict=False) if parent != before)
    return not any(number(conv) for conv in starts) and all(map(_is_step, steps))


def _is_step(step: tuple[str, str, tuple[int, ...]]) -> bool:
    before, after, distances = step
    first, second = number(before), number(after)
    same = before.rpartition(".")[0] == after.rpartition(".")[0]
    return not same or first is None or second is None or second - first in distances


def _is_usual_projection(projection: str, norms: Sequence[str]) -> bool:
    place = number(projection) or 0
    return place == 0 or (place == 1 and bool(norms) and number(norms[0]) == 2)


def find_roles(blocks: Sequence[Sequence[Member]], channels: int, is_sorted: bool) -> Roles | None:
    """The roles with which every block reads what the one before gives; None where there are none, or several.

    blocks     their members, in order
    channels   what the first one reads
    is_sorted  by name, so that places tell nothing
    """
    if max(map(len, blocks)) > 2 * FULL_BLOCK:
        return None
    tables = [{member.name: member for member in block} for block in blocks]
    everywhere = [name for name in tables[0] if all(name in table for table in tables)]
    some = list(dict.fromkeys(name for table in tables for name in table if name not in everywhere))
    convs = [name for name in everywhere if tables[0][name].kind == "conv"]
    optional = [name for name in some if next(t[name] for t in tables if name in t).kind == "conv"]
    if len(optional) > 1 or len(convs) + len(optional) > FULL_BLOCK:
        return None
    fitting = []
    for projection in (name for name in optional or convs if not GATE.search(name)):
        branch = [name for name in convs if name != projection]
        widths = _widths(tables, branch, projection, channels)
        norms = None if widths is None else _norms(tables, branch, projection, everywhere, some)
        usual = (
            norms is not None and are_usual(branch, norms) and _is_usual_projection(projection, norms[len(branch) :])
        )
        in_order = _are_alike if is_sorted else _convolves_first
        if widths and norms and usual and in_order(tables, branch, norms[: len(branch)], projection):
            fitting.append((projection, _named(branch, norms, projection), widths))
    if len(fitting) > 1:
        fitting = [found for found in fitting if PROJECTION.search(found[0])]
    if len(fitting) != 1:
        return None
    projection, names, widths = fitting[0]
    return Roles(names, [projection in table for table in tables], widths)


def _widths(tables: Sequence[dict[str, Member]], branch: list[str], projection: str, channels: int) -> list[int] | None:
    """The blocks' output channels; None where a branch or projection does not fit what it reads.

    Also where no width changes, so that shapes tell no projection, or one shrinks, as in a decoder.
    """
    widths, changes = [], False
    for table in tables:
        convs = [table[name] for name in branch]
        if tuple(conv.side for conv in convs) not in KINDS or not _is_chain(convs, channels):
            return None
        last = convs[-1].width
        if projection in table and table[projection][3:] != (last, channels, 1):
            return None
        if last < channels or (projection not in table and last != channels):
            return None
        changes = changes or last != channels
        channels = last
        widths.append(last)
    return widths if changes else None


def _is_chain(convs: list[Member], channels: int) -> bool:
    """Whether each reads what the one before gives; a Bottleneck's 3x3 may have groups, each of several channels."""
    before = [channels, *(conv.width for conv in convs)]
    for conv, given in zip(convs, before, strict=False):
        grouped = len(convs) == 3 and conv.side == 3 and 1 < conv.before < given and given % conv.before == 0
        if conv.before != given and not grouped:
            return False
    return True


def _norms(
    tables: Sequence[dict[str, Member]], branch: list[str], projection: str, everywhere: list[str], some: list[str]
) -> list[str] | None:
    """The norms of the branch in order, then that of the projection if it has one; None where they do not fit."""
    first = next(table for table in tables if projection in table)
    norms = [name for name in everywhere if first[name].kind == "norm"]
    own = [name for name in some if next(table[name] for table in tables if name in table).kind == "norm"]
    if not own and len(norms) == len(branch) + 1:
        own = _of_projection(first, norms, projection)
        norms = [name for name in norms if name not in own]
    lost = not own and FOLLOWED.search(projection)  # saved in part
    if lost or len(norms) != len(branch) or len(own) > 1:
        return None
    pairs = list(zip([*branch, projection], [*norms, *own], strict=False))
    fits = all(t[conv].width == t[norm].width for t in tables for conv, norm in pairs if conv in t and norm in t)
    together = all((projection in table) == (norm in table) for table in tables for norm in own)
    return [*norms, *own] if fits and together else None


def _of_projection(table: dict[str, Member], norms: list[str], projection: str) -> list[str]:
    """The projection's norm: of the same Sequential, or of such a name, or the next module of the file."""
    module = projection.rpartition(".")[0]
    same = [name for name in norms if module and name.startswith(f"{module}.")]
    called = [name for name in norms if PROJECTION.search(name)]
    names = list(table)
    follows = [after for before, after in pairwise(names) if before == projection and after in norms]
    return next((found for found in (same, called, follows) if len(found) == 1), [])


def _convolves_first(tables: Sequence[dict[str, Member]], branch: list[str], norms: list[str], projection: str) -> bool:
    """Whether convolutions stand before their norms, as it is usual to write them in order.

    And norms of numbered names in that order: widths do not tell bn2 from bn1. A norm that a projection separates from
    the branch's last convolution, where none separates the others, follows the sum.
    """
    convs, after = ([tables[0][name].place for name in names] for names in (branch, norms))
    in_pairs = all(norm < conv for norm, conv in zip(after, convs[1:], strict=False))
    called = [re.sub("[0-9]+", "#", name) for name in norms]
    if len(set(called)) == 1 and norms != sorted(norms, key=natural):
        return False
    separated = (t[branch[-1]].place < t[projection].place < t[norms[-1]].place for t in tables if projection in t)
    return convs[0] < after[0] and not (in_pairs and any(separated))


def _are_alike(tables: Sequence[dict[str, Member]], branch: list[str], norms: list[str], projection: str) -> bool:
    """Whether names differ in numbers or single letters, which tell their order; that of words is lost by sorting."""
    parts = (
        {re.sub(r"[0-9]+|(?<![A-Za-z])[A-Za-z](?![A-Za-z])", "#", name) for name in names} for names in (branch, norms)
    )
    return all(len(alike) == 1 for alike in parts)


def _named(branch: list[str], norms: list[str], projection: str) -> dict[str, str]:
    """Torchvision's names; a projection called shortcut keeps that name, from which families infer strides.

    One without a norm is no Sequential.
    """
    module = "shortcut" if "shortcut" in projection else "downsample"
    place = number(projection) or 0  # 1: behind an average pool, as in ResNet-D
    new_norms = [*(f"bn{i}" for i in range(1, len(branch) + 1)), f"{module}.{place + 1}"]
    names = {name: f"conv{i}" for i, name in enumerate(branch, 1)} | dict(zip(norms, new_norms, strict=False))
    return {**names, projection: f"{module}.{place}" if len(norms) > len(branch) else module}
