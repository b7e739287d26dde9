"""A Parquet file that appears under its name when it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from npresnet.ray.cluster import arrow


class Replacing:
    """A Parquet writer whose file appears when it is whole, and on this machine's disks when it is there.

    check  is called before the file is written, and before it appears; what it raises ends both
    """

    def __init__(self, filesystem: Any, path: str, columns: Any, check: Callable[[], None]):
        self._fs, self._path, self._columns, self._check = filesystem, path, columns, check
        folder, name = os.path.split(path)
        self._temporary = f"{folder}/.{name}.unfinished"

    def __enter__(self) -> Any:
        import pyarrow.parquet as parquet

        self._check()
        self._stream = self._fs.open_output_stream(self._temporary)
        self._writer = parquet.ParquetWriter(self._stream, self._columns)
        return self._writer

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        is_whole = False
        try:
            self._writer.close()
            self._stream.close()
            if kind is None:
                self._check()
                self._sync()
                self._fs.move(self._temporary, self._path)
                is_whole = True
        finally:
            if not is_whole:
                with suppress(OSError):  # another run may have deleted it
                    self._fs.delete_file(self._temporary)

    def _sync(self) -> None:
        """Without it a power cut may leave the name and nothing in it, when what it was made of is deleted."""
        if isinstance(self._fs, arrow().fs.LocalFileSystem):
            with open(self._temporary, "r+b") as file:
                os.fsync(file.fileno())
