"""A Parquet file of rows: what it notes of itself beside them, and a copy of it without some of them."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from npresnet.ray.cluster import arrow
from npresnet.ray.table import UNREAD

# keys of the file's metadata, beside UNREAD
RUN, PARTS, FOLDER = b"npresnet.run", b"npresnet.parts", b"npresnet.folder"


class Note(NamedTuple):
    """What a file says of itself.

    run     model and settings that its rows depend on, as JSON
    folder  what its relative paths are relative to
    unread  paths of the rows of pictures that could not be fetched or ended processes, so that they are tried again
    parts   names of the parts that the file was made of
    """

    run: bytes
    folder: str
    unread: frozenset[str] = frozenset()
    parts: tuple[str, ...] = ()

    def metadata(self) -> dict[bytes, bytes]:
        """Of Parquet; thousands of paths are compressed, for readers limit its length."""
        made = {RUN: self.run, FOLDER: self.folder.encode(errors="surrogateescape")}
        if self.parts:
            made[PARTS] = json.dumps(self.parts).encode()
        if self.unread:
            made[UNREAD] = b64encode(zlib.compress(json.dumps(sorted(self.unread)).encode()))
        return made


def note(filesystem: Any, path: str, folder: str) -> tuple[Note, list[str]]:
    """What a file says of itself, and the paths of its rows; `folder` where it names none.

    Raises OSError and ValueError where it is no Parquet file.
    """
    import pyarrow.parquet as parquet

    with filesystem.open_input_file(path) as stream:
        file = parquet.ParquetFile(stream)
        told = file.schema_arrow.metadata or {}
        unread = json.loads(zlib.decompress(b64decode(told[UNREAD]))) if UNREAD in told else ()
        found = Note(
            told.get(RUN, b"{}"),
            told[FOLDER].decode(errors="surrogateescape") if FOLDER in told else folder,
            frozenset(unread),
            tuple(json.loads(told.get(PARTS, b"[]"))),
        )
        return found, file.read(["path"])["path"].to_pylist() if RUN in told else []


def row_groups(filesystem: Any, files: Iterable[str], size: int, dropped: Collection[str] = ()) -> Iterator[Any]:
    """The rows of all files but those of the `dropped` paths, in tables of about `size`."""
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    pa, rows, count = arrow(), list[Any](), 0
    without = pa.array(sorted(dropped), pa.string())
    for path in files:
        with filesystem.open_input_file(path) as stream:
            file = parquet.ParquetFile(stream)
            for group in range(file.num_row_groups):
                found = file.read_row_group(group).replace_schema_metadata(None)
                if dropped:
                    found = found.filter(compute.invert(compute.is_in(found["path"], value_set=without)))
                rows.append(found)
                count += found.num_rows
                if count >= size:
                    yield pa.concat_tables(rows)
                    rows, count = [], 0
    if rows:
        yield pa.concat_tables(rows)
