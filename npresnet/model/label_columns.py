"""Label files with a first line that names their columns, as spreadsheets and pandas write them."""

from __future__ import annotations

import csv
import re
from typing import NamedTuple

from npresnet.model.label_doubts import INDEX_WORDS, NAME_WORDS

Pairs = list[tuple[int, str, str]]  # number, name, separator


class Head(NamedTuple):
    """Which column holds the indices, and which the names; how many there are, and what separates them."""

    number_column: int
    name_column: int
    width: int
    separator: str


def head_of(line: str) -> Head | None:
    """Also that of pandas, which leaves the index's name out: ",name"."""
    separator = re.search(r"[,;\t]", line)
    cells = [cell.strip().strip('"').lower() for cell in line.split(separator[0])] if separator else []
    index = next((i for i, cell in enumerate(cells) if cell in INDEX_WORDS or (i == 0 and not cell)), None)
    name = next((i for i, cell in enumerate(cells) if cell in NAME_WORDS), None)
    is_pandas = cells[:1] == [""] and len(cells) == 2 and re.search(r"\w", cells[1])  # and no smiley, ";)"
    if separator is None or index is None or (name is None and not is_pandas):
        return None
    return Head(index, 1 if name is None else name, len(cells), separator[0])


def table(lines: list[str], head: Head) -> list[Pairs]:
    """By the columns that the head names, where every line has them all."""
    try:
        rows = list(csv.reader(lines, delimiter=head.separator, skipinitialspace=True))
    except csv.Error:
        return []
    if not all(len(row) == head.width and re.fullmatch(r"\d{1,9}", row[head.number_column].strip()) for row in rows):
        return []
    return [[(int(row[head.number_column]), row[head.name_column].strip(), "") for row in rows]]
