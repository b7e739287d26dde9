"""A file mapped read-only that notices when it is written into, or cut short, while arrays in it are in use.

A new file renamed over its name leaves a mapping as it was; that is how a file in use is replaced. Whoever writes into
the file itself changes the arrays in mid-air, and reading what was cut off ends the process (SIGBUS on POSIX).

`check` costs one fstat, 2 to 3 microseconds. It sees changes since the file was mapped as far as the file system tells
times apart: some milliseconds. On memory file systems (tmpfs) what is written through a mapping changes no time, and is
not seen. Another owner, mode or name is no change; a status change that leaves no trace but its time (the same mode set
again) is taken for one, for a writer who sets the modification time back looks the same.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import CheckpointError

Array = NDArray[Any]


class MappedFile(mmap.mmap):
    """The bytes of a file. `of` makes one."""

    path: str
    _descriptor: int
    _status: os.stat_result

    @classmethod
    def of(cls, descriptor: int, path: str) -> MappedFile:
        """Map an open file; `path` names it in errors. Raises OSError, ValueError for an empty file."""
        made = cls(descriptor, 0, access=mmap.ACCESS_READ)
        made.path = path
        made._descriptor = os.dup(descriptor)
        made._status = os.fstat(made._descriptor)
        return made

    def check(self) -> None:
        """Raise CheckpointError if the file was written into or cut short since it was mapped."""
        try:
            now = os.fstat(self._descriptor)
        except OSError:  # the program has closed all descriptors, as daemons do: nothing tells any more
            return
        before = self._status  # read once: another thread may accept a change meanwhile
        if _times(now) == _times(before) or not os.path.samestat(now, before):
            return
        kept = (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        if kept and (_rights(now) != _rights(before) or not self._is_at_its_path(now)):
            self._status = now  # another owner or mode; another file has taken its name
            return
        what = "written into" if now.st_size >= before.st_size else "cut short"
        raise CheckpointError(
            f"{self.path} was {what} while a model uses it (it had {before.st_size:,} bytes, now {now.st_size:,}), so "
            "its results would be wrong. Load it again. To replace a file in use, write a new one beside it and rename "
            "that (os.replace), or load models with copy=True, which keeps the weights in memory"
        )

    def _is_at_its_path(self, now: os.stat_result) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), now)
        except OSError:
            return False

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        """`close` is kept here: at the interpreter's end the module's own names may be gone before a mapping is."""
        if hasattr(self, "_descriptor"):
            close(self._descriptor)


def _times(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _rights(status: os.stat_result) -> tuple[int, ...]:
    """What changes the time of a status change, but not a byte."""
    return status.st_nlink, status.st_mode, status.st_uid, status.st_gid


def files_of(arrays: Iterable[Array]) -> tuple[MappedFile, ...]:
    """The mapped files in which some of the arrays lie."""
    found = {id(owner): owner for array in arrays if isinstance(owner := _owner(array), MappedFile)}
    return tuple(found.values())


def copied(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The same arrays in memory of their own, read-only. Raises CheckpointError if a file changed meanwhile."""
    made = {name: np.array(array) for name, array in arrays.items()}
    for array in made.values():
        array.setflags(write=False)
    for file in files_of(arrays.values()):
        file.check()
    return made


def _owner(array: Array) -> Any:
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return owner.obj if isinstance(owner, memoryview) else owner
