"""Atomic replacement of files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from npresnet.system.signals import raise_signals


@contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """Open a new file that replaces `path` if the block succeeds and is deleted otherwise.

    Until then it is a temporary file in the same folder, and an existing file at `path` is unchanged. Symbolic links
    are followed. Special files (/dev/null, a pipe) are written to, not replaced. Raises OSError that names `path`.
    """
    destination = os.path.realpath(path)
    if os.path.exists(destination) and not os.path.isfile(destination):
        with open(destination, "wb") as file:
            yield file
        return
    folder, name = os.path.split(destination)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.part")
    try:
        with open(temporary, "x+b") as file:
            yield file
        os.replace(temporary, destination)
    except OSError as error:
        raise_signals(error)
        raise OSError(error.errno, error.strerror or str(error), path) from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
