"""One input: read it and list it, and compare with the format's own reader where that accepts it.

A failure is anything but arrays or a CheckpointError that names the file and is no disguised mistake; other numbers
than the oracle's; more than 2 s or 300 MB.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from npresnet import weights
from npresnet.errors import CheckpointError
from npresnet.weights.source import shown

MISTAKES = (
    TypeError, AttributeError, NameError, AssertionError, NotImplementedError, UnboundLocalError, MemoryError,
    RecursionError, ZeroDivisionError, SystemError,
)  # fmt: skip
LIMIT_S, LIMIT_MB = 2.0, 300


class Verdict(NamedTuple):
    """loaded: arrays came; compared: and the oracle's, too; seconds of CPU for the slower call; growth, 0 off Linux."""

    loaded: bool
    compared: bool
    seconds: float
    growth_mb: float
    failure: str = ""


def judge(path: str, format: ModuleType) -> Verdict:
    """What reading the file does."""
    before_mb, start = _peak_mb(reset=True), time.process_time()
    loaded, failure = _tried(lambda: weights.read(path), path)
    between = time.process_time()
    _, also = _tried(lambda: str(weights.inspect(path)), path)
    seconds, growth_mb = max(between - start, time.process_time() - between), _peak_mb() - before_mb
    failure = failure or also
    if not failure and (seconds > LIMIT_S or growth_mb > LIMIT_MB):
        failure = f"took {seconds:.2f} s and {growth_mb:.0f} MB"
    expected = _expected(path, format) if loaded is not None and format.oracle is not None else None
    if expected is not None and loaded is not None:
        failure = failure or _difference(loaded, expected)
    return Verdict(loaded is not None, expected is not None, seconds, growth_mb, failure)


def _tried(function: Callable[[], Any], path: str) -> tuple[Any, str]:
    """(the result, ""), (None, "") if the file was refused, or (None, what went wrong)."""
    try:
        return function(), ""
    except CheckpointError as error:
        if isinstance(error.__cause__, MISTAKES):
            return None, f"a mistake in disguise: {error.__cause__!r}"
        if not str(error).startswith(path):
            return None, f"an error that does not name the file: {error}"
        return None, ""
    except Exception as error:
        return None, f"raised {error!r}"


def _expected(path: str, format: ModuleType) -> Any:
    """What the format's own reader says; None where it refuses."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return format.oracle(path)
    except Exception:
        return None


def _difference(loaded: weights.Checkpoint, expected: Any) -> str:
    for name, array in loaded.tensors.items():
        theirs = _found(expected, loaded.wrapper, loaded.prefix + name)
        if theirs is None:
            return f"the format's own reader has no {name!r}"
        if theirs.shape != array.shape or theirs.dtype != array.dtype or _bits(theirs) != _bits(array):
            return f"{name!r} differs from what the format's own reader says"
    return ""


def _found(value: Any, wrapper: str | None, name: str) -> np.ndarray[Any, Any] | None:
    """The array of a name in the dict at a dotted path."""
    around = value if wrapper is None else _below(value, wrapper)
    value = next((item for key, item in _items(around) if _name(key) == name), None)
    if hasattr(value, "detach"):
        value = value.detach().resolve_neg().resolve_conj()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    if not isinstance(value, np.ndarray):
        return None
    return value.astype(value.dtype.newbyteorder("="))


def _bits(array: np.ndarray[Any, Any]) -> bytes:
    """The numbers' bytes; of a bool whether it is 0, for NumPy itself keeps what a file has."""
    return (array.view("u1") != 0 if array.dtype == bool and array.size else array).tobytes()


def _below(value: Any, path: str) -> Any:
    for key, item in _items(value):
        name = shown(_name(key), 200)
        if path == name:
            return item
        if path.startswith(f"{name}.") and (found := _below(item, path[len(name) + 1 :])) is not None:
            return found
    return None


def _items(value: Any) -> Iterable[tuple[object, Any]]:
    return value.items() if hasattr(value, "items") else ()


def _name(key: object) -> str:
    """A key as npresnet names it."""
    if isinstance(key, bytes):
        return key.decode("latin-1")
    return str(key) if key is None or isinstance(key, (str, int, float)) else "kept inert"


def _peak_mb(*, reset: bool = False) -> float:
    """The largest resident memory so far, or since it was reset."""
    if sys.platform != "linux":
        return 0.0
    if reset:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
