"""Two programs frozen by PyInstaller with the hook that ships: the smoke check itself, and the command `npresnet`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent / "program"
COMMAND = "import sys\n\nfrom npresnet.cli import main\n\nsys.exit(main())\n"
SPEC = """
parts = [
    Analysis([{smoke!r}], pathex=[{program!r}], datas=[({reference!r}, ".")]),
    Analysis([{command!r}]),
]
programs = [
    EXE(PYZ(part.pure), part.scripts, exclude_binaries=True, name=name)
    for part, name in zip(parts, ("smoke", "npresnet"))
]
COLLECT(*programs, *(part.binaries for part in parts), *(part.datas for part in parts), name="frozen")
"""


def freeze(python: Path, folder: Path) -> tuple[Path, Path]:
    """The two programs, made in `folder` by the PyInstaller of an environment that has npresnet.

    Raises subprocess.CalledProcessError.
    """
    command = folder / "command.py"
    command.write_text(COMMAND, encoding="utf-8")
    spec = folder / "frozen.spec"
    places = {"smoke": PROGRAM / "smoke.py", "program": PROGRAM, "reference": PROGRAM / "reference.json"}
    spec.write_text(SPEC.format(command=str(command), **{name: str(path) for name, path in places.items()}), "utf-8")
    options = ["--noconfirm", "--log-level", "ERROR", "--distpath", folder / "dist", "--workpath", folder / "work"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run(
        [python, "-m", "PyInstaller", *options, spec],
        cwd=folder,
        env=clean,  # PYTHONPATH may name a checkout, which would be frozen in the wheel's place
        check=True,
        capture_output=True,
        text=True,
        timeout=500,
    )
    suffix = ".exe" if os.name == "nt" else ""
    return folder / "dist" / "frozen" / f"smoke{suffix}", folder / "dist" / "frozen" / f"npresnet{suffix}"
