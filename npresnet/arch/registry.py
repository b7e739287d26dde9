"""Checkpoint keys, shapes and options -> (Network, Config)."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from npresnet.arch import cifar, handwritten, torchvision
from npresnet.arch.foreign import refuse_foreign
from npresnet.arch.options import checked_options, settle, settle_arch
from npresnet.arch.residual import build_residual
from npresnet.arch.selection import select
from npresnet.arch.tensors import Tensors, shorten
from npresnet.config import Config, Decision, Origin
from npresnet.errors import ArchitectureError
from npresnet.network import Array, Network

FAMILIES: tuple[ModuleType, ...] = (cifar, handwritten, torchvision)  # a new family is one file and its name here


def build(
    tensors: Mapping[str, Array],
    *,
    arch: str | None = None,
    options: Mapping[str, Any] | None = None,
    origins: Mapping[str, Origin] | None = None,
) -> tuple[Network, Config]:
    """Recognise a ResNet by the names and shapes of its tensors, check every shape, and put it together.

    tensors  {name: array}, names as in the checkpoint without wrapper; arrays of any floating-point type, not copied
    arch     the name the caller expects (see `list_archs`): must agree with the tensors
    options  what the caller says beside, named as in OPTIONS; None means not given
    origins  who says so: {option or "arch": "caller" | "file"}, "caller" where nothing is said

    Returns the network with the file's own numbers, unfolded, and every decision with its origin. Its output is called
    "logits", or "embedding" where the file has no classifier. Costs a look at each name and shape, none at the numbers
    but those of short vectors.

    Raises ArchitectureError where the tensors are no ResNet or one that is not supported, where one is missing, left
    over or of the wrong shape, and where arch or an option contradicts them.
    """
    given, who = checked_options(options), origins or {}
    selected, settled = select(Tensors(tensors))
    refuse_foreign(selected)
    outline = recognise(selected).outline(selected)
    decisions = settle(_merged(outline.decisions, settled), given, who)
    name = settle_arch(arch, who.get("arch", "caller"), decisions, given)
    network = build_residual(outline.layout(decisions), selected)
    return network, Config({"arch": name, **decisions, **_non_finite(selected)})


def recognise(tensors: Tensors) -> ModuleType:
    """The first family whose keys these are. Raises ArchitectureError where they are nobody's."""
    if not tensors.matching(r"^layer1\.[0-9]+\.conv1\.weight$"):
        names = shorten(tensors) or "none at all"
        raise ArchitectureError(
            f"the tensors are no ResNet that npresnet knows: there is no layer1.0.conv1.weight. Their names are {names}"
        )
    return next(family for family in FAMILIES if family.matches(tensors))


def _merged(decisions: Mapping[str, Decision], settled: Mapping[str, Decision]) -> dict[str, Decision]:
    """The family's decisions with those of the selection; preprocessing and labels stay last."""
    last = {name: decisions[name] for name in ("preprocess", "labels")}
    return {**{name: d for name, d in decisions.items() if name not in last}, **settled, **last}


def _non_finite(tensors: Tensors) -> dict[str, Decision]:
    names = tensors.non_finite()
    note = "hold NaN or infinity: was the training healthy?"
    return {"non_finite": Decision(shorten(names), "file", note)} if names else {}
