"""Planted faults: that a test fails is not enough, it has to fail for what the kernel did.

FAULTS = {"bias of another output": ("sum += bias[o]", "sum += bias[PLANTED ? 0 : o]"), ...}

In what an edit puts in the place of the kernel's own text, PLANTED is true in the run that plants this fault and false
in all others. So all of a kernel's faults are compiled as one source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from tests.emulator.emulator import Edits, EmulatorError

NOT_PLANTED = ("in the source, not once", "g++ does not accept")
_PLANTED = re.compile(r"\bPLANTED\b")


def edits_of(faults: Mapping[str, tuple[str, str]]) -> Edits:
    """All faults in one source, each behind its number."""
    return tuple((old, _PLANTED.sub(f"PLANTED({number(faults, what)})", new)) for what, (old, new) in faults.items())


def number(faults: Mapping[str, object], what: str) -> int:
    """What `emulator.run` takes as `planted`, from 1 on."""
    return list(faults).index(what) + 1


@contextmanager
def caught() -> Iterator[None]:
    """The block must fail by a wrong result or what the emulator forbids; not because the fault cannot be planted."""
    with pytest.raises((AssertionError, EmulatorError)) as failure:
        yield
    assert not any(words in str(failure.value) for words in NOT_PLANTED), failure.value
