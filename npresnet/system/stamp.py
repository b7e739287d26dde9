"""What tells, without reading it, that a file has not changed.

A file's size and modification time do not: `cp -p`, `rsync -t`, archives and reproducible builds set the time. On POSIX
the change time (ctime) cannot be set, and a new file under the same name has another inode. That holds where the file
system keeps change times in fractions of a second: read-only images (squashfs) and network file systems that have whole
seconds take them from elsewhere. It also fails in the moment after a change, in which another one may get the same
time, and in memory (tmpfs), where what is stored through a mapping changes no time. There, and on Windows, a file has
no stamp, and what depends on its content must read it.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

SETTLED_NS = 20_000_000  # twice the coarsest clock tick of a kernel: a later change has another time
_SECOND_NS = 10**9
_MOUNTS = "/proc/self/mountinfo"  # Linux's: see proc(5)
_IN_MEMORY = ("tmpfs", "ramfs")


class Identity(NamedTuple):
    """A weight file that was read, and the settings by which it was.

    name   of the file, for people
    stamp  different after any change of the file or of the settings; "" where nothing tells
    """

    name: str
    stamp: str


def stamp_of(status: os.stat_result, now_ns: int | None = None) -> str:
    """The stamp of an open file; "" where a change may go unnoticed."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    changed_ns = status.st_ctime_ns
    if os.name == "nt" or changed_ns % _SECOND_NS == 0 or changed_ns > now_ns - SETTLED_NS:
        return ""
    if _is_in_memory(status.st_dev):
        return ""
    return f"inode {status.st_ino}, {status.st_size} bytes, modified {status.st_mtime_ns}, changed {changed_ns} ns"


def _is_in_memory(device: int) -> bool:
    """Whether this device number is that of a file system in memory."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="replace") as file:
            lines = [line.partition(" - ") for line in file]
    except OSError:  # another system
        return False
    numbers = [before.split()[2].split(":") for before, _, after in lines if after.startswith(_IN_MEMORY)]
    return any(os.makedev(int(major), int(minor)) == device for major, minor in numbers)


def settle(path: str) -> None:
    """Wait until a file that was changed just now has a stamp: at most 20 ms."""
    late_ns = time.time_ns() - os.stat(path).st_ctime_ns
    if 0 <= late_ns <= SETTLED_NS:
        time.sleep((SETTLED_NS - late_ns + 1_000_000) / _SECOND_NS)
