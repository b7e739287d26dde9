"""The Parquet output: whole parts while the work goes on, and one file made of them at its end.

`out.parquet` is a file: until it is complete, its rows are in `out.parquet.parts/`. Any other name is a folder of
parts, which pandas, Spark, DuckDB and pyarrow read as one table. A part is written under a hidden name and then
renamed, so that a run that is cut, at any moment, leaves whole parts; they hold what was done, and a resumed run goes
on from there. A part's name is unique to its run. The file lists the parts it was made of: if a run is cut between
writing the file and deleting the parts, they are not taken twice.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from time import monotonic
from typing import Any

from npresnet.errors import NpresnetError
from npresnet.ray.cluster import arrow
from npresnet.ray.sources import ADDRESS
from npresnet.ray.table import schema

PART_S, PART_ROWS = 5.0, 65_536  # a part is written when it is so old or so long: what a cut can cost
RUN, PARTS = b"npresnet.run", b"npresnet.parts"  # metadata: which model and settings; which parts a file is made of


class Output:
    """Where rows go. Only the process that was asked writes, so that a row is written once whatever workers do.

    destination  a local path, or an address of pyarrow's file systems
    run          what the rows depend on: rows of another model are not mixed with them

    Raises NpresnetError if the output exists and `resume` is false, or it is another model's.
    """

    def __init__(self, destination: str | os.PathLike[str], run: dict[str, Any], *, resume: bool):
        self.name = os.fspath(destination)
        self._fs, self._path = _place(self.name)
        self._is_file = self.name.lower().endswith(".parquet")
        self._folder = f"{self._path}.parts" if self._is_file else self._path
        self._run, self._id = json.dumps(run, sort_keys=True).encode(), uuid.uuid4().hex[:12]
        self._rows: list[Any] = []
        self._count = self._written = 0
        self._since = monotonic()
        self._merged: set[str] = set()
        self.done: set[str] = set()  # paths that have a row, errors included
        self._begin(resume)

    def add(self, rows: Any) -> None:
        """Take a table of rows; it is in a file after PART_S at the latest, if rows keep coming."""
        self._rows.append(rows)
        self._count += rows.num_rows
        if self._count >= PART_ROWS or monotonic() - self._since >= PART_S:
            self.flush()

    def flush(self) -> None:
        """Write what was taken as a part."""
        if self._rows:
            rows = arrow().concat_tables(self._rows)
            self._fs.create_dir(self._folder, recursive=True)
            name = f"part-{self._id}-{self._written:06d}.parquet"
            with self._replacing(f"{self._folder}/{name}", {RUN: self._run}) as writer:
                writer.write_table(rows)
            self._written += 1
            self._rows, self._count = [], 0
        self._since = monotonic()

    def complete(self) -> None:
        """All rows are there: write the last part, and make the one file of all of them."""
        self.flush()
        if not self._is_file:
            return
        parts = self._parts()
        names = json.dumps([os.path.basename(part) for part in parts])
        with self._replacing(self._path, {RUN: self._run, PARTS: names.encode()}) as writer:
            for rows in self._row_groups([*([self._path] if self._exists(self._path) else []), *parts]):
                writer.write_table(rows)
        (left,) = self._fs.get_file_info([self._folder])
        if left.type == arrow().fs.FileType.Directory:
            self._fs.delete_dir(self._folder)

    def _begin(self, resume: bool) -> None:
        exists = self._exists(self._path) or bool(self._parts())
        if exists and not resume:
            raise NpresnetError(
                f"{self.name} exists{'' if self._exists(self._path) else ', unfinished'}; --resume (resume=True) adds "
                "what is missing in it, another -o begins anew"
            )
        self._remove_unfinished()
        if self._is_file and self._exists(self._path):
            self._read(self._path)
        for part in self._parts():
            if os.path.basename(part) in self._merged:
                self._fs.delete_file(part)
            else:
                self._read(part)

    def _read(self, path: str) -> None:
        """Note the paths of a file's rows. Raises NpresnetError if it is not of the same run."""
        import pyarrow.parquet as parquet

        try:
            with self._fs.open_input_file(path) as stream:
                file = parquet.ParquetFile(stream)
                told = file.schema_arrow.metadata or {}
                if told.get(RUN) == self._run:
                    self._merged.update(json.loads(told.get(PARTS, b"[]")))
                    self.done.update(file.read(["path"])["path"].to_pylist())
                    return
        except (OSError, ValueError) as error:
            raise NpresnetError(f"{path} cannot be read, so it cannot be resumed: {error}; use another -o") from error
        theirs, ours = json.loads(told.get(RUN, b"{}")), json.loads(self._run)
        differ = [name for name in ours if theirs.get(name) != ours[name]]
        raise NpresnetError(
            f"{path} was written with another {' and another '.join(differ)} ({_shown(theirs, differ)}) than is asked "
            f"for now ({_shown(ours, differ)}); resume with what it was begun with, or use another -o"
        )

    def _replacing(self, path: str, metadata: dict[bytes, bytes]) -> _Replacing:
        return _Replacing(self._fs, path, schema(metadata))

    def _parts(self) -> list[str]:
        return [path for path in self._files() if os.path.basename(path).startswith("part-")]

    def _remove_unfinished(self) -> None:
        """Delete what a cut run was writing."""
        for path in self._files():
            if os.path.basename(path).startswith(".part-"):
                self._fs.delete_file(path)

    def _files(self) -> list[str]:
        fs = arrow().fs
        found = self._fs.get_file_info(fs.FileSelector(self._folder, allow_not_found=True))
        return sorted(entry.path for entry in found if entry.type == fs.FileType.File)

    def _exists(self, path: str) -> bool:
        (info,) = self._fs.get_file_info([path])
        kinds = arrow().fs.FileType
        if self._is_file:
            return bool(info.type != kinds.NotFound)
        return bool(info.type == kinds.File or (info.type == kinds.Directory and self._files()))

    def _row_groups(self, paths: list[str]) -> Iterator[Any]:
        """The rows of all files, in tables of about PART_ROWS."""
        import pyarrow.parquet as parquet

        rows: list[Any] = []
        for path in paths:
            with self._fs.open_input_file(path) as stream:
                file = parquet.ParquetFile(stream)
                for group in range(file.num_row_groups):
                    rows.append(file.read_row_group(group).replace_schema_metadata(None))
                    if sum(table.num_rows for table in rows) >= PART_ROWS:
                        yield arrow().concat_tables(rows)
                        rows = []
        if rows:
            yield arrow().concat_tables(rows)


class _Replacing:
    """A Parquet writer whose file appears when it is whole."""

    def __init__(self, filesystem: Any, path: str, columns: Any):
        self._fs, self._path, self._columns = filesystem, path, columns
        folder, name = os.path.split(path)
        self._temporary = f"{folder}/.{name}.unfinished"

    def __enter__(self) -> Any:
        import pyarrow.parquet as parquet

        self._stream = self._fs.open_output_stream(self._temporary)
        self._writer = parquet.ParquetWriter(self._stream, self._columns)
        return self._writer

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._writer.close()
        self._stream.close()
        if kind is None:
            self._fs.move(self._temporary, self._path)
        else:
            self._fs.delete_file(self._temporary)


def _place(name: str) -> tuple[Any, str]:
    fs = arrow().fs
    if not ADDRESS.match(name):
        return fs.LocalFileSystem(), os.path.abspath(name)
    try:
        found: tuple[Any, str] = fs.FileSystem.from_uri(name)
    except (ValueError, OSError) as error:
        raise NpresnetError(f"{name} cannot be written: {' '.join(str(error).split())[:300]}") from error
    return found


def _shown(run: dict[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {str(run.get(name))[:40]}" for name in names)
