"""Cold start: whole processes from a weight file to a label, interleaved, with the peak memory of each."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from npresnet.bench import torchvision_models
from npresnet.bench.memory import maxrss_mb, memory
from npresnet.bench.process import without_paths
from npresnet.bench.timing import Stats, median, rotated


@dataclass(frozen=True)
class Program:
    """A Python program that prints the predicted index, and its requirements.

    name, title  in JSON and in tables
    arguments    of the Python interpreter
    needs        import names of the libraries that must be installed
    environ      additional environment variables
    emptied      a folder that is deleted before each run, so that each is like the first
    """

    name: str
    title: str
    arguments: Sequence[str]
    needs: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    emptied: Path | None = None

    def missing(self) -> list[str]:
        """The libraries that this program needs and that are not installed."""
        return [library for library in self.needs if importlib.util.find_spec(library) is None]


@dataclass(frozen=True)
class Run:
    """One whole process. peak_mb and cpu_ms, of all its threads and processes, are None where unavailable."""

    printed: str
    wall_ms: float
    peak_mb: float | None
    cpu_ms: float | None = None


@dataclass
class ColdResult:
    """The results of one program; times only where `status` is "ok"."""

    program: Program
    status: str = "ok"
    reason: str = ""
    runs: list[Run] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        entry: dict[str, Any] = {"title": self.program.title, "status": self.status}
        if self.status != "ok" or not self.runs:
            return {**entry, "reason": self.reason}
        peaks = [run.peak_mb for run in self.runs if run.peak_mb is not None]
        memory = {"peak_mb": round(median(peaks), 1)} if peaks else {}
        times_ms = [run.cpu_ms for run in self.runs if run.cpu_ms is not None]
        work = {"cpu_ms": round(median(times_ms), 1)} if times_ms else {}
        stats = Stats.of(run.wall_ms for run in self.runs).to_dict()
        return {**entry, "printed": self.runs[-1].printed, **stats, **memory, **work}


class ProgramError(Exception):
    """A program failed or took too long."""


def run_once(program: Program, environ: Mapping[str, str], *, timeout_s: float = 120.0) -> Run:
    """Start the program and wait for its end. Raises ProgramError."""
    command = [sys.executable, *program.arguments]
    if program.emptied is not None:
        shutil.rmtree(program.emptied, ignore_errors=True)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        child = subprocess.Popen(command, env={**environ, **program.environ}, stdout=out, stderr=log)
        deadline = threading.Timer(timeout_s, _kill, [child])
        deadline.start()
        try:
            maxrss, cpu_ms, code = _wait(child)
            wall_ms = (time.perf_counter() - start) * 1e3
        finally:
            deadline.cancel()
        printed, complaint = _text(out), _text(log)
    if code != 0:
        last = complaint.splitlines()[-1] if complaint else "it said nothing"
        raise ProgramError(without_paths(f"exit code {code}: {last}"))
    return Run(printed, wall_ms, _credible(maxrss), cpu_ms)


def race(
    programs: Sequence[Program],
    environ: Mapping[str, str],
    *,
    repetitions: int,
    say: Callable[[str], None],
    timeout_s: float = 120.0,
    judge: Callable[[Sequence[ColdResult]], None] | None = None,
) -> list[ColdResult]:
    """Run the programs in turn, `repetitions` times after one that is not counted.

    A program that fails is recorded without times; so is one that `judge` calls wrong in its result: by default, one
    that prints another index than most.
    """
    results = [ColdResult(program) for program in programs]
    for number in range(-1, repetitions):
        for result in rotated(results, max(number, 0)):
            if result.status == "ok":
                _repeat(result, environ, counts=number >= 0, timeout_s=timeout_s)
        say(f"repetition {number + 1} of {repetitions}")
    (judge or _refuse_disagreement)(results)
    return results


def operators_to_declare(environ: Mapping[str, str]) -> str:
    """The operators that a program with torchvision must declare for this build of torch: usually none."""
    done = subprocess.run(
        [sys.executable, "-c", "import torchvision"], env=environ, capture_output=True, text=True, check=False
    )
    return " ".join(torchvision_models.operator_names()) if "torchvision::" in done.stderr else ""


def _repeat(result: ColdResult, environ: Mapping[str, str], *, counts: bool, timeout_s: float) -> None:
    missing = result.program.missing()
    if missing:
        result.status, result.reason = "absent", f"needs {', '.join(missing)}"
        return
    try:
        run = run_once(result.program, environ, timeout_s=timeout_s)
    except ProgramError as problem:
        result.status, result.reason = "failed", str(problem)
        return
    if counts:
        result.runs.append(run)


def _refuse_disagreement(results: Sequence[ColdResult]) -> None:
    """Reject programs that print another index than the majority; failed ones do not count."""
    answers = [run.printed for result in results if result.status == "ok" for run in result.runs if run.printed]
    agreed = max(answers, key=answers.count, default="")
    for result in results:
        wrong = {run.printed for run in result.runs if run.printed} - {agreed}
        if result.status == "ok" and wrong:
            result.status, result.reason = "wrong", f"printed {', '.join(sorted(wrong))}, the others {agreed}"


def _wait(child: subprocess.Popen[bytes]) -> tuple[int | None, float | None, int]:
    """The child's ru_maxrss and CPU time in ms, where available, and its exit code."""
    if not hasattr(os, "wait4"):
        return None, None, child.wait()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss, (usage.ru_utime + usage.ru_stime) * 1e3, child.returncode


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Not Popen.kill: that would collect the child before wait4 can."""
    if hasattr(os, "wait4"):
        os.kill(child.pid, signal.SIGKILL)
    else:
        child.kill()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()


def _credible(maxrss: int | None) -> float | None:
    """The peak in MB, None where unknown: on Linux a child's maximum starts at its parent's and hides a smaller one."""
    if maxrss is None:
        return None
    found, own = maxrss_mb(maxrss), memory().peak_mb
    return found if own is None or found > own * 1.01 else None
