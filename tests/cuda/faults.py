"""Planted faults: that a test fails is not enough, it has to fail for what the kernel did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.emulator.emulator import EmulatorError

NOT_PLANTED = ("in the source, not once", "g++ does not accept")


@contextmanager
def caught() -> Iterator[None]:
    """The block must fail by a wrong result or what the emulator forbids; not because the fault cannot be planted."""
    with pytest.raises((AssertionError, EmulatorError)) as failure:
        yield
    assert not any(words in str(failure.value) for words in NOT_PLANTED), failure.value
