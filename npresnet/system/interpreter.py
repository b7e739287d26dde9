"""The Python that child processes are started with."""

from __future__ import annotations

import sys

from npresnet.errors import NpresnetError


def interpreter() -> str:
    """The path of the Python that runs this.

    Raises NpresnetError in a frozen program, whose executable would run that program once more, and where Python is
    embedded in a program that does not say where it is.
    """
    if getattr(sys, "frozen", False) or not sys.executable:
        raise NpresnetError(
            "this starts other Python processes, and there is no Python to start here: npresnet is part of a frozen "
            "program, or of one that embeds Python. Run it from npresnet as pip installs it"
        )
    return sys.executable
