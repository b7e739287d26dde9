"""Weights are opened: a file, a folder, an index of shards, or what is in memory; errors of any reader name the file.

`parsing` is the only place where errors of parsing are caught.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from npresnet.errors import CheckpointError, DeviceError
from npresnet.system.memory import is_memory_error, no_memory_for
from npresnet.system.signals import raise_signals
from npresnet.system.text import visible
from npresnet.weights.contents import Contents
from npresnet.weights.memory import Readable, is_in_memory, open_memory
from npresnet.weights.sniff import read_contents
from npresnet.weights.source import Path, Source, open_source, path_text, shown
from npresnet.weights.zip_file import directory_span


class Opened(NamedTuple):
    """A weight file before its tensors are read; its sources are the shards of one that is spread over several."""

    sources: list[Source]
    contents: Contents

    @property
    def files(self) -> list[str]:
        """The paths of what was read; [] of weights in memory."""
        return [source.path for source in self.sources if not source.in_memory]

    @property
    def identity(self) -> str:
        """Different after any change of the files; "" where nothing tells, as of weights in memory."""
        stamps = list(map(_identity, self.sources))
        return "; ".join(stamps) if all(stamps) else ""


def open_weights(path: Readable) -> Opened:
    """Open a file, a folder or an index of shards; or what is in memory already. Raises CheckpointError."""
    if isinstance(path, Mapping):
        from npresnet.weights.arrays import read_arrays

        source, contents = read_arrays(path)
        return Opened([source], contents)
    if is_in_memory(path):
        source = open_memory(path)
        return Opened([source], read_contents(source))
    text = path_text(path)  # type: ignore[arg-type]
    if not os.path.isdir(text):
        source = open_source(text)
        if source.head(1) != b"{":
            return Opened([source], read_contents(source))
    from npresnet.weights.shards import open_shards

    return Opened(*open_shards(text))


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Convert any exception raised while reading a file into a CheckpointError that names the file.

    Readers raise CheckpointError for problems they detect. Any other exception comes from malformed input that a reader
    did not check for; it is chained as the cause. tests/fuzz fails on causes that can only be bugs in npresnet
    (TypeError, AttributeError, ...). What is no damage passes: exceptions of the caller's signal handlers, and lack of
    memory, which is a DeviceError.
    """
    before = sys.exc_info()[1]
    try:
        with np.errstate(all="ignore"):
            yield
    except CheckpointError as error:
        raise_signals(error, before)
        raise CheckpointError(f"{visible(path_text(path))}: {error}") from error
    except Exception as error:
        raise_signals(error, before)
        if is_memory_error(error):
            raise DeviceError(no_memory_for(visible(path_text(path)))) from error
        reason = f"{type(error).__name__}: {shown(error, 200)}"
        raise CheckpointError(
            f"{visible(path_text(path))}: the file is damaged or of an unknown format ({reason})."
        ) from error


def _identity(source: Source) -> str:
    """The file's stamp, and for a zip archive its directory's CRC; "" without a stamp.

    The directory holds the size and CRC of every member, so it changes with any byte in them, unless its writer left
    the CRCs out.
    """
    if not source.stamp or not source.head().startswith(b"PK\x03\x04"):
        return source.stamp
    return f"{source.stamp}, directory {zlib.crc32(directory_span(source).read()):08x}"
