"""Download torchvision's published weights into a cache and verify them.

- Files are stored in npresnet's cache folder (NPRESNET_CACHE, or the user's cache folder of the system) under
  torchvision's name. A cached file is verified once: when it was downloaded, or when it is first found there; a small
  file beside it (`.<file>.verified`) says of which size, time and inode. One that another process has written, or a
  user has put there, is verified again, and replaced if it is damaged.
- PyTorch's cache ($TORCH_HOME/hub/checkpoints) is used if it holds the file with the right hash.
- Data is written to `<file>.part`. After a broken connection the rest is requested (Range, with If-Range so that two
  versions are never mixed); if the server ignores the range, the download restarts.
- An unfinished download is resumed by the next run.
- The SHA-256 MUST start with the prefix in the file's name; otherwise the part is deleted. A verified part is renamed
  atomically.
- A lock file lets one process download while others wait. Neither takes for ever, see pace.py.
- Without a home folder NPRESNET_CACHE says where.
- Only CheckpointError is raised; it says where to put the file by hand.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from npresnet.errors import CheckpointError
from npresnet.system.cache import CACHE_VARIABLE, cache_folder
from npresnet.system.files import replacing
from npresnet.system.signals import raise_signals
from npresnet.weights import names
from npresnet.weights.checkpoint import sha256
from npresnet.weights.names import AKAMASTER, Weights, resolve

if TYPE_CHECKING:
    from npresnet.weights.transfer import Transfer

__all__ = ["AKAMASTER", "Weights", "cache_folder", "fetch", "resolve"]


def fetch(name: str, *, progress: bool = True) -> Path:
    """Path of the weight file called `name` (see `resolve`), downloaded if it is not cached.

    With `progress`, a progress bar is shown on stderr if that is a terminal. Raises CheckpointError if the name is
    unknown, the file cannot be downloaded, or its hash does not match.
    """
    weights = resolve(name)
    if weights is None:
        raise CheckpointError(_unknown(name))
    try:
        target = cache_folder() / weights.file
    except RuntimeError as error:  # no HOME and no entry for this user
        raise CheckpointError(
            f"there is no folder for {weights.file}, because this user has no home folder ({error}); set "
            f"{CACHE_VARIABLE} to a folder that can be written, or pass the path of a local weight file."
        ) from error
    found = _cached(weights, target)
    return found or _download(weights, target, progress=progress)


def _cached(weights: Weights, target: Path) -> Path | None:
    if _is_verified(weights, target):
        return target
    folder = _torch_cache()
    if folder is not None and (folder / weights.file).is_file() and _matches(folder / weights.file, weights):
        return folder / weights.file
    return None


def _torch_cache() -> Path | None:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    try:
        return Path(home).expanduser() / "hub" / "checkpoints"
    except RuntimeError:  # no home folder
        return None


_verified: set[str] = set()  # files by their marks, for caches that cannot be written


def _is_verified(weights: Weights, target: Path) -> bool:
    """Whether there is a whole file. Its hash is worked out unless this was done since it was last written."""
    if not target.is_file():
        return False
    mark = _mark(target)
    if mark in _verified or _marked(target) == mark:
        return True
    if not _matches(target, weights):
        return False
    _keep_mark(target)
    return True


def _mark(target: Path) -> str:
    found = target.stat()
    return f"{target.name} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def _mark_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.verified")


def _marked(target: Path) -> str | None:
    try:
        return _mark_file(target).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None


def _keep_mark(target: Path) -> None:
    mark = _mark(target)
    _verified.add(mark)
    with contextlib.suppress(OSError), replacing(str(_mark_file(target))) as file:
        file.write(mark.encode("ascii"))


def _matches(path: Path, weights: Weights) -> bool:
    try:
        return sha256(path).startswith(weights.sha256_prefix)
    except CheckpointError:
        return False


def _download(weights: Weights, target: Path, *, progress: bool) -> Path:
    from npresnet.weights.transfer import Transfer, locked

    part, lock = (target.with_name(f"{target.name}.{kind}") for kind in ("part", "lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock, part):
            if not _is_verified(weights, target):  # another process may have downloaded it meanwhile
                _transfer_checked(Transfer(weights.url, part, progress=progress), weights, target)
        with contextlib.suppress(OSError):  # after the rename: a process still waiting for the lock then finds the file
            lock.unlink(missing_ok=True)
    except OSError as error:
        raise_signals(error)
        raise CheckpointError(
            f"{weights.file} cannot be stored in {target.parent}: {error.strerror or error}. Free some space or "
            f"set {CACHE_VARIABLE} to a folder that can be written."
        ) from error
    return target


def _transfer_checked(transfer: Transfer, weights: Weights, target: Path) -> None:
    """Download, verify and rename the part. If a resumed part has the wrong hash, retry once from the start."""
    for _ in range(2):
        continued = transfer.part_bytes() > 0
        try:
            transfer.run()
        except ConnectionError as error:
            raise CheckpointError(_unreachable(weights, target, str(error))) from error
        if _matches(transfer.part, weights):
            os.replace(transfer.part, target)
            _keep_mark(target)
            transfer.forget()
            return
        problem = _mismatch(transfer.part, weights)
        transfer.forget()
        if not continued:
            break
    raise CheckpointError(problem)


def _mismatch(part: Path, weights: Weights) -> str:
    again = f"try again, or set {names.BASE_URL_VARIABLE} to a mirror"
    if part.stat().st_size == 0:
        return f"{weights.url} returned an empty file; {again}."
    with open(part, "rb") as file:
        is_page = file.read(64).lstrip().startswith((b"<", b"{"))
    what = "a web page or message, perhaps from a proxy" if is_page else "damaged in transit, or a different file"
    return (
        f"{weights.url} returned {part.stat().st_size:,} bytes whose SHA-256 begins with {sha256(part)[:8]} instead of "
        f"{weights.sha256_prefix}: {what}. It was deleted; {again}."
    )


def _unreachable(weights: Weights, target: Path, reason: str) -> str:
    return (
        f"{weights.file} could not be downloaded from {weights.url} ({reason}){_damaged(target)}; without a "
        f"connection, save the file as {target}, or pass the path of a local weight file."
    )


def _damaged(target: Path) -> str:
    return f", and the file in {target.parent} is damaged or incomplete" if target.is_file() else ""


def _unknown(name: str) -> str:
    import difflib

    known = list(dict.fromkeys(weights.arch for weights in names.ALL))
    close = difflib.get_close_matches(name.lower(), [*known, *(weights.name for weights in names.ALL)], n=3)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return (
        f"no published weights are called {name!r}.{hint} Available: {', '.join(known)}; "
        "append .IMAGENET1K_V1 or .IMAGENET1K_V2 to select the training."
    )
