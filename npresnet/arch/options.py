"""Options: what the caller, or the file's own metadata, states about a network in addition to its tensors.

They have the names of torchvision's ResNet constructor where it has them. Each family has its own table; this file
defines the kinds of values, and the rules for every option.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, Protocol

from npresnet.config import Decision, Origin
from npresnet.errors import ArchitectureError

Role = Literal["topology", "size", "seen", "free", "start"]


class Option(NamedTuple):
    """The valid values of an option, and how it is used.

    is_valid  whether a value is valid
    kind      the valid values in words
    role      "topology"  follows from the tensors and from an architecture's name; if stated, it must agree
              "size"      follows from the tensors; a random network of a given name may have another value
              "seen"      follows from some networks' tensors, where it must agree; used as stated for the others
              "free"      does not follow from the tensors; used as stated
              "start"     for random weights only; ignored for given ones
    always    a "free" one has an effect where the reading of the tensors decided nothing, too
    """

    is_valid: Callable[[Any], bool]
    kind: str
    role: Role
    always: bool = False


def is_whole(value: Any, least: int = 1) -> bool:
    """Whether this is an integer of at least `least`, Python's or NumPy's, but not a bool."""
    return type(value) is not bool and isinstance(value, Integral) and least <= int(value) < 2**63


def is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def is_positive(value: Any) -> bool:
    try:
        return type(value) is not bool and isinstance(value, Real) and 0 < float(value) < math.inf
    except OverflowError:  # an integer beyond float64
        return False


def is_list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(map(check, value))


def count(role: Role) -> Option:
    return Option(is_whole, "a whole number from 1 on", role)


def flag(role: Role) -> Option:
    return Option(is_bool, "True or False", role)


def one_of(*names: str, role: Role) -> Option:
    return Option(lambda value: isinstance(value, str) and value in names, " or ".join(map(repr, names)), role)


class Known(Protocol):
    """Names that can be looked up, and listed in an error."""

    def __contains__(self, name: object, /) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...


# The options of every family.
COMMON: Mapping[str, Option] = {
    "family": Option(lambda value: isinstance(value, str), "a family's name", "topology"),
    "num_classes": count("size"),
    "in_channels": count("size"),
    "bgr": Option(is_bool, "True or False", "free", always=True),  # about images: see `npresnet.Preprocess`
}


def given_options(options: Mapping[str, Any] | None, known: Known) -> dict[str, Any]:
    """Options that were given; None means not given. Raises ArchitectureError for an unknown name."""
    given = {name: value for name, value in (options or {}).items() if value is not None}
    for name in given:
        if name not in known:
            raise ArchitectureError(f"unknown option {str(name)[:60]!r}; the options are {', '.join(known)}")
    return given


def check_options(given: Mapping[str, Any], table: Mapping[str, Option], family: str) -> dict[str, Any]:
    """The options as plain values, after checking that this family has them and that they are valid."""
    for name, value in given.items():
        if name not in table:
            raise ArchitectureError(
                f"option {name} is not supported for networks of the family {family}; their options are "
                f"{', '.join(table)}"
            )
        if not table[name].is_valid(value):
            raise ArchitectureError(f"option {name} must be {table[name].kind}, got {short(value)}")
    return {name: _plain_type(value) for name, value in given.items()}


def settle(
    decisions: Mapping[str, Decision],
    given: Mapping[str, Any],
    origins: Mapping[str, Origin],
    table: Mapping[str, Option],
) -> dict[str, Decision]:
    """The decisions, overridden by the options. Raises ArchitectureError where options contradict the tensors."""
    settled = dict(decisions)
    for name, value in given.items():
        if table[name].role == "start":
            continue
        origin = origins.get(name, "caller")
        known = decisions.get(name)
        fixed = table[name].role in ("topology", "size") or (known is not None and known.origin == "inferred")
        if table[name].role != "free" and fixed and known is not None and known.value != value:
            raise ArchitectureError(
                f"option {name}={short(value)}, {said_by(origin)}, contradicts the tensors, which have {name} "
                f"{short(known.value)}"
                f"{f' ({known.note})' if known.note else ''}. Leave the option out, or load the file it is meant for"
            )
        settled[name] = Decision(value, origin, known.note if known is not None and known.value == value else "")
    return settled


def refuse_idle(
    decisions: Mapping[str, Decision],
    given: Mapping[str, Any],
    origins: Mapping[str, Origin],
    table: Mapping[str, Option],
) -> None:
    """Raise ArchitectureError for an option of what this network does not have, which would change nothing."""
    for name, value in given.items():
        if name not in decisions and table[name].role == "free" and not table[name].always:
            raise ArchitectureError(
                f"option {name}={short(value)}, {said_by(origins.get(name, 'caller'))}, would change nothing in this "
                "network; leave it out"
            )


def short(value: Any, limit: int = 60) -> str:
    """The repr, truncated because files may contain options of any length."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than 4300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def said_by(origin: Origin) -> str:
    return "which the file's own metadata says" if origin == "file" else "given by the caller"


def _plain_type(value: Any) -> Any:
    """Convert to JSON's types: tuples to lists, NumPy's numbers to Python's."""
    if isinstance(value, (list, tuple)):
        return [_plain_type(item) for item in value]
    if isinstance(value, (bool, str)):
        return value
    return int(value) if isinstance(value, Integral) else float(value)
