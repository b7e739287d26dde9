"""Fetch torchvision's published weights: once, whole, and checked.

- A file lies in npresnet's cache folder (NPRESNET_CACHE, or the user's cache folder of this system) under
  torchvision's name. What is there was checked when it came.
- PyTorch's own cache ($TORCH_HOME/hub/checkpoints) is used where it holds the file and the hash fits.
- Bytes arrive in `<file>.part`. Where a connection is cut, the rest is asked for (Range, with If-Range so that a
  changed file is not spliced); a server that ignores this sends all, and the part starts again.
- What a run leaves unfinished, the next run continues.
- The SHA-256 MUST begin as the file's name says; otherwise the part is deleted. Then it gets its name, in one step.
- A lock lets one process fetch a file while others wait for it.
- Only CheckpointError is raised, and it says where to put the file by hand.
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
from npresnet.weights.names import Weights, resolve

if TYPE_CHECKING:
    from npresnet.weights.transfer import Transfer

__all__ = ["Weights", "cache_folder", "fetch", "resolve"]


def fetch(name: str, *, progress: bool = True) -> Path:
    """The weight file that a name means, downloaded if it is not yet there; `resolve` tells the names.

    With `progress` a bar shows on stderr if that is a terminal. Raises CheckpointError for an unknown name, where the
    file cannot be reached, and where what comes is not what the name says.
    """
    weights = resolve(name)
    if weights is None:
        raise CheckpointError(_unknown(name))
    target = cache_folder() / weights.file
    found = _already_here(weights, target)
    return found or _download(weights, target, progress=progress)


def _already_here(weights: Weights, target: Path) -> Path | None:
    if target.is_file():
        return target
    theirs = _torch_cache() / weights.file
    if theirs.is_file() and _fits(theirs, weights):
        return theirs
    return None


def _torch_cache() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def _fits(path: Path, weights: Weights) -> bool:
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
            if not target.is_file():  # another process may have brought it while we waited
                _transfer_checked(Transfer(weights.url, part, progress=progress), weights, target)
        with contextlib.suppress(OSError):  # only now: whoever still waits for this lock will find the file
            lock.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"{weights.file} cannot be stored in {target.parent}: {error.strerror or error}. Free some space or "
            f"set {CACHE_VARIABLE} to a folder that can be written."
        ) from error
    return target


def _transfer_checked(transfer: Transfer, weights: Weights, target: Path) -> None:
    """Fetch the part, check it, name it. A continued part that does not fit gets a second chance, from the start."""
    for _ in range(2):
        continued = transfer.part_bytes() > 0
        try:
            transfer.run()
        except ConnectionError as error:
            raise CheckpointError(_unreachable(weights, target, str(error))) from error
        if _fits(transfer.part, weights):
            os.replace(transfer.part, target)
            transfer.forget()
            return
        problem = _misfit(transfer.part, weights)
        transfer.forget()
        if not continued:
            break
    raise CheckpointError(problem)


def _misfit(part: Path, weights: Weights) -> str:
    again = f"try again, or set {names.BASE_URL_VARIABLE} to a mirror"
    if part.stat().st_size == 0:
        return f"{weights.url} gave an empty file; {again}."
    with open(part, "rb") as file:
        is_page = file.read(64).lstrip().startswith((b"<", b"{"))
    what = "a web page or message, perhaps of a proxy" if is_page else "damaged on the way, or another file"
    return (
        f"{weights.url} gave {part.stat().st_size:,} bytes whose SHA-256 begins with {sha256(part)[:8]} instead of "
        f"{weights.sha256_prefix}: {what}. It was deleted; {again}."
    )


def _unreachable(weights: Weights, target: Path, reason: str) -> str:
    return (
        f"{weights.file} could not be downloaded from {weights.url} ({reason}); without a connection, put the file "
        f"there by hand as {target}, or give the path of weights that you have."
    )


def _unknown(name: str) -> str:
    import difflib

    known = list(dict.fromkeys(weights.arch for weights in names.ALL))
    close = difflib.get_close_matches(name.lower(), [*known, *(weights.name for weights in names.ALL)], n=3)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return (
        f"no published weights are called {name!r}.{hint} There are {', '.join(known)}; "
        ".IMAGENET1K_V1 or .IMAGENET1K_V2 after a name tells the training."
    )
