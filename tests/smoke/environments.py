"""Virtual environments with npresnet's wheel, made by one pip that is new enough for every interpreter."""

from __future__ import annotations

import email
import os
import re
import subprocess
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tests.smoke.interpreters import Interpreter


class InstallError(Exception):
    """What pip said last."""


class Environments:
    """All below one folder."""

    def __init__(self, folder: Path, wheel: Path):
        self.folder = folder
        self.wheel = wheel
        venv.create(folder / "pip", with_pip=True)
        self._pip = _python(folder / "pip")
        _run([self._pip, "-m", "pip", "install", "--quiet", "--upgrade", "pip"])

    def make(self, name: str, interpreter: Interpreter, requirements: Sequence[str] = (), extra: str = "") -> Path:
        """The Python of a new environment that has the wheel, and the newest versions that `requirements` allow."""
        folder = self.folder / name
        _run([interpreter.path, "-m", "venv", "--without-pip", folder])
        wheel = f"{self.wheel}[{extra}]" if extra else self.wheel
        options = ["--quiet", "--only-binary", ":all:", "--no-compile", "--no-warn-script-location"]
        _run([self._pip, "-m", "pip", "--python", _python(folder), "install", *options, wheel, *requirements])
        return _python(folder)


def floors(wheel: Path) -> list[str]:
    """The oldest version of each dependency that the wheel allows: ["numpy==1.26", ...]."""
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    required = email.message_from_bytes(archive.read(name)).get_all("Requires-Dist") or []
    found = [re.fullmatch(r"([\w.-]+)>=([\w.]+)", line) for line in required if "extra ==" not in line]
    if not found or None in found:
        raise ValueError(f"not all of {required} say from which version on")
    return [f"{match[1]}=={match[2]}" for match in found if match]


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _run(command: Sequence[str | Path]) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([str(part) for part in command], env=clean, capture_output=True, text=True, timeout=400)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        errors = [line for line in said if line.startswith("ERROR")] or said
        raise InstallError(errors[-1] if errors else f"{command[0]} exited {done.returncode}")
