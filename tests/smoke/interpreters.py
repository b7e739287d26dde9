"""The Pythons that a machine has: on PATH, and where pyenv and uv put them. The newest of each minor version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MINORS = range(10, 20)
PROBE = """
import ctypes, json, os, platform, ssl, sys, sysconfig, venv
folders = [sysconfig.get_config_var(name) or "" for name in ("LIBDIR", "LIBPL")]
folders.append(os.path.join(folders[0], sysconfig.get_config_var("MULTIARCH") or ""))
library = sysconfig.get_config_var("INSTSONAME") or ""
print(json.dumps({
    "path": getattr(sys, "_base_executable", sys.executable),
    "version": sys.version_info[:3],
    "has_gil": not sysconfig.get_config_var("Py_GIL_DISABLED"),
    "has_library": ".so" in library and any(os.path.exists(os.path.join(folder, library)) for folder in folders)
    or sys.platform != "linux",
    "is_cpython": platform.python_implementation() == "CPython",
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """has_library: there is a libpython.so, without which PyInstaller freezes nothing."""

    path: Path
    version: tuple[int, ...]
    has_gil: bool
    has_library: bool

    @property
    def minor(self) -> str:
        """As programs are called: "3.13", "3.13t"."""
        return f"{self.version[0]}.{self.version[1]}{'' if self.has_gil else 't'}"

    def __str__(self) -> str:
        return ".".join(map(str, self.version)) + ("" if self.has_gil else "t")


def find(also: Iterable[str] = ()) -> list[Interpreter]:
    """From the oldest to the newest; `also` names programs that are nowhere one would look."""
    best: dict[str, Interpreter] = {}
    for path in dict.fromkeys((*also, *_candidates())):
        found = _probe(path)
        if found and (found.minor not in best or found.version > best[found.minor].version):
            best[found.minor] = found
    return sorted(best.values(), key=lambda one: (one.version, one.has_gil))


def absent(found: Iterable[Interpreter]) -> list[str]:
    """Those that npresnet names as supported, and the free-threaded ones, that `found` lacks."""
    here = {one.minor for one in found}
    return [name for name in (*declared(), "3.13t", "3.14t", "3.15t") if name not in here]


def declared() -> list[str]:
    """The versions in npresnet's classifiers: 3.10, 3.11, ..."""
    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    return [line.rsplit(":: ", 1)[1].rstrip('",') for line in text.splitlines() if "Python :: 3." in line]


def _candidates() -> Iterator[str]:
    yield sys.executable
    names = [f"python3.{minor}{threads}" for minor in MINORS for threads in ("", "t")]
    for folder in os.get_exec_path():
        yield from (str(path) for name in names if (path := Path(folder, name)).is_file())
    home = Path(os.path.expanduser("~"))
    for root, pattern in (
        (Path(os.environ.get("PYENV_ROOT", home / ".pyenv")), "versions/*/bin/python3"),
        (home / ".local/share/uv/python", "*/bin/python3"),
    ):
        yield from map(str, sorted(root.glob(pattern)))


def _probe(path: str) -> Interpreter | None:
    """None for what is no CPython from 3.10 on, or lacks a part of the library that npresnet or pip needs."""
    try:
        done = subprocess.run([path, "-I", "-c", PROBE], capture_output=True, text=True, timeout=60, check=True)
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    if not isinstance(found, dict) or not found.pop("is_cpython") or tuple(found["version"]) < (3, 10):
        return None
    return Interpreter(Path(found["path"]), tuple(found["version"]), found["has_gil"], found["has_library"])
