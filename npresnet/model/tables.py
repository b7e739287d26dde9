"""Two columns of a CSV as people write them: perhaps with a header, quotes, a byte order mark, tabs, semicolons."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from npresnet.errors import ImageError
from npresnet.images.messages import name_of
from npresnet.system.signals import raise_signals

SEPARATORS = (",", "\t", ";")
Row = tuple[int, tuple[str, str]]  # the line's number, the two cells


def read_table(path: str, what: str, first: Sequence[str], second: Sequence[str]) -> Iterator[Row]:
    """The cells of two columns, without the spaces around them; empty lines are left out.

    what           the columns, for messages: "path,label"
    first, second  names that a column has in a header; where there are several, the first of them is taken. A first
                   line that names both columns is a header, and then there may be others, in any order

    Raises ImageError for a file that is no such text, an empty cell, more than two columns without a header, and more
    cells than its header.
    """
    lines = _lines(path, what)
    head = next(lines, None)
    if head is None:
        return
    columns = _columns(head[1], first, second)
    if columns is None:
        columns = (0, 1)
        yield _row(path, what, *head, columns, 2, exact=True)
    exact = columns == (0, 1) and len(head[1]) == 2
    for number, cells in lines:
        while len(cells) > len(head[1]) and not cells[-1]:
            cells.pop()
        yield _row(path, what, number, cells, columns, len(head[1]), exact=exact)


def _lines(path: str, what: str) -> Iterator[tuple[int, list[str]]]:
    try:
        with open(path, "rb") as opened:
            file = opened if opened.seekable() else io.BytesIO(opened.read())  # a pipe: <(...) of a shell
            mark = file.read(2)
            file.seek(0)
            encoding = "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
            text = io.TextIOWrapper(file, encoding, newline="")
            start = text.readline()
            while start and not start.strip():
                start = text.readline()
            text.seek(0)
            if "\0" in start:
                raise ValueError("it is not text")
            reader = csv.reader(text, delimiter=_separator(start), strict=True)
            for cells in reader:
                stripped = [cell.strip() for cell in cells]
                if any(stripped):
                    yield reader.line_num, stripped
    except (OSError, ValueError, csv.Error) as error:
        raise_signals(error)
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeError) else getattr(error, "strerror", 0) or error
        raise ImageError(f"{name_of(path)} cannot be read as a CSV of {what}: {reason}") from error


def _separator(line: str) -> str:
    """The first that separates the line's cells; a comma where none does."""
    for separator in SEPARATORS:
        if len(next(csv.reader(io.StringIO(line), delimiter=separator), [])) > 1:
            return separator
    return ","


def _columns(cells: list[str], first: Sequence[str], second: Sequence[str]) -> tuple[int, int] | None:
    """Where the two columns are; None if the line is no header."""
    names = [cell.lower().replace(" ", "_") for cell in cells]
    one = next((names.index(name) for name in first if name in names), None)
    two = next((names.index(name) for name in second if name in names and names.index(name) != one), None)
    return None if one is None or two is None else (one, two)


def _row(
    path: str, what: str, number: int, cells: list[str], columns: tuple[int, int], width: int, *, exact: bool
) -> Row:
    if len(cells) <= max(columns) or len(cells) > width or (exact and len(cells) != 2):
        more = "; for more columns the first line must name them"
        advice = (
            "; cells are separated by commas, tabs or semicolons, the same in every line"
            if len(cells) == 1
            else f"{more * (len(cells) > 2)}. A comma inside a cell needs quotes around it"
        )
        raise ImageError(
            f"line {number} of {name_of(path)} has {len(cells)} cell{'s' * (len(cells) != 1)}, expected {what}{advice}"
        )
    one, two = (cells[column] for column in columns)
    if not one or not two:
        raise ImageError(f"line {number} of {name_of(path)} has an empty cell, expected {what}")
    return number, (one, two)
