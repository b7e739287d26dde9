"""The files of this checkout, and copies of it in which a build may leave files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LEAVINGS = {".git", "build", "dist", "__pycache__", ".venv", "venv"}


def list_files() -> list[Path]:
    """Paths, relative to the repository, of all files that git tracks or would; without git, all but leavings."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        names = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, check=True).stdout.decode().split("\0")
        found = [Path(name) for name in names if name]
    except (OSError, subprocess.CalledProcessError):  # an unpacked sdist
        found = [path.relative_to(REPOSITORY) for path in REPOSITORY.rglob("*") if not _is_leaving(path)]
    return sorted(path for path in found if (REPOSITORY / path).is_file())


def copy_to(folder: Path) -> Path:
    """A copy of the checkout's files."""
    for path in list_files():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / path, folder / path)
    return folder


def _is_leaving(path: Path) -> bool:
    parts = path.relative_to(REPOSITORY).parts
    return any(part in LEAVINGS or part.endswith((".egg-info", "_cache")) for part in parts)
