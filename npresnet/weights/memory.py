"""Weights in memory: the bytes of a file, or a binary file object. They are read as files are, within the same bounds.

- Bytes are used in place, so that arrays are views of them. A bytearray, and any other buffer that could be written
  into, is copied first.
- A file object is read from where it stands to its end; it needs neither `seek` nor a name. One that `open(path, "rb")`
  made and nobody has read from is mapped, as its path would be.
- Nothing is written to disk.
- Errors name a file object by its `name`, others by their type: `<bytes>`, `<BytesIO>`.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Mapping
from typing import IO, Any

from npresnet.errors import CheckpointError
from npresnet.system.foreign import named
from npresnet.system.memory import is_memory_error
from npresnet.system.signals import raise_signals
from npresnet.weights.budget import Budget
from npresnet.weights.source import Path, Source, Span, shown

Readable = Path | bytes | bytearray | memoryview | IO[bytes] | Mapping[str, Any]
_LONGEST_PATH = 4096


def is_in_memory(source: object) -> bool:
    """Whether this is bytes, a file object or a mapping of arrays, rather than a path or a name."""
    if isinstance(source, (str, os.PathLike)):
        return False
    return isinstance(source, (bytes, bytearray, memoryview, Mapping)) or hasattr(source, "read")


def path_of(source: object) -> str | None:
    """The path of a file that `open(path, "rb")` opened and nobody has read from; None for anything else."""
    opened: Any = source
    if type(source) not in (io.BufferedReader, io.FileIO):
        return None
    try:
        file = opened.raw if type(source) is io.BufferedReader else opened
        if type(file) is not io.FileIO:  # what unpacks a file, and has its number and name
            return None
        if isinstance(file.name, int) or opened.tell() or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        return os.fsdecode(file.name) if os.path.samestat(os.fstat(file.fileno()), os.stat(file.name)) else None
    except (OSError, ValueError, TypeError, AttributeError):  # closed, renamed; reading it raises the error
        return None


def name_of(source: object) -> str:
    """What messages call weights in memory."""
    if isinstance(source, Mapping):
        return "<arrays>"
    name = getattr(source, "name", None)
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    return name if isinstance(name, str) and name else f"<{type(source).__name__}>"


def open_memory(source: Any) -> Source:
    """The bytes of a buffer or a file object. Raises CheckpointError, without its name."""
    data = _read(source) if hasattr(source, "read") else _bytes(source)
    if not data:
        raise CheckpointError(
            "it is empty (0 bytes), or was read to its end before: `file.seek(0)` goes back to the start."
        )
    return Source(name_of(source), Span(data, 0, len(data)), Budget(len(data)), in_memory=True)


def _bytes(source: bytes | bytearray | memoryview) -> bytes:
    whole = source.obj if isinstance(source, memoryview) else source
    if isinstance(whole, bytes) and memoryview(source).nbytes == len(whole) and memoryview(source).c_contiguous:
        data = whole
    else:
        data = bytes(source)
    if _looks_like_path(data):
        raise CheckpointError(
            f"bytes are the contents of a weight file, but these, {shown(data, 60)}, look like a path: pass "
            "os.fsdecode(path)."
        )
    return data


def _looks_like_path(data: bytes) -> bool:
    """By the look alone: bytes may come from anybody, whom it does not concern which files exist here."""
    text = os.fsdecode(data) if 0 < len(data) <= _LONGEST_PATH else ""
    return text.isprintable() and bool(
        re.search(r"[\w)]\.(npz|pth?|th|pkl|safetensors|bin|ckpt|tar|h5|keras)$", text, re.I)
    )


def _read(source: Any) -> bytes:
    if isinstance(source, io.TextIOBase):
        raise CheckpointError("it was opened as text; open it with mode 'rb', or pass its path.")
    foreign = named(source)
    if foreign:
        raise CheckpointError(f"it is {foreign}.")
    try:
        data = source.read()
    except Exception as error:  # a closed file, a damaged archive, whatever a foreign object raises
        raise_signals(error)
        if is_memory_error(error):
            raise
        raise CheckpointError(f"it cannot be read: {error or type(error).__name__}.") from None
    if not isinstance(data, (bytes, bytearray, memoryview)):
        close = getattr(data, "close", None)  # of a coroutine that nobody will await
        if close is not None:
            close()
        raise CheckpointError(f"its read() returned {type(data).__name__}, expected bytes; open it with mode 'rb'.")
    return data if type(data) is bytes else bytes(data)
