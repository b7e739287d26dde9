"""Where libnvrtc lies, NVIDIA's run-time compiler: in a wheel, in a CUDA toolkit, or where the system looks."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from npresnet.errors import DeviceError

MAJORS = (13, 12)  # newest first
# below site-packages/nvidia: the wheels nvidia-cuda-nvrtc-cu12 and nvidia-cuda-nvrtc, Linux and Windows
_WHEEL_FOLDERS = {12: ("cuda_nvrtc/lib", "cuda_nvrtc/bin"), 13: ("cu13/lib", "cu13/bin/x86_64", "cu13/bin")}
USUAL_TOOLKIT = "/usr/local/cuda"
_TOOLKIT_FOLDERS = ("lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib", "bin", "bin/x64")


def find(major: int | None = None) -> tuple[Path, ...]:
    """Where libnvrtc might be loaded from, best first: the wheels, CUDA_PATH, the usual folders.

    major  12 or 13: of this CUDA alone, which has to be CuPy's own; None: of any, the newest first
    """
    found: dict[Path, None] = {}
    for version in MAJORS if major is None else (major,):
        for folder in (*_wheel_folders(version), *_toolkit_folders()):
            if (path := folder / file_name(version)).is_file():
                found[path] = None
    return tuple(found)


def load(path: Path) -> ctypes.CDLL:
    """The library at `path`, and before it the builtins beside it.

    NVRTC opens its builtins by their bare name when it compiles, and that finds what is loaded already; the wheel's own
    folder is not searched. Raises OSError.
    """
    if sys.platform == "win32":
        os.add_dll_directory(str(path.parent))
        builtins = sorted(path.parent.glob("nvrtc-builtins64_*.dll"))
    else:
        builtins = sorted(path.parent.glob(f"libnvrtc-builtins.so.{_major_of(path)}.[0-9]*"))
    for part in builtins:
        ctypes.CDLL(str(part))
    return ctypes.CDLL(str(path))


def load_any(major: int | None = None) -> tuple[ctypes.CDLL, str]:
    """The best library that can be loaded, and where from. Raises DeviceError, which names the extra to install."""
    problems = []
    for path in find(major):
        try:
            return load(path), str(path)
        except OSError as error:
            problems.append(f"{path} does not load: {error}")
    for version in MAJORS if major is None else (major,):
        try:
            return ctypes.CDLL(file_name(version)), file_name(version)  # the system's search path
        except OSError:
            continue
    wanted = "12 or 13" if major is None else str(major)
    extra = f"npresnet[cuda{major or 12}]"
    hint = "" if major else " (cuda13 beside cupy-cuda13x)"
    raise DeviceError(
        f"NVRTC of CUDA {wanted}, the compiler of npresnet's CUDA kernels, is not installed: neither a wheel nor "
        f"CUDA_PATH nor the system has {file_name(major or 12)}. Install it with python -m pip install '{extra}'{hint}"
        + "".join(f"; {problem}" for problem in problems)
    )


def file_name(major: int, system: str = sys.platform) -> str:
    """What NVIDIA calls the library; since CUDA 12 one name for all minor versions."""
    return f"nvrtc64_{major}0_0.dll" if system == "win32" else f"libnvrtc.so.{major}"


def _major_of(path: Path) -> int:
    match = re.search(r"\.so\.(\d+)", path.name)
    return int(match[1]) if match else 0


def _wheel_folders(major: int) -> Iterator[Path]:
    spec = importlib.util.find_spec("nvidia")  # a namespace: several wheels, perhaps several site-packages
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for folder in _WHEEL_FOLDERS.get(major, ()):
            yield Path(root) / folder


def _toolkit_folders() -> Iterator[Path]:
    named = (os.environ.get(variable, "") for variable in ("CUDA_PATH", "CUDA_HOME"))
    for root in (*named, sys.prefix, os.path.join(sys.prefix, "Library"), USUAL_TOOLKIT):
        if root:
            for folder in _TOOLKIT_FOLDERS:
                yield Path(root) / folder
