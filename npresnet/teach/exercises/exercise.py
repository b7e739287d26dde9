"""An exercise, and the file that a reader fills in."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from npresnet.network import Array

Function = Callable[..., Any]
Index = tuple[int, ...]

BLANK = "raise NotImplementedError  # <- your lines here; npresnet needs"


class Case(NamedTuple):
    """One input: the function is called with it, and its result is compared with npresnet's own.

    call     runs a function and gives its result as an array
    picture  what a wrong number at an index should have seen, as text; None where there is nothing to draw
    """

    title: str
    call: Callable[[Function], Array]
    picture: Callable[[Index], str] | None = None


class Exercise(NamedTuple):
    """A function of npresnet whose lines from `first` to `last` are the reader's to write.

    name         of the file, without its number
    task         what to do, and a hint
    function     the solution
    imports      what its source needs
    first, last  the first and the last line taken out, without their indentation
    cases        made when they are needed
    exact        whether whole numbers must agree to the bit; else to a few rounding errors
    """

    name: str
    task: str
    function: Function
    imports: str
    first: str
    last: str
    cases: Callable[[], Iterable[Case]]
    exact: bool = True

    def solution(self) -> str:
        """The file with nothing taken out."""
        return self._file("".join(self._lines()))

    def blank(self) -> str:
        """The file as the reader gets it."""
        lines = self._lines()
        first = _only(lines, self.first)
        last = first + _only(lines[first:], self.last)
        indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
        count = last - first + 1
        hole = f"{indent}{BLANK} {count} line{'s' * (count > 1)}\n"
        return self._file("".join([*lines[:first], hole, *lines[last + 1 :]]))

    def _lines(self) -> list[str]:
        """The function without decorators, which are about its callers."""
        lines = inspect.getsource(self.function).splitlines(keepends=True)
        return lines[next(i for i, line in enumerate(lines) if line.startswith("def ")) :]

    @property
    def source(self) -> str:
        """Where the solution stands: npresnet.ops.conv2d.im2col."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def _file(self, code: str) -> str:
        task = "\n\n".join(textwrap.fill(part, 110) for part in self.task.strip().split("\n\n"))
        return f'"""{task}\n\nCheck it: npresnet exercise check {self.name}\n"""\n\n{self.imports.strip()}\n\n\n{code}'


def _only(lines: Sequence[str], wanted: str) -> int:
    """Where the line stands that begins so, without its indentation. ValueError where there is none."""
    found = [number for number, line in enumerate(lines) if line.lstrip().startswith(wanted)]
    if not found:
        raise ValueError(f"no line begins with {wanted!r}")
    return found[0]


def start(folder: Path, exercises: Sequence[Exercise]) -> tuple[list[Path], list[Path]]:
    """Write a file for each exercise; returns those written, and those that were there and stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    written, kept = [], []
    for number, exercise in enumerate(exercises, start=1):
        path = folder / f"{number:02d}_{exercise.name}.py"
        if path.exists():
            kept.append(path)
        else:
            path.write_text(exercise.blank(), encoding="utf-8")
            written.append(path)
    return written, kept
