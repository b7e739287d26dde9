"""Compiled kernels, kept: a source and a device's capability in, the path of a module that the driver loads out.

    <user's cache>/cuda/<key>-<check>.cubin        .ptx for a device newer than NVRTC

- The key is a hash of all that the machine code depends on: the source with its includes, its macros, the architecture,
  NVRTC and its options. The check is a hash of the module itself: a file that was cut off or changed has another, and
  is compiled again.
- A file gets its name when it is whole (`replacing`), so processes may write and read at the same time; two that want
  the same module at once both compile it, and either's will do. Threads of one process wait for each other.
- All files together hold at most LIMIT_BYTES: those used least recently go. On POSIX only the user's own are taken,
  for a module is run.
- Where the cache cannot be written, modules live in a temporary folder as long as the process does.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from npresnet.cuda.launch import Source
from npresnet.cuda.runtime import nvrtc, source
from npresnet.cuda.runtime.nvrtc import Nvrtc
from npresnet.errors import DeviceError
from npresnet.system.cache import CACHE_VARIABLE, cache_folder
from npresnet.system.files import replacing
from npresnet.system.threads import TaskPool

FORMAT = 1  # raise it with any change of what is compiled that the key does not contain
LIMIT_BYTES = 256 << 20
ABANDONED_S = 3600  # a partial file that has not been written to for so long
OLDEST = 75  # the first capability with tensor cores for every shape that we use
HOPPER = 90

_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def module_path(wanted: Source, capability: int, major: int | None = None) -> Path:
    """The cubin (or PTX) of a source for a device, compiled now unless it was before.

    capability  86 for 8.6
    major       12 or 13: CuPy's CUDA; None: the newest NVRTC there is

    Raises DeviceError: no NVRTC, too old a device, a source that does not compile, nowhere to write.
    """
    compiler = nvrtc.open_nvrtc(major)
    target = architecture(capability, compiler.architectures)
    text = source.read(wanted.file)
    key = _key(text, wanted, target, compiler)
    with _locks[key]:
        return _kept(key) or _keep(key, _module(compiler, text, wanted, target), target)


def module_paths(wanted: Iterable[Source], capability: int, major: int | None = None) -> dict[Source, Path]:
    """`module_path` of many sources; what has to be compiled is compiled by several threads at once."""
    different = list(dict.fromkeys(wanted))
    with TaskPool(os.cpu_count() or 1, "npresnet-compile") as pool:
        tasks = {one: pool.submit(partial(module_path, one, capability, major)) for one in different}
        return {one: task.result() for one, task in tasks.items()}


def architecture(capability: int, supported: tuple[int, ...]) -> str:
    """What to compile for, of what an NVRTC supports: "sm_86".

    Machine code runs on later devices of the same major number, PTX on all later ones. A Hopper's wgmma is its own
    alone: sm_90a. Raises DeviceError for a device that is too old.
    """
    known = [one for one in supported if OLDEST <= one <= capability]
    if not known:
        raise DeviceError(
            f"this GPU has compute capability {capability / 10:.1f}; npresnet's kernels need {OLDEST / 10:.1f} or "
            f'later (Turing). device="cpu" runs anywhere'
        )
    best = max(known)
    if best == HOPPER == capability:
        return "sm_90a"
    return f"sm_{best}" if best // 10 == capability // 10 else f"compute_{best}"


def folder() -> Path:
    """Where modules are kept, beside downloads. Raises RuntimeError for a user without a home."""
    return cache_folder() / "cuda"


def _module(compiler: Nvrtc, text: str, wanted: Source, target: str) -> bytes:
    compiled = compiler.compile(text, wanted.file, target, wanted.defines)
    return compiled.cubin or compiled.ptx


def _key(text: str, wanted: Source, target: str, compiler: Nvrtc) -> str:
    described = [FORMAT, text, wanted.file, wanted.defines, target, compiler.identity, nvrtc.OPTIONS]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:32]


def _check(module: bytes) -> str:
    return hashlib.sha256(module).hexdigest()[:32]


def _kept(key: str) -> Path | None:
    """The module's file, if there is one and it is whole; a broken one is removed."""
    for place in _places():
        with contextlib.suppress(OSError):  # another process deletes too
            for path in place.glob(f"{key}-*"):
                if _is_ours(path) and _check(path.read_bytes()) == path.stem.partition("-")[2]:
                    os.utime(path)  # used just now
                    return path
                path.unlink()
    return None


def _keep(key: str, module: bytes, target: str) -> Path:
    """Write a module to the cache, or else to the temporary folder."""
    name = f"{key}-{_check(module)}{'.ptx' if target.startswith('compute_') else '.cubin'}"
    try:
        place = folder()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_room(place, len(module))
        return _write(place / name, module)
    except (OSError, RuntimeError) as error:
        _warn_once(getattr(error, "strerror", None) or str(error))
    try:
        return _write(_temporary() / name, module)
    except OSError as error:
        raise DeviceError(f"compiled CUDA kernels can be written neither to the cache nor to {error}") from error


def _write(path: Path, module: bytes) -> Path:
    with replacing(str(path)) as file:
        file.write(module)
    return path


def _places() -> list[Path]:
    places = [_temporary()] if _temporary.cache_info().currsize else []
    with contextlib.suppress(RuntimeError):
        places.insert(0, folder())
    return places


@functools.cache
def _temporary() -> Path:
    """A folder that goes with the process."""
    made = tempfile.mkdtemp(prefix="npresnet-cuda-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


@functools.cache
def _warn_once(problem: str) -> None:
    print(
        f"npresnet: compiled CUDA kernels cannot be kept ({problem}), so every start compiles them again; "
        f"{CACHE_VARIABLE} may name another folder",
        file=sys.stderr,
    )


def _is_ours(path: Path) -> bool:
    status = path.stat()
    return stat.S_ISREG(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())


def _make_room(place: Path, size_bytes: int) -> None:
    """Delete what was used least recently until `size_bytes` more fit, and what dead processes left half written."""
    kept = []
    for path in place.iterdir():
        with contextlib.suppress(OSError):
            status = path.stat()
            if path.suffix == ".part" and time.time() - status.st_mtime > ABANDONED_S:
                path.unlink()
            elif path.suffix in (".cubin", ".ptx"):
                kept.append((status.st_mtime_ns, status.st_size, path))
    for _, module_bytes, path in sorted(kept, reverse=True):
        size_bytes += module_bytes
        if size_bytes > LIMIT_BYTES:
            with contextlib.suppress(OSError):  # on Windows a file that is in use stays
                path.unlink()
