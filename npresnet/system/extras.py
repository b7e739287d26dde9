"""Packages that npresnet does without: imported in the functions that need them, told where they are absent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from npresnet.errors import DeviceError, NpresnetError


@contextmanager
def needing(what: str, install: str, otherwise: str = "", kind: type[NpresnetError] = DeviceError) -> Iterator[None]:
    """Around imports. Raises an error that says how to install them, where one of them fails.

    what       needs the packages: the message's subject
    install    what pip is to install, such as npresnet[ray]
    otherwise  another way out, behind the message
    kind       CheckpointError for a file that cannot be read without them
    """
    try:
        yield
    except ImportError as error:
        import shlex  # only in case of an error

        package = (error.name or "").partition(".")[0]
        if package == "npresnet":  # a fault, and no matter of packages
            raise
        absent = isinstance(error, ModuleNotFoundError) and package
        lacking = f"the package {package}, which is not installed" if absent else f"what does not work here ({error})"
        command = f"python -m pip install {shlex.join(install.split())}"
        raise kind(f"{what} needs {lacking}: {command}{otherwise}") from (None if absent else error)
