"""Check readers' files in a process of their own, each for a limited time: a loop without an end ends there.

    parent   starts the child with the files to check, and waits for it
    child    for each file: sets the clock, runs it, writes the verdict as a JSON line

Its clock ends the child wherever it stands, also inside a long NumPy call, and
writes the lines where it stood; the parent then starts another child for the files that are left. So a program that
ends the process, or crashes it, costs its own verdict only.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import npresnet
from npresnet.teach.exercises.checking import Verdict, check_file
from npresnet.teach.exercises.exercise import Exercise

LIMIT_S = 60.0  # the package's own lines take a tenth of a second
START_S = 120.0  # of a process on a busy machine
# the current folder's files are no modules
_CHILD = "import sys; sys.path[:] = filter(None, sys.path); from npresnet.teach.exercises import running; "
_CHILD += "running.run_child()"

File = tuple[Exercise, Path]


def check(exercise: Exercise, path: Path, limit_s: float = LIMIT_S) -> Verdict:
    """Run the reader's file. It is the reader's own program: it is executed, for `limit_s` seconds at most."""
    return next(check_files([(exercise, path)], limit_s))


def check_files(files: Sequence[File], limit_s: float = LIMIT_S) -> Iterator[Verdict]:
    """The verdict on each, in order."""
    left = list(files)
    while left:
        verdicts = _checked(left, limit_s)
        yield from verdicts
        left = left[len(verdicts) :]


def _checked(files: Sequence[File], limit_s: float) -> list[Verdict]:
    """The verdicts of one child, the last one perhaps on the file that ended it; at least one."""
    with tempfile.TemporaryDirectory(prefix="npresnet-exercise-") as folder:
        report, trace = Path(folder, "report"), Path(folder, "trace")
        report.touch()
        trace.touch()
        order = {"files": [[exercise.name, str(path)] for exercise, path in files], "limit_s": limit_s}
        code = _run_child([json.dumps(order), str(report), str(trace)], START_S + len(files) * limit_s)
        verdicts = [Verdict(*entry["verdict"]) for entry in _entries(report) if "verdict" in entry]
        if len(verdicts) < len(files):
            exercise, path = files[len(verdicts)]
            why = _why(str(path), code, limit_s, trace.read_text(encoding="utf-8", errors="replace"))
            verdicts.append(Verdict(exercise.name, "wrong", why))
    return verdicts


def _run_child(arguments: list[str], most_s: float) -> int | None:
    """Its exit code; None if it was still there after `most_s`."""
    package = str(Path(npresnet.__file__).parent.parent)
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    with subprocess.Popen([sys.executable, "-u", "-c", _CHILD, *arguments], env=environment) as child:
        try:
            return child.wait(most_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            child.kill()


def _entries(report: Path) -> Iterator[dict[str, Any]]:
    for line in report.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _why(path: str, code: int | None, limit_s: float, trace: str) -> str:
    """What ended the child on this file, and the line of it that ran."""
    if code is not None and "Timeout (" not in trace:
        return f"{path} ended the process, with the exit code {code}; let it return instead"
    lines = re.findall(rf'File "{re.escape(path)}", line (\d+)', trace)
    place = f"{path}, line {lines[0]}: " if lines else f"{path}: "
    return f"{place}not done after {limit_s:g} s. Is there a loop that does not end?"


def run_child() -> None:
    """In the child: argv holds the order, and where verdicts and the place of a timeout are written."""
    from npresnet.teach.exercises.catalogue import EXERCISES

    order, (report, trace) = json.loads(sys.argv[1]), sys.argv[2:]
    by_name = {exercise.name: exercise for exercise in EXERCISES}
    with open(report, "a", encoding="utf-8") as out, open(trace, "a", encoding="utf-8") as place:
        for name, path in order["files"]:
            faulthandler.dump_traceback_later(order["limit_s"], exit=True, file=place)
            try:
                verdict = check_file(by_name[name], Path(path))
            except KeyboardInterrupt:  # the parent's, too
                os._exit(130)
            faulthandler.cancel_dump_traceback_later()
            out.write(json.dumps({"verdict": list(verdict)}) + "\n")
            out.flush()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(0)  # waits for no thread that a file has left behind
