"""What is run where, and what must be true there."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.smoke.frozen import PROGRAM, freeze
from tests.smoke.interpreters import Interpreter

PATIENCE_S = 400
CORES = (("Haswell", "avx2"), ("SkylakeX", "avx512f"))  # OpenBLAS's names, and the CPU's flag
PLAIN_LOCALE = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # the locale decides, not Python


@dataclass(frozen=True)
class Cell:
    """One run of the smoke check.

    command   what runs it: an interpreter with options and the program, or a frozen program
    environ   variables of the environment, beside this process's own
    expected  what must be true there (`--expect`)
    decoys    in the working folder lies a module npresnet that must not be imported
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)
    decoys: bool = False


@dataclass(frozen=True)
class Result:
    """output is shown where it failed; facts: the hashes of logits, by NumPy's version and BLAS's core type."""

    cell: Cell
    passed: bool
    output: str
    seconds: float
    facts: Mapping[str, str]


def plain(name: str, python: Path, interpreter: Interpreter, **expected: str) -> Cell:
    expected |= {"python": ".".join(map(str, interpreter.version[:2])), "gil": str(int(interpreter.has_gil))}
    return Cell(name, (str(python), str(PROGRAM / "smoke.py")), {}, {"writable": "1", **expected})


def axes(python: Path, interpreter: Interpreter) -> Iterator[Cell]:
    """Everything else than versions, on one interpreter."""
    base = plain("", python, interpreter)

    def varied(name: str, environ: Mapping[str, str], decoys: bool = False, **expected: str) -> Cell:
        return Cell(f"{interpreter}, {name}", base.command, environ, {**base.expected, **expected}, decoys)

    for core, flag in CORES:
        if flag in cpu_flags():
            yield varied(f"OpenBLAS's {core} kernels", {"OPENBLAS_CORETYPE": core}, core=core)
    yield Cell(
        f"{interpreter}, -OO",
        (base.command[0], "-OO", *base.command[1:]),
        {},
        {**base.expected, "optimize": "2"},
    )
    if interpreter.version >= (3, 11):
        yield varied("PYTHONSAFEPATH", {"PYTHONSAFEPATH": "1"}, True, safe_path="1")
    if os.name == "posix":
        yield varied("locale C", {"LC_ALL": "C", **PLAIN_LOCALE}, encoding="ascii/ascii")
        yield varied("locale C.UTF-8", {"LC_ALL": "C.UTF-8", **PLAIN_LOCALE}, encoding="utf-8/utf-8")


def read_only(python: Path, interpreter: Interpreter, folder: Path) -> Cell | None:
    """An installation and a cache folder in which nothing can be written; None where that cannot be had.

    Root may write anywhere, unless it has given that right up: setpriv does so.
    """
    cache = folder / "read-only-cache"
    cache.mkdir()
    set_writable(python.parents[1], False)
    set_writable(cache, False)
    command = plain("", python, interpreter).command
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        if not shutil.which("setpriv"):
            return None
        command = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override", *command)
    environ = {"NPRESNET_CACHE": str(cache), "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": ""}
    return Cell(f"{interpreter}, read-only, no home", command, environ, {"writable": "0"})


def frozen(python: Path, interpreter: Interpreter, folder: Path) -> Cell:
    """Raises subprocess.CalledProcessError."""
    program, tool = freeze(python, folder)
    command = (str(program), "--command", str(tool))
    return Cell(f"{interpreter}, frozen by PyInstaller", command, expected={"every_module": "1"})


def run(cell: Cell, folder: Path) -> Result:
    """Run it in an empty folder. What it says on stderr, exceptions at the interpreter's end among it, is a failure."""
    work = folder / f"cell-{abs(hash(cell.name))}"
    (work / "here").mkdir(parents=True)
    if cell.decoys:
        (work / "here" / "npresnet.py").write_text("raise SystemExit('the working folder was searched')\n", "utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    environ = {**clean, "NPRESNET_CACHE": str(work / "cache"), **cell.environ}
    expected = [text for pair in cell.expected.items() for text in ("--expect", "=".join(pair))]
    bits = work / "bits.json"
    began = time.monotonic()
    try:
        done = subprocess.run(
            [*cell.command, *expected, "--bits", str(bits)],
            cwd=work / "here", env=environ, capture_output=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        return Result(cell, False, f"no end within {PATIENCE_S} s: {late.output!r}", PATIENCE_S, {})
    seconds = time.monotonic() - began
    output = (done.stdout + done.stderr).decode("utf-8", "backslashreplace")
    passed = done.returncode == 0 and not done.stderr.strip() and b"ok      commands" in done.stdout
    facts = json.loads(bits.read_text(encoding="utf-8")) if bits.exists() else {}
    return Result(cell, passed, output, seconds, facts)


def different_bits(results: Sequence[Result]) -> list[str]:
    """Where the same NumPy with the same BLAS kernels gave other logits than elsewhere, whatever ran them."""
    seen: dict[tuple[str, ...], tuple[str, str]] = {}
    found = []
    for result in results:
        for network in ("demo", "resnet18"):
            key = (network, result.facts.get("numpy", ""), result.facts.get("core", ""))
            first = seen.setdefault(key, (result.facts.get(network, ""), result.cell.name))
            if first[0] != result.facts.get(network, ""):
                found.append(f"{' '.join(key)}: {result.cell.name} and {first[1]} have other bits")
    return found


def cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    return set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())


def set_writable(folder: Path, allowed: bool) -> None:
    """Allow it to the owner, or forbid it to everybody, for all that is in the folder."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IWUSR if allowed else mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
