"""Which bytes a weight file holds, without reading them all: for what is derived from it and kept (`cpu.prepared`)."""

from __future__ import annotations

import os
import zlib

from npresnet.weights.source import Source
from npresnet.weights.zip_file import directory_span


def identity(source: Source) -> str:
    """A text that is another one for another file: path, size, time of change, and of a zip archive its directory.

    The directory holds the size and the checksum of every member, so that it changes with any number in them, whatever
    the file's time says.
    """
    text = f"{os.path.realpath(source.path)}, {source.size_bytes} bytes, {source.changed_ns} ns"
    if not source.head().startswith(b"PK\x03\x04"):
        return text
    return f"{text}, directory {zlib.crc32(directory_span(source).read()):08x}"
