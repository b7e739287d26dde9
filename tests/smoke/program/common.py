"""What the checks share: files, names, flags, threads; and `require` instead of `assert`, which -O removes."""

from __future__ import annotations

import codecs
import json
import os
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path

REFERENCE = Path(getattr(sys, "_MEIPASS", Path(__file__).resolve().parent)) / "reference.json"
IS_FROZEN = bool(getattr(sys, "frozen", False))


def reference() -> dict:
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


def sample_photo() -> Path:
    import npresnet

    return Path(npresnet.__file__).parent / "data" / "chelsea.jpg"


def file_name(name: str) -> str:
    """A name whose bytes are UTF-8, also where the file system's encoding is ASCII."""
    return os.fsdecode(name.encode())


def own_command() -> list[str]:
    name = "npresnet.exe" if os.name == "nt" else "npresnet"
    return [sys.executable, *own_flags(), os.path.join(sysconfig.get_path("scripts"), name)]


def own_flags() -> list[str]:
    return ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []


def blas_core() -> str:
    from threadpoolctl import threadpool_info

    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return found[0].get("architecture", found[0]["internal_api"]) if found else "unknown"


def in_threads(count: int, function) -> list:
    results: list = []
    workers = [threading.Thread(target=lambda: results.append(function())) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    require_equal(len(results), count, "the number of threads that gave a result")
    return results


def codec(encoding: str) -> str:
    return codecs.lookup(encoding).name


def can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def require(value: object, problem: str) -> None:
    if not value:
        raise RuntimeError(problem)


def require_equal(found: object, expected: object, what: str) -> None:
    require(found == expected, f"{what}: {found!a}, expected {expected!a}")
