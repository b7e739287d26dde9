"""identity: identifies a weight file's content without reading all of it; a cache key (`cpu.prepared`)."""

from __future__ import annotations

import os
import zlib

from npresnet.weights.source import Source
from npresnet.weights.zip_file import directory_span


def identity(source: Source) -> str:
    """A string that differs between files: path, size, modification time and, for a zip archive, its directory's CRC.

    The directory holds the size and CRC of every member, so it changes with any byte in them even if the modification
    time does not.
    """
    text = f"{os.path.realpath(source.path)}, {source.size_bytes} bytes, {source.changed_ns} ns"
    if not source.head().startswith(b"PK\x03\x04"):
        return text
    return f"{text}, directory {zlib.crc32(directory_span(source).read()):08x}"
