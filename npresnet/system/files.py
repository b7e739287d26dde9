"""Atomic replacement of files, and files of a cache that nobody else may have made.

A file is written under a temporary name beside its destination (`.NAME.8 hexadecimal digits.part`) and renamed when
complete. Its writer holds a lock on it; one that nobody holds was left by a dead process, and the next writer of NAME
deletes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

from npresnet.system.signals import raise_signals

ABANDONED_S = 3600  # where files cannot be locked: a part not modified for this long has no living writer
PRIVATE = 0o600
_PART = r"\.[0-9a-f]{8}\.part"
_DESCRIPTORS = r"/proc/\d+(/task/\d+)?/fd"
_SHARED_WRITE = stat.S_IWGRP | stat.S_IWOTH
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer, or a reader, would block
_BINARY = getattr(os, "O_BINARY", 0)


@contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """Open a new file that replaces `path` if the block succeeds and is deleted otherwise.

    Until then it is a temporary file in the same folder, and an existing file at `path` is unchanged. Symbolic links
    are followed. Special files (/dev/null, a pipe) are written to, not replaced; what is written to /dev/stdout stands
    behind what is there, whatever that leads to. Raises OSError that names `path`.
    """
    destination = real_path(path)
    if is_special(path):
        _refuse_no_file(path)
        with open(path, "ab" if _is_descriptor(path) else "wb") as file:
            yield file
        return
    try:
        with _renamed(destination, 0o666) as file:
            yield file
    except OSError as error:
        raise_signals(error)
        raise OSError(error.errno, error.strerror or str(error), path) from error


def is_special(path: str) -> bool:
    """Whether `replacing` writes into what is there, once, rather than replaces it: a pipe, a device, /dev/stdout.

    Or fails to: a folder, there or not.
    """
    destination = real_path(path)
    is_other = os.path.exists(destination) and not os.path.isfile(destination)
    return is_other or _is_descriptor(path) or _names_folder(path)


def _names_folder(path: str) -> bool:
    return path.endswith((os.sep, os.altsep or os.sep))


def require_replaceable(path: str) -> None:
    """Raise the OSError that `replacing(path)` would end with, before work that takes long; nothing is left behind.

    Special files are not opened: the reader of a pipe would take that for all.
    """
    if not is_special(path):
        with contextlib.suppress(_OnlyAskedError), replacing(path):
            raise _OnlyAskedError
        _require_removable(path)
        return
    _refuse_no_file(path)
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def _refuse_no_file(path: str) -> None:
    """Raise the same OSError on all systems for a folder, there or not, and for no name."""
    if not path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if os.path.isdir(path) or _names_folder(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)


class _OnlyAskedError(Exception):
    """Ends a file before it replaces another."""


def _require_removable(path: str) -> None:
    """Raise OSError for a file that no other may take the place of, although its folder can be written to."""
    destination = os.path.realpath(path)
    with contextlib.suppress(FileNotFoundError):
        file, folder = os.stat(destination), os.stat(os.path.dirname(destination))
        if os.name == "nt":
            refused = 0 if file.st_mode & stat.S_IWRITE else errno.EACCES
        elif folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, file.st_uid, folder.st_uid):
            refused = errno.EPERM  # as in /tmp: a file of another user
        else:
            refused = errno.EBUSY if _is_mounted(destination) else 0
        if refused:
            raise OSError(refused, os.strerror(refused), path)


def _is_mounted(path: str) -> bool:
    """Whether this file is mounted by itself, as `docker run -v FILE` does it.

    os.path.ismount compares devices, and overlayfs gives files others than their folder's.
    """
    mounted = os.fsencode(path)
    for letter in (b"\\", b" ", b"\t", b"\n"):
        mounted = mounted.replace(letter, b"\\%03o" % ord(letter))
    try:
        with open("/proc/self/mountinfo", "rb") as mounts:
            return any(line.split()[4:5] == [mounted] for line in mounts)
    except OSError:  # no Linux
        return False


@contextmanager
def replacing_own(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """As `replacing`, for a file of a cache: nothing but the user's own regular file is replaced, no link is followed.

    The new file is private. Raises FileExistsError where something else is in its place.
    """
    with contextlib.suppress(FileNotFoundError):
        if not is_own(os.lstat(path)):
            raise FileExistsError(17, "there is something that is not this user's own regular file", os.fspath(path))
    with _renamed(os.fspath(path), PRIVATE) as file:
        yield file


def open_own(path: str | os.PathLike[str], flags: int = os.O_RDONLY) -> int:
    """A descriptor of the user's own regular file; never follows a link nor waits for a pipe. Raises OSError."""
    return _opened(path, own=True, flags=flags)


def read_regular(path: str | os.PathLike[str], limit_bytes: int) -> bytes:
    """A small file of a cache. Raises OSError for a link, a pipe, a folder, and more than `limit_bytes`."""
    with open(_opened(path, own=False), "rb") as file:
        found = file.read(limit_bytes + 1)
    if len(found) > limit_bytes:
        raise OSError(27, f"expected at most {limit_bytes:,} bytes", os.fspath(path))
    return found


def is_own(status: os.stat_result) -> bool:
    """Whether this is a regular file of this user that no group and nobody else may write to."""
    if not stat.S_ISREG(status.st_mode):
        return False
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & _SHARED_WRITE


def remove_dead_parts(folder: str | os.PathLike[str], name: str) -> None:
    """Delete the temporary files of writers that have died.

    name  a regular expression: of which files
    """
    is_part = re.compile(rf"\.{name}{_PART}").fullmatch
    with contextlib.suppress(OSError):
        for entry in filter(is_part, os.listdir(folder)):
            path = os.path.join(folder, entry)
            with contextlib.suppress(OSError):  # another's, or deleted meanwhile
                _unlink_if_dead(path)


@contextmanager
def _renamed(destination: str, mode: int) -> Iterator[IO[bytes]]:
    """A new file beside `destination`, renamed to it if the block succeeds, deleted otherwise."""
    folder, name = os.path.split(destination)
    remove_dead_parts(folder or ".", re.escape(name))
    temporary = ""
    try:
        while True:
            temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.part")
            with open(temporary, "x+b", opener=partial(os.open, mode=mode)) as file:
                if not _locked(file):
                    continue  # taken for a dead one before it was locked
                yield file
                file.flush()
                if os.name != "nt":  # while the lock is held: who looks for dead writers must not take it for one
                    _keep_mode(file, destination, mode)
                    os.replace(temporary, destination)
            break
        if os.name == "nt":  # where no open file can be renamed
            os.replace(temporary, destination)
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def real_path(path: str) -> str:
    """The absolute path, without links. Raises OSError that names it where it is relative to a deleted folder."""
    try:
        return os.path.realpath(path)
    except FileNotFoundError as error:  # of getcwd(), which names nothing
        raise FileNotFoundError(error.errno, "the current folder was deleted; change to another", path) from error


def _is_descriptor(path: str) -> bool:
    """Whether this is, or links to, an open file of a process: /dev/stdout, /dev/fd/1, /proc/self/fd/1."""
    for _ in range(40):  # links, as in Linux
        folder = os.path.realpath(os.path.dirname(path))
        if folder == "/dev/fd" or re.fullmatch(_DESCRIPTORS, folder):
            return os.path.exists(path)
        if not os.path.islink(path):
            return False
        path = os.path.join(folder, os.readlink(path))
    return False


def _keep_mode(file: IO[bytes], destination: str, mode: int) -> None:
    """A file that is replaced keeps its permissions, unless the new one is to be private."""
    if mode != PRIVATE:
        with contextlib.suppress(OSError):
            os.fchmod(file.fileno(), stat.S_IMODE(os.stat(destination).st_mode))


def _opened(path: str | os.PathLike[str], *, own: bool, flags: int = os.O_RDONLY) -> int:
    descriptor = os.open(path, flags | _NO_LINK | _NO_WAIT | _BINARY)
    try:
        status = os.fstat(descriptor)
        if not (is_own(status) if own else stat.S_ISREG(status.st_mode)):
            raise PermissionError(13, "not a regular file that this user alone may write", os.fspath(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _locked(file: IO[bytes]) -> bool:
    """Lock a new file for as long as it is open; False where it was deleted before that."""
    with contextlib.suppress(OSError, ImportError):
        _lock(file.fileno(), wait=True)
        return os.fstat(file.fileno()).st_nlink > 0
    return True


def _unlink_if_dead(path: str) -> None:
    """Delete a part that no writer holds."""
    descriptor = os.open(path, os.O_RDWR | _NO_LINK | _NO_WAIT | _BINARY)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return
        try:
            _lock(descriptor, wait=False)
        except BlockingIOError:
            return
        except (OSError, ImportError):
            if time.time() - status.st_mtime <= ABANDONED_S:
                return
        os.unlink(path)  # while it is locked: a writer that locks it next sees that it is gone
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> None:
    """Raises BlockingIOError where another holds it, ImportError or OSError where there are no such locks."""
    import fcntl

    locks: Any = fcntl  # mypy on Windows knows no names of it
    locks.flock(descriptor, locks.LOCK_EX | (0 if wait else locks.LOCK_NB))
