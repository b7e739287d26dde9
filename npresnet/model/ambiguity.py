"""The warning about what a weight file cannot tell: once a load, in one line, with the options that settle it."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from npresnet.config import Config, Decision
from npresnet.errors import AmbiguityWarning, shortened
from npresnet.images import Preprocess
from npresnet.system.text import visible

PACKAGE = __name__.partition(".")[0]


def warn_of_ambiguity(config: Config, name: str) -> None:
    """Raise an AmbiguityWarning where any decision is ambiguous.

    name  of the weight file
    """
    found = config.ambiguous()
    if found:
        warning = AmbiguityWarning(message_of(found, name))
        warning.for_shells = shortened(message_of(found, name, as_argument))
        warnings.warn(warning, stacklevel=_callers_level())


def message_of(decisions: Mapping[str, Decision], name: str, write: Callable[[str], str] = str) -> str:
    """One line: what is assumed, and the options with which other networks in use have the same tensors.

    write  the form of an alternative, by default that of Python
    """
    parts = [
        f"{option}={_changes(decision.value)!r} is assumed{f' ({decision.note})' if decision.note else ''}, "
        f"but it could be {' or '.join(map(write, decision.alternatives))}"
        for option, decision in _without_repetitions(decisions).items()
    ]
    given = "that option" if len(parts) == 1 else "those options"
    return visible(f"{name} fits more than one network: {'; '.join(parts)}. Give {given} to settle it")


def as_argument(alternative: str) -> str:
    """An alternative as arguments of the command line that a shell takes as they are: `--option stride_on=3x3`."""
    return " ".join(f"--option {_quoted(option)}" for option in alternative.split(" and "))


def _quoted(option: str) -> str:
    """The option for a shell: a plain word without quotes, anything else within those that it does not have itself.

    Alternatives may come from a file of anybody's: what a shell would act on within double quotes is quoted for POSIX.
    """
    plain = re.fullmatch(r"(\w+)='([\w.+-]+)'", option)
    if plain:
        return f"{plain[1]}={plain[2]}"
    if re.fullmatch(r"[\w.+=-]+", option):
        return option
    if "'" in option and re.search(r'[$`"\\!%]', option):
        from shlex import quote  # not needed for what npresnet itself writes

        return quote(option)
    return f'"{option}"' if "'" in option else f"'{option}'"


def _without_repetitions(decisions: Mapping[str, Decision]) -> dict[str, Decision]:
    """One of those that state the same in two ways, that which the alternatives name, as output_stride=8 does."""
    chosen: dict[tuple[str, ...], str] = {}
    for name, decision in decisions.items():
        same = (decision.note, *decision.alternatives)
        if same not in chosen or any(text.startswith(f"{name}=") for text in decision.alternatives):
            chosen[same] = name
    return {name: decisions[name] for name in chosen.values()}


def _changes(value: Any) -> Any:
    """Of a preprocessing only the fields that are not the usual ones."""
    if not isinstance(value, Mapping):
        return value
    usual = Preprocess().to_dict()
    return {name: field for name, field in value.items() if name not in usual or field != usual[name]}


def _callers_level() -> int:
    """The stack level, as `warnings.warn` counts it, of the line outside this package that asked for the model."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _package(frame) == PACKAGE:
        level, frame = level + 1, frame.f_back
    return level


def _package(frame: FrameType) -> str:
    """By the module's name, not its file's: in a frozen program code has no absolute path."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
