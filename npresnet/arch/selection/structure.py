"""Hand-written ResNets of names that no table has: read by the shapes and the order of their tensors.

Tried only where the tables and families found no network. The file must be a residual network all through:

- one convolution and its norm, or several 3x3, before blocks of equal make
- each block two 3x3 convolutions, or 1x1, 3x3 and 1x1, which read what the block before gave, each with its norm
- projections, 1x1 convolutions from a block's input to its output, where shapes change: at least one, as a plain
  network has such convolutions too, and nothing else tells that something is added

Norms before convolutions (pre-activation) have other widths and are not taken. Strides and pools are torchvision's,
which nothing in the file confirms: the decisions say so aloud.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from npresnet.arch.selection.block_roles import Member, Roles, are_usual, find_roles, natural, number
from npresnet.arch.tensors import OUTSIDE, Tensors, common_module
from npresnet.config import Config, Decision
from npresnet.errors import ArchitectureError

HOME = "hand-written"
NOTE = "usual; the names are of no known home"
OURS = re.compile(r"(layer[0-9]+|conv[0-9]+|bn[0-9]+|maxpool)(\.|$)")  # names that are a body's in torchvision's
DEEPEST = 8  # parts of a block's name
# Networks of like shapes that stride in other places or lack an activation: RegNet-X, and labml's annotated ResNet.
# The last one shifts channels in time before a convolution: TSM.
UNLIKE = re.compile(
    r"(^|\.)s1\.b1\.|^(trunk_output|regnet)\.|(^|\.)blocks\.0\.shortcut\.conv\."
    r"|(^|\.)layer[0-9]+\.[0-9]+\.(conv1\.(conv\.)?net|net\.conv1)\."
)
# What no tensor tells: see `doubted`.
ASSUMED = (
    "by shapes and order alone, the rest as torchvision's: ReLU after each norm but a block's last and after each sum, "
    "stride 2 where each stage but the first begins, nothing scaled, gated or repeated; arch={!r} confirms it"
)
FOUR_STAGES = 4  # to which output_stride applies
OTHERS = {"activation": "'leaky_relu'", "last_stride": "1", "output_stride": "16"}
IMAGE_CHANNELS = 4  # at most; blocks read more


class Parts(NamedTuple):
    """A file's modules: those of blocks, in order, {block's name: its members}; the convolutions and norms outside."""

    blocks: dict[str, list[Member]]
    outside: list[Member]


def by_structure(tensors: Tensors) -> tuple[Tensors, dict[str, Decision]] | None:
    """The tensors under torchvision's names, and what is assumed; None where they are no such network, or have them."""
    weights = [name for name in tensors if name.endswith(".weight")]  # safetensors sorts each dtype by itself
    is_sorted = weights == sorted(weights)
    members = [] if tensors.has(UNLIKE.pattern) else list(_members(tensors))
    if is_sorted:
        members.sort(key=lambda member: natural(member.name))
    for depth in range(DEEPEST, 0, -1):  # a stage of one block is not itself a block
        modules = _renamed(_parts(members, depth), is_sorted)
        if modules is not None:
            break
    else:
        return None
    if _ends_in_norm(tensors, modules):
        return None
    around = common_module(tensors)
    names = {name: _translated(name, modules, around) for name in tensors}
    if len(set(names.values())) < len(names) or all(old == new for old, new in names.items()):
        return None
    ours = tensors.renamed(names.__getitem__)
    return ours, _assumed(ours)


def doubted(config: Config, given: Mapping[str, Any], *, is_confirmed: bool) -> Config:
    """The decisions, of which the network itself is ambiguous until the caller confirms it by its name.

    Tensors do not tell where a hand-written network has activations and strides, and whether its blocks add. Raises
    ArchitectureError for a classifier on twice the features, which two images explain as well as two pools.
    """
    pool = config.get("global_pool")
    if pool is not None and pool.value in ("catavgmax", "catmaxavg") and "global_pool" not in given:
        raise ArchitectureError(
            "the classifier reads twice the features that the network gives: the average and the maximum of each "
            "channel, or two images, or something else beside. Give global_pool='catavgmax' or global_pool='catmaxavg' "
            "if it is both pools, or head='none' for the embedding"
        )
    if is_confirmed:
        return config
    arch = config["arch"]
    fits = [option for option in OTHERS if option != "output_stride" or len(config.value("layers", ())) == FOUR_STAGES]
    left = [option for option in fits if option not in given]
    others = tuple(f"{option}={OTHERS[option]}" for option in left or fits)
    return config.with_decisions(arch=arch._replace(note=ASSUMED.format(arch.value), alternatives=others))


def _members(tensors: Tensors) -> Iterable[Member]:
    """The convolutions and norms."""
    for place, name in enumerate(tensors):
        module, _, role = name.rpartition(".")
        shape = tensors.shape(name)
        if role == "weight" and len(shape) == 4 and 0 not in shape:
            yield Member(module, place, "conv", *shape[:3])
        elif role == "weight" and len(shape) == 1 and _has_any(tensors, module, "running_mean", "bias"):
            yield Member(module, place, "norm", shape[0], shape[0], 0)


def _has_any(tensors: Tensors, module: str, *roles: str) -> bool:
    return any(f"{module}.{role}" in tensors for role in roles)


def _parts(members: list[Member], depth: int) -> Parts:
    """What belongs to blocks, whose names have `depth` parts: several convolutions with the same first parts."""
    below: dict[str, list[Member]] = {}
    for member in members:
        parts = member.name.split(".")
        below.setdefault(".".join(parts[:depth]) if len(parts) > depth else "", []).append(member)
    outside = set(below.pop("", []))
    for name, inside in list(below.items()):
        convs = [member for member in inside if member.kind == "conv"]
        if len(convs) < 2 or convs[0].before <= IMAGE_CHANNELS:
            outside.update(below.pop(name))
    blocks = {block: [m._replace(name=m.name[len(block) + 1 :]) for m in inside] for block, inside in below.items()}
    return Parts(blocks, [member for member in members if member in outside])


def _renamed(parts: Parts, is_sorted: bool) -> dict[str, str] | None:
    """{module: its name in torchvision's}; None where these parts are no residual network."""
    convs = [member for member in parts.outside if member.kind == "conv" and member.side > 1]
    stem = _stem(convs, parts, is_sorted) if parts.blocks else None
    if stem is None:
        return None
    roles = find_roles(list(parts.blocks.values()), convs[-1].width, is_sorted)
    stages = None if roles is None else _stages(parts.blocks, roles)
    if roles is None or stages is None or (convs[-1].side == 3 and _is_like_regnet(parts.blocks, roles)):
        return None
    own = {f"{block}.{old}": f"{stages[block]}.{new}" for block in parts.blocks for old, new in roles.names.items()}
    return {**stem, **{block: stages[block] for block in parts.blocks}, **own}


def _is_like_regnet(blocks: dict[str, list[Member]], roles: Roles) -> bool:
    """Whether Bottlenecks have groups and do not widen: then a 3x3 stem and the first stage have strides of 2."""
    old = {new: name for name, new in roles.names.items()}
    if "conv3" not in old:
        return False
    tables = ({member.name: member for member in inside} for inside in blocks.values())
    sides = [[table[old[f"conv{i}"]] for i in (1, 2, 3)] for table in tables]
    return any(a.width > b.before and b.width == c.width for a, b, c in sides)


def _stem(convs: list[Member], parts: Parts, is_sorted: bool) -> dict[str, str] | None:
    """The names of the stem's convolutions, of which several are called alike, and of the norms that follow them."""
    first_block = min(member.place for inside in parts.blocks.values() for member in inside)
    norms = [m for m in parts.outside if m.kind == "norm" and (is_sorted or m.place < first_block)]
    alike = {re.sub("[0-9]+", "#", conv.name) for conv in convs}
    if len(alike) != 1 or [norm.width for norm in norms] != [conv.width for conv in convs]:
        return None
    if any(before.width != after.before for before, after in pairwise(convs)):
        return None
    if not are_usual([conv.name for conv in convs], [norm.name for norm in norms]):
        return None
    deep = [f"conv1.{3 * i}" for i in range(len(convs))], [f"conv1.{3 * i + 1}" for i in range(len(convs) - 1)]
    new = [*deep[0], *deep[1], "bn1"] if len(convs) > 1 else ["conv1", "bn1"]
    return dict(zip([m.name for m in (*convs, *norms)], new, strict=True))


def _stages(blocks: dict[str, list[Member]], roles: Roles) -> dict[str, str] | None:
    """{block: "layerI.J"}: by the modules in which blocks stand; where that is one, a stage begins where shapes change.

    None where a projection stands in the middle of a stage, and where a block or a stage is missing in the numbers.
    """
    names = list(blocks)
    above = [re.sub(r"[0-9]+$", "", name) if name[-1:].isdigit() else name for name in names]
    nested = len(set(above)) > 1 and all(number(name) is not None for name in names)
    starts = [
        above[i] != above[i - 1] if nested else roles.projects[i] or roles.widths[i] != roles.widths[i - 1]
        for i in range(1, len(names))
    ]
    if any(roles.projects[i] and not start for i, start in enumerate(starts, 1)):
        return None
    firsts = {number(name) for name, start in zip(names, [True, *starts], strict=True) if start and nested}
    modules = list(dict.fromkeys(name.rstrip(".") for name in above))
    if len(firsts) > 1 or not _is_whole(names) or not _is_whole(modules):
        return None
    found, stage, place = {names[0]: "layer1.0"}, 1, 0
    for name, start in zip(names[1:], starts, strict=True):
        stage, place = (stage + 1, 0) if start else (stage, place + 1)
        found[name] = f"layer{stage}.{place}"
    return found


def _is_whole(names: list[str]) -> bool:
    """Whether numbers at the end of names go on without gaps while what stands before them is the same."""
    ends = [re.fullmatch(r"(.*?)([0-9]{1,6})", name) for name in names]
    pairs = [(before, after) for before, after in pairwise(ends) if before and after and before[1] == after[1]]
    return all(int(after[2]) == int(before[2]) + 1 for before, after in pairs)


def _ends_in_norm(tensors: Tensors, modules: dict[str, str]) -> bool:
    """Whether a norm with statistics may follow the blocks, before the pool or after it, perhaps with an activation.

    Those of a head follow a linear layer of their width.
    """
    before: tuple[int, ...] = ()
    for name in tensors:
        module, _, role = name.rpartition(".")
        if role != "weight" or module in modules:
            continue
        shape = tensors.shape(name)
        if f"{module}.running_mean" in tensors and (len(before) != 2 or before[:1] != shape):
            return True
        before = shape
    return False


def _translated(name: str, modules: dict[str, str], around: str) -> str:
    """The tensor's new name, by the longest module that has one; a name of others that could be a body's is hidden.

    around  the module in which all stand, which names beside the blocks lose
    """
    parts = name.split(".")
    for i in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:i])
        if module in modules:
            return ".".join([modules[module], *parts[i:]])
    beside = name.removeprefix(around)
    return f"{OUTSIDE}{beside}" if OURS.match(beside) else beside


def _assumed(tensors: Tensors) -> dict[str, Decision]:
    """The decisions that a home which is unknown leaves open."""
    side = tensors.length("conv1.weight", 2, ndim=4)
    decided = {"home": Decision(HOME, "inferred", "read by shapes and order"), "labels": Decision(None, "default")}
    if side is None:  # several convolutions
        decided["stem_stride"] = Decision(2, "default", NOTE, ("stem_stride=1",))
    if side in (None, 7):
        decided["max_pool"] = Decision(True, "default", NOTE, ("max_pool=False",))
    elif side == 3:
        decided["stem_stride"] = Decision(1, "default", NOTE, ("stem_stride=2", "stem=[[3, 1, 2]]"))
        decided["max_pool"] = Decision(False, "default", NOTE, ("max_pool=True",))
    if "layer1.0.conv3.weight" in tensors and not tensors.has(r"\.shortcut\."):
        decided["stride_on"] = Decision("3x3", "default", NOTE, ("stride_on='1x1'",))
    return decided
