"""Small virtual environments that contain the run-time dependencies only: no torch, no other npresnet."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

DEPENDENCIES = ("numpy", "pillow", "platformdirs", "threadpoolctl", "tqdm")


@dataclass(frozen=True)
class Environment:
    folder: Path

    @property
    def scripts(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        return self.scripts / ("python.exe" if os.name == "nt" else "python")

    def install(self, *arguments: str | Path) -> None:
        """pip install, by the pip that runs the tests, from local files only."""
        options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", *options, *arguments]
        self._run(pip, self.folder)

    def run(self, *command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run one of this environment's programs in an empty folder, `cwd`."""
        return self._run([self.scripts / command[0], *command[1:]], cwd)

    def probe(self, code: str, *, cwd: Path, env: dict[str, str] | None = None):
        """The output of `code`, parsed as JSON."""
        return json.loads(self._run([self.python, "-c", code], cwd, env).stdout)

    def _run(self, command, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        command = [str(part) for part in command]
        done = subprocess.run(command, cwd=cwd, env={**clean, **(env or {})}, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done


def make(folder: Path, *extra: str) -> Environment:
    """A fresh environment that sees DEPENDENCIES and the `extra` distributions of the one that runs the tests."""
    venv.create(folder / "venv", with_pip=False)
    environment = Environment(folder / "venv")
    linked = folder / "linked"
    linked.mkdir()
    for name in (*DEPENDENCIES, *extra):
        _link(name, linked)
    (site_packages,) = (folder / "venv").rglob("site-packages")
    (site_packages / "linked.pth").write_text(f"{linked}\n")
    return environment


def _link(distribution: str, folder: Path) -> None:
    found = importlib.metadata.distribution(distribution)
    tops = {path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")}
    for top in tops:
        source = Path(found.locate_file(top)).resolve()
        if not source.exists():
            continue
        try:
            (folder / top).symlink_to(source, target_is_directory=source.is_dir())
        except OSError:  # Windows reserves symbolic links for administrators
            shutil.copytree(source, folder / top) if source.is_dir() else shutil.copy2(source, folder / top)
