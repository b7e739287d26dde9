"""The folder of prepared weights: what is in it, when it was last used, and its limit.

    KEY.prepared   prepacked weights, see `prepared_file`
    KEY.loaded     as old as the last load of those weights, whether or not they were prepared: so that a load never
                   changes a large file (in a container's image that would copy it). It holds a line for each other
                   weight file (a copy, the file that was converted) that was found to have the same weights

Only the user's own regular files are counted, changed or deleted: others may have some in a shared cache.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from npresnet.system.cache import cache_folder
from npresnet.system.files import PRIVATE, is_own, open_own, remove_dead_parts

VARIABLE = "NPRESNET_PREPARED"  # "0" switches this cache off
LIMIT_BYTES = 1_000_000_000
MARKS = 1_000  # at most so many .loaded files, and none older than MARK_S
MARK_S = 90 * 24 * 3600
NOTES_BYTES = 8192
SUFFIX, MARK = ".prepared", ".loaded"


class Kept(NamedTuple):
    """One file of prepared weights; used_s is the time of its last use, in seconds since 1970."""

    path: Path
    size_bytes: int
    used_s: float


def folder() -> Path | None:
    """Where prepared weights are stored, beside downloads; None where disabled or without a home folder."""
    try:
        return None if os.environ.get(VARIABLE) == "0" else cache_folder() / "prepared"
    except RuntimeError:
        return None


def make_folder(place: Path) -> None:
    """Create the folder, private, if there is none. Raises OSError, also for a link that another user made."""
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700, parents=True)
    status = place.lstat()
    if stat.S_ISLNK(status.st_mode) and hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise PermissionError(13, "a link of another user", str(place))


def mark_loaded(prepared: Path) -> bool:
    """Note a load of these weights; whether there was an earlier one. False where nothing can be noted."""
    mark = prepared.with_suffix(MARK)
    try:
        try:
            os.utime(mark, follow_symlinks=False) if os.utime in os.supports_follow_symlinks else os.utime(mark)
            return is_own(mark.lstat())
        except FileNotFoundError:
            make_folder(prepared.parent)
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
            _forget_old_marks(prepared.parent)
    except OSError:
        pass
    return False


def is_noted(prepared: Path, line: str) -> bool:
    """Whether `note` was called with this line."""
    try:
        with open(open_own(prepared.with_suffix(MARK)), "rb") as file:
            return f"{line}\n".encode() in file.readlines(NOTES_BYTES)
    except OSError:
        return False


def note(prepared: Path, line: str) -> None:
    """Add a line to the mark of these weights; nothing where that fails."""
    with contextlib.suppress(OSError):
        mark = prepared.with_suffix(MARK)
        with open(open_own(mark, os.O_WRONLY | os.O_APPEND), "ab") as file:
            if file.tell() > NOTES_BYTES // 2:
                file.truncate(0)
            file.write(f"{line}\n".encode())


def kept_in(place: Path) -> list[Kept]:
    """The prepared files of a folder, the most recently used first."""
    used = {path.stem: status.st_mtime for path, status in _own(place, MARK)}
    found = [
        Kept(path, status.st_size, max(status.st_mtime, used.get(path.stem, 0))) for path, status in _own(place, SUFFIX)
    ]
    return sorted(found, key=lambda kept: kept.used_s, reverse=True)


def size_bytes_of(place: Path) -> int:
    """The total size of the prepared files in a folder."""
    return sum(kept.size_bytes for kept in kept_in(place))


def make_room(place: Path, size_bytes: int) -> bool:
    """Delete the least recently used files until `size_bytes` more fit, and parts of dead writers.

    False where they never fit.
    """
    if size_bytes > LIMIT_BYTES:
        return False
    remove_dead_parts(place, rf"[0-9a-f]+\{SUFFIX}")
    for kept in kept_in(place):
        size_bytes += kept.size_bytes
        if size_bytes > LIMIT_BYTES:
            _delete(kept.path)
    return True


def clear(place: Path) -> list[Kept]:
    """Delete all prepared files and marks of this user; returns those prepared files that could be deleted."""
    remove_dead_parts(place, rf"[0-9a-f]+\{SUFFIX}")
    found = kept_in(place)
    for path, _ in [*_own(place, SUFFIX), *_own(place, MARK)]:
        _delete(path)
    return [kept for kept in found if not os.path.lexists(kept.path)]


def _forget_old_marks(place: Path) -> None:
    marks = sorted(_own(place, MARK), key=lambda found: found[1].st_mtime, reverse=True)
    for position, (path, status) in enumerate(marks):
        if position >= MARKS or time.time() - status.st_mtime > MARK_S:
            _delete(path)


def _own(place: Path, suffix: str) -> Iterator[tuple[Path, os.stat_result]]:
    with contextlib.suppress(OSError):
        for name in os.listdir(place):
            if name.endswith(suffix) and not name.startswith("."):
                with contextlib.suppress(OSError):  # deleted meanwhile by another process
                    status = os.lstat(place / name)
                    if is_own(status):
                        yield place / name, status


def _delete(path: Path) -> None:
    with contextlib.suppress(OSError):  # on Windows a file in use cannot be deleted
        path.unlink()
