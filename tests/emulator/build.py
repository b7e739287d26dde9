"""Turns a CUDA source's text into a library for this CPU, with g++, once for each text."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OPTIONS = "-std=c++17 -O2 -march=native -fPIC -pthread -w -fno-strict-aliasing -fno-stack-protector".split()
OPTIONS.append("-U_FORTIFY_SOURCE")  # its longjmp takes a jump from a fiber's stack for an attack
OPTIONS.append("-fno-gnu-unique")  # else libraries share inline thread_local variables: one's __shared__ is another's
CHECKS, MORE_CHECKS = "-fsanitize=bounds", "-fsanitize=bounds,alignment"  # the second takes twice as long to compile


class EmulatorError(Exception):
    """A kernel did what CUDA forbids, or its source cannot be built or found."""


def compiler() -> str | None:
    """The path of g++, or None."""
    return shutil.which(os.environ.get("CXX", "g++"))


@functools.cache
def headers_and_compiler() -> bytes:
    """What, besides the text, a library depends on: the emulator's headers, the compiler, the CPU's instructions."""
    path = compiler()
    if path is None:
        raise EmulatorError("the emulator needs the compiler g++, which was not found; set CXX or install it")
    macros = subprocess.run(
        [path, *OPTIONS, "-dM", "-E", "-x", "c++", os.devnull], capture_output=True, check=True
    ).stdout
    options = " ".join(OPTIONS).encode()
    return options + macros + b"".join(header.read_bytes() for header in sorted(HERE.glob("*.h")))


def folder() -> Path:
    """Where libraries are kept, this user's own."""
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    path = Path(tempfile.gettempdir()) / f"npresnet-emulator-{owner}"
    path.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
        raise EmulatorError(f"{path} belongs to somebody else, whose libraries are not to be loaded; set TMPDIR")
    return path


@functools.cache
def build(
    text: str, defines: tuple[tuple[str, str], ...], architecture: int, check_alignment: bool = False
) -> ctypes.CDLL:
    """The library of a source. Several processes may build the same one: each moves a finished file into place."""
    macros = [MORE_CHECKS if check_alignment else CHECKS, *(f"-D{name}={value}" for name, value in defines)]
    macros.append(f"-D__CUDA_ARCH__={architecture * 10}")
    if architecture == 90:
        macros.append("-D__CUDA_ARCH_FEAT_SM90_ALL=1")
    key = hashlib.sha256(b"\0".join([headers_and_compiler(), " ".join(macros).encode(), text.encode()])).hexdigest()
    library = folder() / f"{key[:32]}.so"
    if not library.exists():
        _compile(text, macros, library)
    return ctypes.CDLL(str(library))


def _compile(text: str, macros: list[str], library: Path) -> None:
    """Builds under a name of its own beside `library`, then renames."""
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        source, compiled, linked = (Path(scratch) / f"kernel.{suffix}" for suffix in ("cu", "o", "so"))
        source.write_text(text, encoding="utf-8")
        include = ["-include", str(HERE / "emulator.h")]
        # linked apart, without -fsanitize: what it calls is in sanitizer.h and not in g++'s own library
        _gxx(*OPTIONS, *macros, *include, "-x", "c++", "-c", str(source), "-o", str(compiled))
        _gxx("-shared", "-pthread", str(compiled), "-o", str(linked))
        os.replace(linked, library)


def _gxx(*arguments: str) -> None:
    """Runs the compiler. Raises EmulatorError with what it says."""
    done = subprocess.run([str(compiler()), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EmulatorError("g++ does not accept the source:\n" + done.stderr[:6000])
