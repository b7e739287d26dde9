"""The Parquet output: whole parts while the work goes on, and one file made of them at its end.

`out.parquet` is a file: until it is complete, its rows are in `out.parquet.parts/`. Any other name is a folder of
parts, which pandas, Spark, DuckDB and pyarrow read as one table. A part is written under a hidden name and then
renamed, so that a run that is cut, at any moment, leaves whole parts; they hold what was done, and a resumed run goes
on from there. A part's name is unique to its run. The file lists the parts it was made of: if a run is cut between
writing the file and deleting the parts, they are not taken twice.

A row whose picture could not be fetched, or ended processes, is noted in its file as unread. A resumed run that does
the picture again takes that row out before it writes its first part, so that no picture ever has two rows.

One run at a time: beside the parts, the hidden file OWNER names the run that writes. A run that is resumed becomes the
owner and deletes what is unfinished, and one that was not dead after all stops before it would write or delete anything
more. This needs no locks, which object stores do not have. They rename by copying, so that a part may appear after its
run has lost the output. So each run looks again after its last step, the owner for parts that came late, the other
whether the owner has gone already; whoever comes second takes rows that are there twice out of the late part.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from npresnet.errors import NpresnetError
from npresnet.ray.cluster import arrow
from npresnet.ray.known import Known, identities
from npresnet.ray.place import Place
from npresnet.ray.replacing import Replacing
from npresnet.ray.rows import Note, note, row_groups
from npresnet.ray.table import schema, unread_in

PART_S, PART_ROWS = 5.0, 65_536  # a part is written when it is so old or so long: what a cut can cost


class Output:
    """Where rows go. Only the process that was asked writes, so that a row is written once whatever workers do.

    destination  a local path, or an address of pyarrow's file systems
    run          what the rows depend on: rows of another model are not mixed with them

    Raises NpresnetError if the output exists and `resume` is false, or it is another model's.
    """

    def __init__(self, destination: str | os.PathLike[str], run: dict[str, Any], *, resume: bool):
        self._place = Place(destination)
        self.name, self._fs = self._place.name, self._place.filesystem
        self._run, self._id = json.dumps(run, sort_keys=True).encode(), uuid.uuid4().hex[:12]
        self._rows: list[Any] = []
        self._count = self._written = 0
        self._since = monotonic()
        self._merged: set[str] = set()  # names of parts that the file holds
        self._notes: dict[str, Note] = {}  # of the files that are there
        self._drops: dict[str, set[str]] = {}  # file -> paths of rows that are to leave it
        self._folder = ""
        self.done: set[str] = set()  # paths that have a row which is final, errors of pictures included
        self.unread: set[str] = set()  # those whose picture is to be tried again
        self._begin(resume)

    def known(self) -> Known:
        """Which pictures have a row."""
        return Known(self.done, self.unread, self._folder)

    def replace(self, paths: Iterable[str]) -> None:
        """These rows, of pictures that are tried again, leave the output as soon as there are new ones."""
        wanted = set(paths)
        for file, told in self._notes.items():
            self._drops.setdefault(file, set()).update(wanted & told.unread)

    def add(self, rows: Any) -> None:
        """Take a table of rows; it is in a file after PART_S at the latest, if rows keep coming."""
        self._rows.append(rows)
        self._count += rows.num_rows
        if self._count >= PART_ROWS or monotonic() - self._since >= PART_S:
            self.flush()

    def flush(self) -> None:
        """Write what was taken as a part."""
        if self._rows:
            self._drop()
            told = Note(self._run, self._folder, frozenset().union(*map(unread_in, self._rows)))
            rows = arrow().concat_tables([rows.replace_schema_metadata(None) for rows in self._rows])
            part = f"{self._place.folder}/part-{self._id}-{self._written:06d}.parquet"
            try:
                self._write(part, told, [rows])
            except OSError:
                self._require_owner()  # another run has made the one file, and deleted the folder of parts
                raise
            self._withdraw_late(part)
            self._require_owner()
            self.done.update(rows["path"].to_pylist())
            self._rows, self._count, self._written = [], 0, self._written + 1
        self._since = monotonic()

    def complete(self) -> None:
        """All rows are there: write the last part, and make the one file of all of them."""
        self.flush()
        self._drop()
        if self._place.is_file:
            self._merge()
        else:
            self.close()
            self._drop_late(self._place.parts())

    def _merge(self) -> None:
        path, exists, parts = self._place.path, self._place.exists(), self._place.parts()
        self._drop_late(parts)
        files = [path, *parts] if exists else parts
        notes = {file: note(self._fs, file, self._folder)[0] for file in files}
        if exists:  # perhaps since a moment ago, of a run that had not ended
            self._merged.update(notes[path].parts)
        files = [file for file in files if os.path.basename(file) not in self._merged]
        unread = frozenset[str]().union(*(notes[file].unread for file in files))
        names = tuple(os.path.basename(file) for file in files if file != path)
        self._write(path, Note(self._run, self._folder, unread, names), row_groups(self._fs, files, PART_ROWS))
        self._require_owner()
        self._fs.delete_dir(self._place.folder)

    def close(self) -> None:
        """This run writes no more: what is there may be resumed, and nothing is left of a run without rows."""
        if self._place.owner() == self._id:
            self._place.disown()

    def _begin(self, resume: bool) -> None:
        exists = self._place.exists() or bool(self._place.files())
        if exists and not resume:
            raise NpresnetError(
                f"{self.name} exists{'' if self._place.exists() else ', unfinished'}; --resume (resume=True) adds "
                "what is missing in it, another -o begins anew"
            )
        self._place.own(self._id)
        try:
            self._read_all()
        except BaseException:
            self.close()
            raise
        self._folder = self._folder or os.getcwd()

    def _read_all(self) -> None:
        """Note what is done, and which rows are there twice."""
        self._place.remove_unfinished()
        paths: dict[str, list[str]] = {}
        if self._place.is_file and self._place.exists():
            paths[self._place.path] = self._read(self._place.path)
        for part in self._place.parts():
            if os.path.basename(part) in self._merged:
                self._fs.delete_file(part)
            else:
                paths[part] = self._read(part)
        for is_final in (True, False):
            for file, rows in paths.items():
                unread = self._notes[file].unread
                self._take(file, {path for path in rows if (path not in unread) == is_final}, is_final)

    def _take(self, file: str, paths: set[str], is_final: bool) -> None:
        """Note rows of a file as done or unread; a picture that has a row elsewhere leaves this file."""
        twice = paths & (self.done | self.unread)
        if twice:
            self._drops.setdefault(file, set()).update(twice)
        (self.done if is_final else self.unread).update(paths - twice)

    def _read(self, path: str) -> list[str]:
        """The paths of a file's rows. Raises NpresnetError if it is not of the same run."""
        try:
            told, paths = note(self._fs, path, os.getcwd())
        except (OSError, ValueError) as error:
            way = "" if path == self._place.path else "delete it, so that its pictures are done again, or "
            message = f"{path} cannot be read, so it cannot be resumed: {error}; {way}use another -o"
            raise NpresnetError(message) from error
        if told.run == self._run:
            self._merged.update(told.parts)
            self._notes[path] = told
            self._folder = self._folder or told.folder
            return paths
        theirs, ours = json.loads(told.run), json.loads(self._run)
        if not theirs:
            raise NpresnetError(
                f"{path} lacks npresnet's note of how it was made, so it cannot be resumed: another program wrote it, "
                "perhaps a copy of an output; use another -o"
            )
        differ = [name for name in ours if theirs.get(name) != ours[name]]
        raise NpresnetError(
            f"{path} was written with another {' and another '.join(differ)} ({_shown(theirs, differ)}) than is asked "
            f"for now ({_shown(ours, differ)}); resume with what it was begun with, or use another -o"
        )

    def _drop(self) -> None:
        """Rewrite the files in which rows are to be replaced, or are there twice."""
        for file, paths in self._drops.items():
            self._without(file, self._notes[file], paths, self._require_owner)
        self._drops = {}

    def _drop_late(self, parts: list[str]) -> None:
        """Take out of parts that appeared after this run began what it has done itself."""
        late = [part for part in parts if part not in self._notes and f"part-{self._id}-" not in part]
        identity = identities(self._folder)
        known = {identity(path) for path in self.done | self.unread} if late else set()
        for part in late:
            told, paths = note(self._fs, part, self._folder)
            self._without(part, told, {path for path in paths if identity(path) in known}, _unchecked)

    def _withdraw_late(self, part: str) -> None:
        """Where a part appeared after another run has begun and ended, take out of it what that run has done."""
        if self._place.owner():  # this run; or another, which looks for late parts at its end
            return
        files = [self._place.path] if self._place.is_file and self._place.exists() else []
        files += [file for file in self._place.parts() if file != part]
        identity = identities(self._folder)
        known = {identity(path) for file in files for path in note(self._fs, file, self._folder)[1]}
        told, paths = note(self._fs, part, self._folder)
        self._without(part, told, {path for path in paths if identity(path) in known}, _unchecked)

    def _without(self, file: str, told: Note, paths: set[str], check: Callable[[], None]) -> None:
        """Rewrite a file without the rows of these paths."""
        if paths:
            told = told._replace(unread=told.unread - paths)
            self._write(file, told, row_groups(self._fs, [file], PART_ROWS, paths), check)

    def _write(self, file: str, told: Note, tables: Iterable[Any], check: Callable[[], None] | None = None) -> None:
        with Replacing(self._fs, file, schema(told.metadata()), check or self._require_owner) as writer:
            for rows in tables:
                writer.write_table(rows)

    def _require_owner(self) -> None:
        """Raise NpresnetError if another run has taken over."""
        if self._place.owner() != self._id:
            raise NpresnetError(
                f"another run has begun to write {self.name}, so this one stops; its rows stay. One run at a time "
                "writes an output; --resume (resume=True) does what is missing"
            )


def _unchecked() -> None:
    """Of a late part any run may take out what is there twice."""


def _shown(run: dict[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {str(run.get(name))[:40]}" for name in names)
