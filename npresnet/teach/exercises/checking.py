"""Run a reader's file on an exercise's cases, and say where it first goes wrong."""

from __future__ import annotations
import __future__

import traceback
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from npresnet.network import Array
from npresnet.teach.exercises.exercise import Case, Exercise, Function

ANNOTATIONS = __future__.annotations.compiler_flag  # what they name need not be imported
TOLERANCE = 1e-5  # relative to the largest number, where rounding may differ


class Verdict(NamedTuple):
    """What became of one exercise: "passed", "to do" or "wrong", and what to tell the reader."""

    exercise: str
    status: str
    text: str

    def __str__(self) -> str:
        first, *rest = self.text.splitlines()
        return "\n".join([f"{self.exercise}: {self.status}. {first}", *("  " + line for line in rest)])


def check_file(exercise: Exercise, path: Path) -> Verdict:
    """Run the reader's file in this process, for as long as it takes; see `running`, which has a clock."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        return Verdict(exercise.name, "wrong", f"{path} cannot be read: {problem}")
    return check_text(exercise, text, str(path))


def check_text(exercise: Exercise, text: str, file: str = "<exercise>") -> Verdict:
    """The same for the text of a file."""
    try:
        function = _define(exercise, text, file)
        with np.errstate(all="ignore"):
            problem = next(filter(None, (_problem(exercise, function, case) for case in exercise.cases())), None)
    except NotImplementedError:
        return Verdict(exercise.name, "to do", f"Put your lines into {file}")
    except (Exception, SystemExit) as raised:  # whatever a reader's program may raise
        return Verdict(exercise.name, "wrong", _where(raised, file))
    if problem is not None:
        return Verdict(exercise.name, "wrong", problem)
    return Verdict(exercise.name, "passed", f"npresnet's own lines are in {exercise.source}")


def _define(exercise: Exercise, text: str, file: str) -> Function:
    space: dict[str, Any] = {"__name__": exercise.name, "__file__": file}
    exec(compile(text, file, "exec", flags=ANNOTATIONS), space)
    function = space.get(exercise.function.__name__)
    if not callable(function):
        raise NameError(f"the file should define {exercise.function.__name__}")
    found: Function = function
    return found


def _problem(exercise: Exercise, function: Function, case: Case) -> str | None:
    """None where the result is right."""
    expected = np.asarray(case.call(exercise.function))
    found = np.asarray(case.call(function))
    if found.dtype.kind not in "fiub":
        return f"With {case.title} the result is not an array of numbers, but {found.dtype}"
    if found.shape != expected.shape:
        return f"With {case.title} the result has the shape {found.shape}, and should have {expected.shape}"
    wrong = np.argwhere(~_equal(found, expected, exact=exercise.exact))
    if not len(wrong):
        return None
    index = tuple(int(i) for i in wrong[0])
    told = (
        f"With {case.title}, {len(wrong)} of {expected.size} numbers are wrong. The first is at index {list(index)}: "
    )
    told += f"{found[index]:g} instead of {expected[index]:g}."
    return told if case.picture is None else f"{told}\n{case.picture(index)}"


def _equal(found: Array, expected: Array, *, exact: bool) -> Any:
    if exact:
        return (found == expected) | (np.isnan(found) & np.isnan(expected))
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=1.0))
    return np.isclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True)


def _where(raised: BaseException, file: str) -> str:
    """The error, and the reader's own line that raised it."""
    if isinstance(raised, SyntaxError):
        return f"{file}, line {raised.lineno}: {raised.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(raised.__traceback__) if frame.filename == file]
    place = f"{file}, line {lines[-1]}: " if lines else ""
    return f"{place}{type(raised).__name__}: {raised}"
