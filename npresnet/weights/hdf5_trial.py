"""A trial reading of an HDF5 file by a process of its own, which ends where a file keeps the HDF5 library busy.

The library trusts a file's structure: a few changed bytes keep it busy for ever, or make it ask for gigabytes, and
nothing in this process could stop that. So the file is first read in a child whose CPU time and memory are limited.
What the child refuses is refused here, and what it reads within the limits will be read so here, too.

Where no child can be started (a frozen program, no more processes) the file is read without a trial. Memory is limited
on systems that have RLIMIT_AS, CPU time where there is RLIMIT_CPU.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

from npresnet.errors import CheckpointError, NpresnetError
from npresnet.system.interpreter import interpreter
from npresnet.weights.source import Source, Span

TRIAL_S, TRIAL_BYTES = 2, 300_000_000  # of CPU time and of memory, for a file of no size
S_PER_MB, BYTES_PER_BYTE = 0.1, 20  # and for each megabyte, or byte, of it
PATIENCE = 20  # wall time for each second of CPU time, on a busy machine
_READ, _REFUSED, _MEMORY = 0, 3, 4  # exit codes
_PROGRAM = "import sys; sys.path[:] = {path!r}; from npresnet.weights.hdf5_trial import main; sys.exit(main())"


def try_reading(source: Source, span: Span | None) -> bool:
    """Raise CheckpointError unless a child reads the file, or the part of it, within the limits.

    span  as for `read_hdf5`

    Returns whether a child could be started.
    """
    is_file = span is None and not source.in_memory
    part = source.span if span is None else span
    seconds, memory_bytes = limits(part.size_bytes)
    words = [str(seconds), str(memory_bytes), os.path.abspath(source.path) if is_file else "-"]
    try:
        command = [interpreter(), "-c", _PROGRAM.format(path=[os.path.abspath(entry) for entry in sys.path]), *words]
        done = subprocess.run(
            command,
            input=b"" if is_file else bytes(part.read()),
            capture_output=True,
            timeout=PATIENCE * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CheckpointError(_too_much(seconds, memory_bytes)) from None
    except (OSError, NpresnetError):  # no child
        return False
    if done.returncode == _REFUSED:
        raise CheckpointError(done.stdout.decode("utf-8", "replace"))
    if done.returncode < 0 or done.returncode == _MEMORY:
        raise CheckpointError(_too_much(seconds, memory_bytes))
    return True


def limits(size_bytes: int) -> tuple[int, int]:
    """Seconds of CPU time and bytes of memory that reading a file of this size may take, beyond the library's start."""
    return TRIAL_S + int(S_PER_MB * size_bytes / 1e6), TRIAL_BYTES + BYTES_PER_BYTE * size_bytes


def _too_much(seconds: int, memory_bytes: int) -> str:
    return (
        f"in a trial the HDF5 library needed more than {seconds} s or {memory_bytes / 1e6:,.0f} MB for this file, "
        "which is damaged or hostile; save it again with Keras."
    )


def main() -> int:
    """In the child: read the file that the arguments name, `-` for stdin, as `read_hdf5` does."""
    from npresnet.weights import hdf5
    from npresnet.weights.budget import Budget
    from npresnet.weights.source import open_source

    seconds, memory_bytes, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    try:
        if path == "-":
            raw = sys.stdin.buffer.read()
            source = Source("-", Span(raw, 0, len(raw)), Budget(len(raw)), in_memory=True)
        else:
            source = open_source(path)
        h5py = hdf5.opened_h5py()
        _limit(seconds, memory_bytes)
        hdf5.read_variables(h5py, source, None, None)
    except CheckpointError as error:
        sys.stdout.buffer.write(str(error).encode("utf-8", "replace"))
        return _REFUSED
    except MemoryError:
        return _MEMORY
    return _READ


def _limit(seconds: int, memory_bytes: int) -> None:
    """Limit this process's CPU time and address space from here on, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock alone
        return
    used_s = int(time.process_time()) + 1
    _lower(resource.RLIMIT_CPU, used_s + seconds)
    with contextlib.suppress(OSError), open("/proc/self/statm") as file:
        used_bytes = int(file.read().split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, used_bytes + memory_bytes)


def _lower(which: int, limit: int) -> None:
    """Never above a limit that this process has already."""
    import resource

    now = resource.getrlimit(which)[0]
    least = limit if now == resource.RLIM_INFINITY else min(limit, now)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(which, (least, resource.getrlimit(which)[1]))
