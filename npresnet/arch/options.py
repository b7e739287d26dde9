"""Options: what the caller, or the file's own metadata, says about a net beside its tensors.

Named as torchvision's ResNet constructor names them where it has them. What keys and shapes fix (FIXED) may be stated
and must then agree; what they cannot tell (FREE) is taken as it is stated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from npresnet.arch.catalogue import Entry, entry_of, name_of
from npresnet.config import Decision, Origin
from npresnet.errors import ArchitectureError

Rule = tuple[Callable[[Any], bool], str]


def is_whole(value: Any, least: int = 1) -> bool:
    """Whether this is a whole number from `least` on, Python's or NumPy's; True and False are none."""
    return type(value) is not bool and isinstance(value, Integral) and int(value) >= least


def _is_list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(map(check, value))


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return type(value) is not bool and isinstance(value, Real) and 0 < float(value) < math.inf


def _is_one_of(*names: str) -> Rule:
    return lambda value: isinstance(value, str) and value in names, " or ".join(map(repr, names))


COUNT: Rule = (is_whole, "a whole number from 1 on")
BOOL: Rule = (_is_bool, "True or False")
FIXED: dict[str, Rule] = {
    "family": (lambda value: isinstance(value, str), "a family's name"),
    "block": _is_one_of("BasicBlock", "Bottleneck"),
    "layers": (_is_list_of(is_whole), "a list of whole numbers, the blocks of each stage"),
    "num_classes": COUNT,
    "in_channels": COUNT,
    "groups": COUNT,
    "width_per_group": COUNT,
    "shortcut": _is_one_of("A", "B"),
}
FREE: dict[str, Rule] = {
    "stride_on": _is_one_of("1x1", "3x3"),
    "replace_stride_with_dilation": (_is_list_of(_is_bool), "a list of True or False for each stage but the first"),
    "stem_stride": (lambda value: is_whole(value) and value in (1, 2), "1 or 2"),
    "max_pool": BOOL,
    "bn_eps": (_is_positive, "a positive number"),
    "zero_init_residual": BOOL,  # of random weights only; with given ones it means nothing
}
OPTIONS = (*FREE, *FIXED)


def checked_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options that were given (None means not given), each of a known name and the right kind."""
    given = {name: value for name, value in (options or {}).items() if value is not None}
    for name, value in given.items():
        if name not in OPTIONS:
            raise ArchitectureError(f"there is no option {str(name)[:60]!r}; the options are {', '.join(OPTIONS)}")
        is_valid, kind = (FREE | FIXED)[name]
        if not is_valid(value):
            raise ArchitectureError(f"option {name} must be {kind}, got {str(value)[:60]}")
    return {name: _plain_type(value) for name, value in given.items()}


def _plain_type(value: Any) -> Any:
    """JSON's types: lists for tuples, Python's numbers for NumPy's."""
    if isinstance(value, (list, tuple)):
        return [_plain_type(item) for item in value]
    if isinstance(value, (bool, str)):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def settle(
    decisions: Mapping[str, Decision], options: Mapping[str, Any], origins: Mapping[str, Origin]
) -> dict[str, Decision]:
    """The decisions after the options have had their say. Raises ArchitectureError where they contradict tensors."""
    settled = dict(decisions)
    for name, value in options.items():
        origin = origins.get(name, "caller")
        known = decisions.get(name)
        if name in FIXED and known is not None and known.value != value:
            raise ArchitectureError(
                f"option {name}={_short(value)}, {_by(origin)}, contradicts the tensors, which have {name} "
                f"{_short(known.value)}"
                f"{f' ({known.note})' if known.note else ''}. Leave the option out, or load the file it is meant for"
            )
        settled[name] = Decision(value, origin, known.note if known is not None and known.value == value else "")
    _check_free(settled)
    settled.pop("zero_init_residual", None)
    return settled


def _check_free(decisions: Mapping[str, Decision]) -> None:
    """Rules between options and the kind of net."""
    block, layers = decisions["block"].value, decisions["layers"].value
    dilate = decisions["replace_stride_with_dilation"].value
    if len(dilate) != len(layers) - 1:
        raise ArchitectureError(
            f"replace_stride_with_dilation={_short(dilate)} has {len(dilate)} values, but one is needed for each stage "
            f"but the first, and the stages have {layers} blocks"
        )
    if block == "BasicBlock" and any(dilate):
        raise ArchitectureError(
            f"replace_stride_with_dilation={_short(dilate)} needs Bottlenecks; this net has BasicBlocks, which "
            f"torchvision does not dilate either"
        )
    if block == "BasicBlock" and "stride_on" in decisions:
        raise ArchitectureError("stride_on is about Bottlenecks; this net has BasicBlocks, which stride on conv1")
    for name in ("stem_stride", "max_pool"):
        if decisions[name].value is None:
            raise ArchitectureError(
                f"the tensors cannot tell {name}: {decisions[name].note} (7x7 means stride 2 and a max pool, 3x3 means "
                f"stride 1 and none). Say stem_stride=1 or 2 and max_pool=True or False"
            )


def settle_arch(
    arch: str | None, origin: Origin, decisions: Mapping[str, Decision], options: Mapping[str, Any]
) -> Decision:
    """The net's name. Raises ArchitectureError where `arch`, with the options given beside it, means another net."""
    value = {name: decision.value for name, decision in decisions.items()}
    found = Entry(
        value["block"],
        tuple(value["layers"]),
        value["groups"],
        value["width_per_group"] or 0,
        small=value["family"] == "cifar",
    )
    name = name_of(found)
    if arch is None:
        return Decision(name, "inferred")
    meant = found if arch in (name, _unnamed(found)) else entry_of(arch)
    meant = meant._replace(**{key: options[key] for key in ("groups", "width_per_group") if key in options})
    if meant != found:
        raise ArchitectureError(
            f"arch={arch!r}, {_by(origin)}, does not fit the tensors\n"
            f"  {arch}  {meant}\n"
            f"  tensors  {found}\n"
            f"  They look like {name}. Leave arch out, or load the file it is meant for."
        )
    return Decision(arch, origin)


def _short(value: Any, limit: int = 60) -> str:
    """As it is typed, but a list of thousands (files give options, too) does not fill a screen."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _unnamed(entry: Entry) -> str:
    return "cifar_resnet" if entry.small else "resnet"


def _by(origin: Origin) -> str:
    return "which the file's own metadata says" if origin == "file" else "given by the caller"
