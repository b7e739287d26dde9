"""The warning about what a weight file cannot tell: once a load, in one line, with the options that settle it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping

from npresnet.config import Config, Decision
from npresnet.errors import AmbiguityWarning

PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


def warn_of_ambiguity(config: Config, name: str) -> None:
    """Raise an AmbiguityWarning where any decision is ambiguous.

    name  of the weight file
    """
    found = config.ambiguous()
    if found:
        warnings.warn(message_of(found, name), AmbiguityWarning, stacklevel=_callers_level())


def message_of(decisions: Mapping[str, Decision], name: str) -> str:
    """One line: what is assumed, and the options with which other networks in use have the same tensors."""
    parts = [
        f"{option}={decision.value!r} is assumed{f' ({decision.note})' if decision.note else ''}, "
        f"but it could be {' or '.join(decision.alternatives)}"
        for option, decision in decisions.items()
    ]
    given = "that option" if len(parts) == 1 else "those options"
    return f"{name} fits more than one network: {'; '.join(parts)}. Give {given} to settle it"


def _callers_level() -> int:
    """The stack level, as `warnings.warn` counts it, of the line outside this package that asked for the model."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    return level
