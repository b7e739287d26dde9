"""Turns a CUDA source's text into a library for this CPU, with g++, once for each text."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support import programs

EMULATED = (75, 80, 90)
HERE = Path(__file__).resolve().parent
OPTIONS = "-std=c++17 -O1 -march=native -fPIC -pthread -w -fno-strict-aliasing -fno-stack-protector".split()
OPTIONS.append("-U_FORTIFY_SOURCE")  # its longjmp takes a jump from a fiber's stack for an attack
OPTIONS.append("-fno-gnu-unique")  # else libraries share inline thread_local variables: one's __shared__ is another's
MACHINE_OPTIONS = ["-O2" if option == "-O1" else option for option in OPTIONS]
# every store calls a function of async_proxy.h, in texts for Hopper's units: common/hopper.cuh is in them
STORES = "-fsanitize=kernel-address --param=asan-instrumentation-with-call-threshold=0 --param=asan-stack=0".split()
STORES += "--param=asan-globals=0 --param=asan-instrument-reads=0".split()
HOPPERS_UNITS = "wgmma_fence"
CHECKS, MORE_CHECKS = "-fsanitize=bounds", "-fsanitize=bounds,alignment"  # the second takes twice as long to compile


class EmulatorError(Exception):
    """A kernel did what CUDA forbids, or its source cannot be built or found."""


def compiler() -> str | None:
    """The path of g++, or None."""
    return shutil.which(os.environ.get("CXX", "g++"))


@functools.cache
def headers_and_compiler() -> bytes:
    """What, besides the text, a library depends on: the emulator, the compiler, the CPU's instructions."""
    path = compiler()
    if path is None:
        raise EmulatorError("the emulator needs the compiler g++, which was not found; set CXX or install it")
    macros = subprocess.run(
        [path, *OPTIONS, "-dM", "-E", "-x", "c++", os.devnull], capture_output=True, check=True
    ).stdout
    options = " ".join([*OPTIONS, *MACHINE_OPTIONS]).encode()
    return options + macros + b"".join(path.read_bytes() for path in [HERE / "machine.cpp", *sorted(HERE.glob("*.h"))])


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
    """The library of a source. Several processes may build the same one: each moves a finished file into place.

    One library serves all elements and architectures for which the text is the same program.
    """
    defines = tuple(
        (name, programs.same_element(text, value) if name == "ELEMENT" else value) for name, value in defines
    )
    architecture = same_architecture(text, architecture)
    macros = [MORE_CHECKS if check_alignment else CHECKS, *(f"-D{name}={value}" for name, value in defines)]
    macros.append(f"-D__CUDA_ARCH__={architecture * 10}")
    if architecture == 90:
        macros.append("-D__CUDA_ARCH_FEAT_SM90_ALL=1")
        macros += STORES if HOPPERS_UNITS in text else []
    key = hashlib.sha256(b"\0".join([headers_and_compiler(), " ".join(macros).encode(), text.encode()])).hexdigest()
    library = folder() / f"{key[:32]}.so"
    machine = build_machine(folder())
    if not library.exists():
        _compile(text, macros, library, machine)
    return ctypes.CDLL(str(library))


def same_architecture(text: str, architecture: int) -> int:
    """The newest of those that tests emulate for which a text, and the emulator's headers, are the same program."""

    def tests_passed(other: int) -> tuple:
        return tuple(programs.tests_passed(one, other, other == 90) for one in (text, _headers()))

    return max(other for other in {architecture, *EMULATED} if tests_passed(other) == tests_passed(architecture))


@functools.cache
def _headers() -> str:
    return "\n".join(header.read_text(encoding="utf-8") for header in sorted(HERE.glob("*.h")))


def _compile(text: str, macros: list[str], library: Path, machine: Path) -> None:
    """Builds under a name of its own beside `library`, then renames."""
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        source, compiled, linked = (Path(scratch) / f"kernel.{suffix}" for suffix in ("cu", "o", "so"))
        source.write_text(text, encoding="utf-8")
        include = ["-include", str(HERE / "emulator.h")]
        # linked apart, without -fsanitize: what it calls is in sanitizer.h and not in g++'s own library
        _gxx(*OPTIONS, *macros, *include, "-x", "c++", "-c", str(source), "-o", str(compiled))
        _gxx("-shared", "-pthread", str(compiled), str(machine), "-o", str(linked))
        os.replace(linked, library)


@functools.cache
def build_machine(place: Path) -> Path:
    """The library that runs kernels: whatever does not depend on a kernel's text is compiled once and is in it."""
    library = place / f"{hashlib.sha256(headers_and_compiler()).hexdigest()[:32]}.machine.so"
    if not library.exists():
        _forget_old_files()
        with tempfile.TemporaryDirectory(dir=place) as scratch:
            linked = Path(scratch) / "machine.so"
            _gxx(*MACHINE_OPTIONS, "-shared", str(HERE / "machine.cpp"), "-o", str(linked))
            os.replace(linked, library)
    return library


def _forget_old_files(days: float = 7.0) -> None:
    """What no run has made for a week is of sources that have changed since."""
    for path in folder().iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - days * 86_400:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _gxx(*arguments: str) -> None:
    """Runs the compiler. Raises EmulatorError with what it says."""
    done = subprocess.run([str(compiler()), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EmulatorError("g++ does not accept the source:\n" + done.stderr[:6000])
