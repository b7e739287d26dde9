"""Resumable download of one file over HTTP (Transfer), by one process at a time (locked).

Nothing waits for ever: see `pace` for the limits of a download; who waits for another process gives up where that one
receives nothing.
"""

from __future__ import annotations

import http.client
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from npresnet.errors import CheckpointError
from npresnet.system.progress import progress_bar
from npresnet.system.signals import raise_signals
from npresnet.weights.pace import LEAST_BYTES_PER_S, Pace

TIMEOUT_S = 30.0
RETRIES = 5  # consecutive attempts that receive no byte
_MAX_ATTEMPTS = 200
PAUSE_S = 0.5  # before the first retry; doubled for each further one
_CHUNK_BYTES = 1 << 18
_MAX_BYTES = 4 << 30
_LOCK_POLL_S = 0.2
STALLED_S = 600.0  # longer than all attempts that receive no byte


class Transfer:
    """Download `url` to the file `part`, resuming an earlier attempt; `part.etag` stores the file's version."""

    def __init__(self, url: str, part: Path, *, progress: bool = True):
        self.url = url
        self.part = part
        self.etag_file = part.with_name(f"{part.name}.etag")
        self.progress = progress
        self.connected = False
        self._pace = Pace()

    def part_bytes(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def forget(self) -> None:
        """Remove the part (unless it was renamed) and its etag file."""
        for leftover in (self.part, self.etag_file):
            leftover.unlink(missing_ok=True)

    def run(self) -> None:
        """Download the missing bytes, retrying as long as attempts make progress, see `pace` for what is too slow.

        Raises ConnectionError if the server cannot be reached or refuses, OSError if the part cannot be written.
        """
        failures = 0
        for _ in range(_MAX_ATTEMPTS):
            before = self.part_bytes()
            self._pace.begin()
            problem = self._attempt()
            if problem is None:
                return
            failures = failures + 1 if self._pace.is_slow or self.part_bytes() <= before else 1
            if failures >= RETRIES or self._pace.is_over:
                break
            time.sleep(PAUSE_S * 2 ** (failures - 1))
        raise ConnectionError(problem)

    def _attempt(self) -> str | None:
        """One request. Returns None when the part is complete, or the reason of a failure worth retrying."""
        try:
            with self._open() as response:
                return self._receive(response)
        except urllib.error.HTTPError as error:
            return self._refused(error)
        except urllib.error.URLError as error:
            raise_signals(error)
            reason = str(getattr(error.reason, "strerror", None) or error.reason)
            if not self.connected:
                raise ConnectionError(reason) from error
            return reason
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            raise_signals(error)
            if self._pace.is_slow:
                return f"the connection is too slow: {error}, expected {LEAST_BYTES_PER_S:,} a second"
            return f"the connection broke: {str(error) or type(error).__name__}"
        except ValueError as error:  # an invalid address
            raise ConnectionError(str(error)) from error

    def _open(self) -> Any:
        headers = {"User-Agent": "npresnet", "Accept-Encoding": "identity"}
        have = self.part_bytes()
        if have:
            headers["Range"] = f"bytes={have}-"
            if self.etag_file.is_file():
                headers["If-Range"] = self.etag_file.read_text()
        return self._pace.open(urllib.request.Request(self.url, headers=headers), TIMEOUT_S)

    def _refused(self, error: urllib.error.HTTPError) -> str | None:
        if error.code == 416:  # range not satisfiable: the part is complete, or belongs to another version
            if error.headers.get("Content-Range") == f"bytes */{self.part_bytes()}":
                return None
            self.forget()
        elif error.code < 500 and error.code not in (408, 429):
            raise ConnectionError(f"the server answers {error.code} {error.reason}") from error
        return f"the server answers {error.code} {error.reason}"

    def _receive(self, response: Any) -> str | None:
        self.connected = True
        start, total = _extent(response, self.part_bytes())
        if total is not None and total > _MAX_BYTES:
            raise ValueError(f"the server announces {total:,} bytes, more than any weight file has")
        etag = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if start == 0:
            self.forget()
        if etag and not etag.startswith("W/"):  # weak tags do not guarantee equal bytes
            self.etag_file.write_text(etag)
        with open(self.part, "ab") as file:
            self._copy(response, file, start, total)
            size_bytes = file.tell()
        if total is not None and size_bytes < total:
            return f"the connection broke after {size_bytes:,} of {total:,} bytes"
        return None

    def _copy(self, response: Any, file: IO[bytes], start: int, total: int | None) -> None:
        name = self.part.name.removesuffix(".part")
        disable = None if self.progress else True  # None: only where stderr is a terminal
        left = (_MAX_BYTES if total is None else total) - start
        with progress_bar(desc=name, initial=start, total=total, unit="B", unit_scale=True, disable=disable) as bar:
            while left > 0 and (chunk := _read(response, min(_CHUNK_BYTES, left))):
                file.write(chunk)
                bar.update(len(chunk))
                left -= len(chunk)


def _read(response: Any, size_bytes: int) -> bytes:
    """Separate from writing, so that a network error is not reported as a disk error."""
    try:
        chunk: bytes = response.read(size_bytes)
    except OSError as error:
        raise ConnectionError(error.strerror or str(error)) from error
    return chunk


def _extent(response: Any, have: int) -> tuple[int, int | None]:
    """(position of the first byte that the server sends, total size of the file if known)."""
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not match or int(match[1]) != have:
            raise http.client.HTTPException("the server sent a different range than requested")
        return have, None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


@contextmanager
def locked(path: Path, part: Path) -> Iterator[None]:
    """Hold a lock file, waiting while another process holds it; the system releases it when a process ends.

    part  what the holder writes

    Raises CheckpointError where the holder has written nothing for STALLED_S: it may have been stopped.
    """
    with open(path, "a+b") as file:
        waiting = Waiting(path, part)
        while not _try_lock(file):
            waiting.look()
            time.sleep(_LOCK_POLL_S)
        yield


class Waiting:
    """Waiting for the holder of a lock file."""

    def __init__(self, lock: Path, part: Path):
        self._lock, self._part = lock, part
        self._seen: tuple[int, int] | None = None
        self._since_s: float | None = None

    def look(self) -> None:
        """Whether the holder goes on."""
        now_s = time.monotonic()
        if self._since_s is None:
            self._since_s = now_s
            print(f"npresnet: another process is downloading {self._lock.stem}; waiting for it", file=sys.stderr)
        seen = self._state()
        if seen != self._seen:
            self._seen, self._since_s = seen, now_s
        if now_s - self._since_s >= STALLED_S:
            raise CheckpointError(
                f"another process holds {self._lock} to download {self._lock.stem}, but has received nothing for "
                f"{STALLED_S:.0f} s; it may have been stopped. End it, or delete that file, and try again."
            )

    def _state(self) -> tuple[int, int] | None:
        try:
            found = self._part.stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns


def _try_lock(file: IO[bytes]) -> bool:
    """True if the lock was acquired, or if the file system does not support locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True
