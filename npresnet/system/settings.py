"""The caller's settings for errors and warnings, which decide nothing here.

A program may turn floating-point errors (`numpy.seterr(all="raise")`) and warnings (`filterwarnings("error")`) into
exceptions. Whether an image has a result must not depend on that: an underflow in a softmax is no error, and a
decoder's remark on odd EXIF data neither. npresnet's own warnings are raised where they are asked for.
"""

from __future__ import annotations

import functools
import re
import warnings
from _thread import get_ident
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import numpy as np

from npresnet.system.locks import Lock

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_lock = Lock()
_holder: list[int] = []  # the thread that has changed the filters


def quiet(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The same function with floating-point errors ignored, as in other engines. Not for generators.

    `numpy.errstate` as a decorator shares its state between threads in NumPy 1.
    """

    @functools.wraps(function)
    def called(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return called


@contextmanager
def warnings_of(module: str) -> Iterator[None]:
    """What this library warns of inside the block is shown at most, even where warnings are errors.

    module  "PIL", and with it "PIL.TiffImagePlugin"

    Where they are, one thread after the other runs its block: filters belong to the whole process.
    """
    if not any(action == "error" for action, *_ in warnings.filters) or _holder == [get_ident()]:
        yield
        return
    with _lock.plain:
        # One entry goes in and the same one out: `catch_warnings` would put back what another thread has ended since.
        entry = ("default", None, Warning, re.compile(rf"{module}(\.|$)"), 0)
        _change(lambda filters: filters.insert(0, entry))
        _holder[:] = [get_ident()]
        try:
            yield
        finally:
            _holder.clear()
            _change(lambda filters: filters.remove(entry) if entry in filters else None)


def _change(how: Callable[[Any], None]) -> None:
    """Change the process's filters, and have the registries of what was shown once forget."""
    how(warnings.filters)
    getattr(warnings, "_filters_mutated", lambda: None)()
