"""Runs launches of CUDA kernels on the CPU, on the host's own memory: an address is `array.ctypes.data`."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

import numpy as np
import pytest

from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.runtime import source as sources
from npresnet.cuda.runtime.tensor_map import TensorMap
from npresnet.network import Array
from tests.emulator import tensor_map
from tests.emulator.build import EmulatorError, build, compiler, headers_and_compiler

__all__ = ["EVERY_WAY", "EmulatorError", "needed", "run"]

# `pytestmark = emulator.needed`
needed = pytest.mark.skipif(compiler() is None, reason="no C++ compiler: the emulator of CUDA kernels needs g++")

if compiler() is not None:
    headers_and_compiler()  # asked once, before tests fork

# what a kernel must not depend on: keywords of `run`
EVERY_WAY = [
    {"copies": copies, "schedule": schedule}
    for copies in ("lazy", "eager")
    for schedule in ("ascending", "descending", "random:7")
]

ORDERS = {"ascending": 0, "descending": 1, "random": 2}
Edits = tuple[tuple[str, str], ...]


class Call(ctypes.Structure):
    """One launch, as kernel.h takes it."""

    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("lazy", ctypes.c_int),
        ("order", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("planted", ctypes.c_int),
        ("pdl", ctypes.c_int),
        ("cpu_threads", ctypes.c_int),
        ("argument_count", ctypes.c_int),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
        ("argument_bytes", ctypes.POINTER(ctypes.c_uint)),
        ("argument_kinds", ctypes.c_char_p),
    ]


def run(
    launches: Iterable[Launch],
    *,
    copies: str = "lazy",
    schedule: str = "ascending",
    threads: int = 1,
    architecture: int = 90,
    check_alignment: bool = False,
    source: str | None = None,
    edits: Edits = (),
    planted: int = 0,
) -> None:
    """Runs `launches` one after the other.

    copies           asynchronous copies and wgmma happen as late as they may ("lazy") or at once ("eager")
    schedule         which warp goes first: "ascending", "descending", "random:7" (the seed)
    threads          of the CPU, each with its own blocks
    architecture     80: the source is compiled for sm_80; 90 means sm_90a
    check_alignment  of plain loads and stores as well, such as float4's; compiles and runs slower
    source           the text to use instead of each launch's file
    edits            ((old, new), ...): made to the flattened text, each `old` must be there exactly once
    planted          the number for which PLANTED(number) is true in an edited text, see tests/cuda/faults.py

    Raises EmulatorError: which kernel, which block and thread, what it did.
    """
    for launch in launches:
        text = edited(sources.read(launch.source.file) if source is None else source, edits)
        library = build(text, launch.source.defines, architecture, check_alignment)
        try:
            function = getattr(library, f"{launch.kernel}__launch")
        except AttributeError:
            raise EmulatorError(f"{launch.source.file} exports no {launch.kernel}: KERNEL({launch.kernel})?") from None
        _call(function, launch, copies, schedule, threads, planted)


def parameters(source: Source, kernel: str, architecture: int = 90) -> list[np.dtype]:
    """What a kernel takes, in order: unsigned, signed and floating numbers, and bytes for a struct."""
    library = build(sources.read(source.file), source.defines, architecture)
    sizes, kinds = (ctypes.c_uint * 64)(), ctypes.create_string_buffer(64)
    count = getattr(library, f"{kernel}__parameters")(sizes, kinds)
    return [np.dtype(f"{kinds.raw[i : i + 1].decode()}{sizes[i]}") for i in range(count)]


def edited(text: str, edits: Edits) -> str:
    """`text` with each (old, new) made. Raises EmulatorError unless each `old` is there exactly once."""
    for old, new in edits:
        if text.count(old) != 1:
            raise EmulatorError(f"{old!r} is {text.count(old)} times in the source, not once")
        text = text.replace(old, new)
    return text


def _bytes_of(argument: object) -> Array:
    """A launch's argument as an array of one item."""
    if isinstance(argument, TensorMap):
        argument = tensor_map.pack(argument)
    return np.ascontiguousarray(argument)


def _call(function: ctypes._CFuncPtr, launch: Launch, copies: str, schedule: str, threads: int, planted: int) -> None:
    """One launch. Its arguments become addresses of their bytes."""
    values = [_bytes_of(value) for value in launch.args]
    order, _, seed = schedule.partition(":")
    if copies not in ("lazy", "eager") or order not in ORDERS:
        raise ValueError(f"copies={copies!r}, schedule={schedule!r}: see emulator.run")
    count = len(values)
    call = Call(
        grid=(ctypes.c_uint * 3)(*launch.grid),
        block=(ctypes.c_uint * 3)(*launch.block),
        shared_bytes=launch.shared_bytes,
        lazy=copies == "lazy",
        order=ORDERS[order],
        seed=int(seed or 0),
        planted=planted,
        pdl=launch.pdl,
        cpu_threads=threads,
        argument_count=count,
        arguments=(ctypes.c_void_p * count)(*(value.ctypes.data for value in values)),
        argument_bytes=(ctypes.c_uint * count)(*(value.nbytes for value in values)),
        argument_kinds="".join(value.dtype.kind for value in values).encode(),
    )
    message = ctypes.create_string_buffer(1024)
    if function(ctypes.byref(call), message, ctypes.c_size_t(len(message))):
        raise EmulatorError(f"{launch.kernel}: {message.value.decode(errors='replace')}")
