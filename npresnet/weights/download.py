"""Download torchvision's published weights into a cache and verify them.

- Files are stored in npresnet's cache folder (NPRESNET_CACHE, or the user's cache folder of the system) under
  torchvision's name. A cached file was verified when it was downloaded.
- PyTorch's cache ($TORCH_HOME/hub/checkpoints) is used if it holds the file with the right hash.
- Data is written to `<file>.part`. After a broken connection the rest is requested (Range, with If-Range so that two
  versions are never mixed); if the server ignores the range, the download restarts.
- An unfinished download is resumed by the next run.
- The SHA-256 MUST start with the prefix in the file's name; otherwise the part is deleted. A verified part is renamed
  atomically.
- A lock file lets one process download while others wait.
- Only CheckpointError is raised; it says where to put the file by hand.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from npresnet.errors import CheckpointError
from npresnet.system.cache import CACHE_VARIABLE, cache_folder
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
    target = cache_folder() / weights.file
    found = _cached(weights, target)
    return found or _download(weights, target, progress=progress)


def _cached(weights: Weights, target: Path) -> Path | None:
    if target.is_file():
        return target
    torch_file = _torch_cache() / weights.file
    if torch_file.is_file() and _matches(torch_file, weights):
        return torch_file
    return None


def _torch_cache() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


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
        with locked(lock):
            if not target.is_file():  # another process may have downloaded it meanwhile
                _transfer_checked(Transfer(weights.url, part, progress=progress), weights, target)
        with contextlib.suppress(OSError):  # after the rename: a process still waiting for the lock then finds the file
            lock.unlink(missing_ok=True)
    except OSError as error:
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
        f"{weights.file} could not be downloaded from {weights.url} ({reason}); without a connection, save the file "
        f"as {target}, or pass the path of a local weight file."
    )


def _unknown(name: str) -> str:
    import difflib

    known = list(dict.fromkeys(weights.arch for weights in names.ALL))
    close = difflib.get_close_matches(name.lower(), [*known, *(weights.name for weights in names.ALL)], n=3)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return (
        f"no published weights are called {name!r}.{hint} Available: {', '.join(known)}; "
        "append .IMAGENET1K_V1 or .IMAGENET1K_V2 to select the training."
    )
