"""Writing a file so that nobody ever sees half of it, and nothing is lost when the writing fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` when the block ends well, and vanishes otherwise.

    It lies in the same folder under a name of its own until then, so whatever stood at `path` stays whole. A symbolic
    link is followed. What is there but is no ordinary file (/dev/null, a pipe) is written to, not replaced. Raises
    OSError, which names `path`.
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
        raise OSError(error.errno, error.strerror or str(error), path) from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
