"""Folders and files that are closed to this user, also where the tests run as root, who may pass any."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_VERSION = 0x20080522  # of Linux's capabilities: two words of 32 bits for each set
_PASS = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH

needs_permissions = pytest.mark.skipif(os.name == "nt", reason="Windows closes folders in another way")


@contextmanager
def closed(*paths: str | os.PathLike[str]) -> Iterator[None]:
    """Nobody may read, write or search these paths in the block; this thread obeys, and those that it starts."""
    modes = {path: os.stat(path).st_mode for path in paths}
    for path in paths:
        os.chmod(path, 0)
    try:
        with _obedient():
            yield
    finally:
        for path, mode in modes.items():
            os.chmod(path, mode)


@contextmanager
def _obedient() -> Iterator[None]:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        yield
        return
    sets = _capabilities()
    try:
        _set((sets[0] & ~_PASS, *sets[1:]))
        yield
    finally:
        _set(sets)


def _capabilities() -> tuple[int, ...]:
    """Of this thread: effective, permitted and inheritable, the lower words and then the upper ones."""
    found = (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capget((ctypes.c_uint32 * 2)(_VERSION, 0), found) == 0
    return tuple(found)


def _set(sets: tuple[int, ...]) -> None:
    assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)(*sets)) == 0
