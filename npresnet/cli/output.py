"""Predictions as text, JSON, JSON Lines and CSV, one image at a time.

Control characters and bytes that are no UTF-8, of paths and labels, are written as escapes, see `system.text`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from typing import Any

from npresnet.model.prediction import Prediction
from npresnet.model.records import record
from npresnet.system.text import visible

Emit = Callable[[str], None]  # takes a line without its newline


class Text:
    """Human-readable: path, label, probability, time; further candidates on the next lines."""

    def __init__(self, emit: Emit, path_width: int):
        self._emit = emit
        self._path_width = path_width

    def begin(self) -> None:
        pass

    def add(self, path: str, prediction: Prediction) -> None:
        for rank, candidate in enumerate(prediction.top):
            name, label = visible(path) if rank == 0 else "", visible(candidate.label)
            time = f"  {prediction.elapsed_ms:8.1f} ms" if rank == 0 else ""
            self._emit(f"{name:<{self._path_width}}  {label:<28} {candidate.score:7.2%}{time}")

    def end(self) -> None:
        pass


class Json:
    """One array, written incrementally."""

    def __init__(self, emit: Emit):
        self._emit = emit
        self._pending: str | None = None

    def begin(self) -> None:
        self._emit("[")

    def add(self, path: str, prediction: Prediction) -> None:
        if self._pending is not None:
            self._emit(self._pending + ",")
        self._pending = json.dumps(record(path, prediction))

    def end(self) -> None:
        if self._pending is not None:
            self._emit(self._pending)
        self._emit("]")


class JsonLines:
    """One record per line."""

    def __init__(self, emit: Emit):
        self._emit = emit

    def begin(self) -> None:
        pass

    def add(self, path: str, prediction: Prediction) -> None:
        self._emit(json.dumps(record(path, prediction)))

    def end(self) -> None:
        pass


class Csv:
    """The columns path, index, label, score."""

    def __init__(self, emit: Emit):
        self._emit = emit

    def begin(self) -> None:
        self._row(("path", "index", "label", "score"))

    def add(self, path: str, prediction: Prediction) -> None:
        self._row((visible(path), prediction.index, visible(prediction.label), prediction.score))

    def end(self) -> None:
        pass

    def _row(self, cells: Iterable[Any]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)  # with "" line ends in cells would not be quoted
        self._emit(line.getvalue()[:-1])
