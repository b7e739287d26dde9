"""Records, one image at a time, as text, JSON, JSON Lines, CSV or Parquet, on stdout or in a file.

An image that failed has its record, with `error`, at its place. Control characters and bytes that are no UTF-8, of
paths and labels, are written as escapes, see `system.text`.
"""

from __future__ import annotations

import csv
import io
import json
import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import IO, Any, Protocol

from npresnet.cli.shared import STDOUT, complain, misuse
from npresnet.system.extras import needing
from npresnet.system.files import replacing
from npresnet.system.text import visible

Emit = Callable[[str], None]  # takes a line without its newline
Record = dict[str, Any]

SUFFIXES = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}


class Writer(Protocol):
    """Writes one result after the other."""

    def begin(self) -> None: ...
    def add(self, path: str, result: Any) -> None: ...
    def end(self) -> None: ...


class Kind(Protocol):
    """What the records hold: a prediction, or an embedding; of a path and an error the error."""

    def record(self, path: str, result: Any) -> Record:
        """For JSON and Parquet."""

    def columns(self) -> Sequence[str]:
        """Of a CSV file."""

    def row(self, path: str, result: Any) -> Sequence[Any]:
        """Its cells, of which there are as many."""

    def schema(self) -> Any:
        """Of a Parquet file: pyarrow's."""


class Json:
    """One array, written incrementally."""

    def __init__(self, emit: Emit, kind: Kind):
        self._emit, self._kind = emit, kind
        self._pending: str | None = None

    def begin(self) -> None:
        self._emit("[")

    def add(self, path: str, result: Any) -> None:
        if self._pending is not None:
            self._emit(self._pending + ",")
        self._pending = json.dumps(self._kind.record(path, result))

    def end(self) -> None:
        if self._pending is not None:
            self._emit(self._pending)
        self._emit("]")


class JsonLines:
    """One record a line."""

    def __init__(self, emit: Emit, kind: Kind):
        self._emit, self._kind = emit, kind

    def begin(self) -> None:
        pass

    def add(self, path: str, result: Any) -> None:
        self._emit(json.dumps(self._kind.record(path, result)))

    def end(self) -> None:
        pass


class Csv:
    """One row a record, under a header."""

    def __init__(self, emit: Emit, kind: Kind):
        self._emit, self._kind = emit, kind

    def begin(self) -> None:
        self._row(self._kind.columns())

    def add(self, path: str, result: Any) -> None:
        self._row(self._kind.row(path, result))

    def end(self) -> None:
        pass

    def _row(self, cells: Iterable[Any]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)  # with "" line ends in cells would not be quoted
        self._emit(line.getvalue()[:-1])


class Parquet:
    """A table of pyarrow's, written by groups of rows."""

    ROWS = 4096

    def __init__(self, file: IO[bytes], kind: Kind, name: str):
        otherwise = "; or choose a name that ends in .jsonl or .csv"
        with needing(f"{visible(name)} cannot be written: Parquet", "npresnet[parquet]", otherwise):
            import pyarrow
            import pyarrow.parquet
        self._kind, self._records = kind, list[Record]()
        self._schema = kind.schema()
        self._to_table = pyarrow.Table.from_pylist
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema)

    def begin(self) -> None:
        pass

    def add(self, path: str, result: Any) -> None:
        self._records.append(self._kind.record(path, result))
        if len(self._records) == self.ROWS:
            self._write()

    def end(self) -> None:
        self._write()
        self._writer.close()

    def _write(self) -> None:
        if self._records:
            self._writer.write_table(self._to_table(self._records, self._schema))
            self._records.clear()


FORMS: dict[str, Callable[[Emit, Kind], Writer]] = {"json": Json, "jsonl": JsonLines, "csv": Csv}


def form_of(args: Namespace, usual: str, *, others: Sequence[str] = ()) -> str:
    """The form that --json, --jsonl, --csv or the suffix of --output asks for; `usual` where nothing does.

    others  suffixes that the command knows besides; each is its own form. Ends the process where the arguments
            contradict each other
    """
    given = next((form for form in FORMS if getattr(args, form, False)), None)
    if args.output in (None, STDOUT):
        return given or usual
    suffix = os.path.splitext(args.output)[1].lower()
    form = suffix if suffix in others else SUFFIXES.get(suffix)
    if form is None and given is None:
        known = ", ".join([*others, *SUFFIXES])
        misuse(f"{visible(args.output)} does not say its form: end the name in one of {known}")
    if form is not None and given not in (None, form):
        misuse(f"--{given} contradicts the name {visible(args.output)}; leave one of them out")
    return form or given or usual


@contextmanager
def written(path: str | None, form: str, kind: Kind, emit: Emit) -> Iterator[Writer]:
    """A writer that has begun and is ended: on stdout by `emit`, in a file where `path` says one.

    After an error what stands on stdout is still ended, so that it can be parsed; a file is then left as it was.
    """
    with nullcontext() if path in (None, STDOUT) else replacing(path) as file:
        writer: Writer
        if file is None:
            writer = FORMS[form](emit, kind)
        else:
            writer = Parquet(file, kind, str(path)) if form == "parquet" else FORMS[form](_lines_to(file), kind)
        writer.begin()
        try:
            yield writer
        finally:
            writer.end()


def say_written(path: str, count: int, failures: int, word: str = "image") -> None:
    """The closing line of a file."""
    failed = f", {failures:,} of them failed" if failures else ""
    complain(f"wrote {visible(path)}: {count:,} {word}{'' if count == 1 else 's'}{failed}")


def _lines_to(file: IO[bytes]) -> Emit:
    def emit(line: str) -> None:
        file.write(f"{line}\n".encode())

    return emit
