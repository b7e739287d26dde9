"""NVRTC through ctypes: CUDA source in, a cubin or PTX out. Neither CuPy nor a driver nor a GPU is needed.

NVRTC finds no header at all, ours come without any: see npresnet/cuda/runtime/source.py.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Sequence
from typing import NamedTuple

from npresnet.cuda.runtime.compile_log import CompileLog, Usage, parse_log
from npresnet.cuda.runtime.nvrtc_library import load_any
from npresnet.errors import DeviceError

__all__ = ["CompileLog", "Compiled", "Nvrtc", "Usage", "compile", "open_nvrtc", "parse_log", "version"]

OPTIONS = (
    "-std=c++17",
    "--ptxas-options=-v",  # registers and spills, in the log
)
Defines = Sequence[tuple[str, str]]


class Compiled(NamedTuple):
    """What NVRTC made of one source.

    cubin  machine code for one architecture; empty where a virtual one (compute_XX) was asked for
    ptx    the code for any later architecture, which the driver compiles
    log    warnings, and what ptxas says: `parse_log` reads it
    """

    cubin: bytes
    ptx: bytes
    log: str


class Nvrtc:
    """One loaded NVRTC; several may live in a process.

    path           where it was loaded from
    version        (major, minor)
    architectures  the compute capabilities that it knows, 86 for 8.6, ascending
    """

    def __init__(self, library: ctypes.CDLL, path: str):
        self._library = library
        self.path = path
        major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self._check(library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        self.version = (major.value, minor.value)
        self._check(library.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
        supported = (ctypes.c_int * count.value)()
        self._check(library.nvrtcGetSupportedArchs(supported))
        self.architectures = tuple(sorted(supported))

    @property
    def identity(self) -> str:
        """Which compiler this is, as far as its machine code goes: the version, and the file's size, for NVRTC does
        not tell 12.9.41 from 12.9.86."""
        size_bytes = os.path.getsize(self.path) if os.path.isfile(self.path) else 0
        return f"{self.version[0]}.{self.version[1]}, {size_bytes} bytes"

    def __repr__(self) -> str:
        return f"<NVRTC {self.version[0]}.{self.version[1]} {self.path}>"

    def compile(self, text: str, name: str, architecture: str, defines: Defines = ()) -> Compiled:
        """Compile a source that includes nothing.

        name          what messages call it, "conv2d/mma.cu"
        architecture  "sm_80", "sm_90a", or "compute_90" for PTX alone
        defines       (("ELEMENT", "FLOAT16"), ...)

        Raises DeviceError with the compiler's own words.
        """
        program = ctypes.c_void_p()
        self._check(
            self._library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None)
        )
        try:
            options = (f"-arch={architecture}", *OPTIONS, *(f"-D{macro}={value}" for macro, value in defines))
            encoded = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            status = self._library.nvrtcCompileProgram(program, len(options), encoded)
            log = self._read(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
            if status:
                raise DeviceError(_refusal(self, name, architecture, defines, log or self._words(status)))
            virtual = architecture.startswith("compute_")
            cubin = b"" if virtual else self._read(program, "CUBIN")
            return Compiled(cubin, self._read(program, "PTX").rstrip(b"\0"), log)
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        """One of the program's results: nvrtcGetCUBINSize says how long it is, nvrtcGetCUBIN gives it."""
        size_bytes = ctypes.c_size_t()
        self._check(getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size_bytes)))
        buffer = ctypes.create_string_buffer(size_bytes.value)
        self._check(getattr(self._library, f"nvrtcGet{what}")(program, buffer))
        return buffer.raw

    def _check(self, status: int) -> None:
        if status:
            raise DeviceError(f"NVRTC ({self.path}) fails: {self._words(status)}")

    def _words(self, status: int) -> str:
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        words: bytes = self._library.nvrtcGetErrorString(status) or b"unknown error"
        return f"{words.decode()} ({status})"


@functools.cache
def open_nvrtc(major: int | None = None) -> Nvrtc:
    """The NVRTC of this CUDA (12, 13: CuPy's), or the newest there is. Raises DeviceError where there is none."""
    return Nvrtc(*load_any(major))


def compile(text: str, name: str, architecture: str, defines: Defines = (), *, major: int | None = None) -> Compiled:
    """`Nvrtc.compile` with the installed NVRTC."""
    return open_nvrtc(major).compile(text, name, architecture, defines)


def version(major: int | None = None) -> tuple[int, int]:
    """(12, 9)"""
    return open_nvrtc(major).version


def _refusal(nvrtc: Nvrtc, name: str, architecture: str, defines: Defines, words: str) -> str:
    macros = "".join(f", {macro}={value}" for macro, value in defines)
    return f"{name} ({architecture}{macros}) does not compile with {nvrtc!r}:\n{words.strip()}"
