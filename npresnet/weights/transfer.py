"""Resumable download of one file over HTTP (Transfer), by one process at a time (locked)."""

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

TIMEOUT_S = 30.0
RETRIES = 5  # consecutive attempts that receive no byte
_MAX_ATTEMPTS = 200
PAUSE_S = 0.5  # before the first retry; doubled for each further one
_CHUNK_BYTES = 1 << 18
_MAX_BYTES = 4 << 30
_LOCK_POLL_S = 0.2


class Transfer:
    """Download `url` to the file `part`, resuming an earlier attempt; `part.etag` stores the file's version."""

    def __init__(self, url: str, part: Path, *, progress: bool = True):
        self.url = url
        self.part = part
        self.etag_file = part.with_name(f"{part.name}.etag")
        self.progress = progress
        self.connected = False

    def part_bytes(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def forget(self) -> None:
        """Remove the part (unless it was renamed) and its etag file."""
        for leftover in (self.part, self.etag_file):
            leftover.unlink(missing_ok=True)

    def run(self) -> None:
        """Download the missing bytes, retrying as long as attempts make progress.

        Raises ConnectionError if the server cannot be reached or refuses, OSError if the part cannot be written.
        """
        failures = 0
        for _ in range(_MAX_ATTEMPTS):
            before = self.part_bytes()
            problem = self._attempt()
            if problem is None:
                return
            failures = failures + 1 if self.part_bytes() <= before else 1
            if failures >= RETRIES:
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
            reason = str(getattr(error.reason, "strerror", None) or error.reason)
            if not self.connected:
                raise ConnectionError(reason) from error
            return reason
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
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
        return urllib.request.urlopen(urllib.request.Request(self.url, headers=headers), timeout=TIMEOUT_S)

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
        from tqdm import tqdm

        name = self.part.name.removesuffix(".part")
        disable = None if self.progress else True  # None: only where stderr is a terminal
        left = (_MAX_BYTES if total is None else total) - start
        with tqdm(desc=name, initial=start, total=total, unit="B", unit_scale=True, disable=disable) as bar:
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
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, waiting while another process holds it; the system releases it when a process ends."""
    with open(path, "a+b") as file:
        waiting = False
        while not _try_lock(file):
            if not waiting:
                print(f"npresnet: another process is downloading {path.stem}; waiting for it", file=sys.stderr)
            waiting = True
            time.sleep(_LOCK_POLL_S)
        yield


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
