"""Prepacked weights stored in a file of the user's cache, and memory-mapped when the same weights are loaded again.

- A file's head holds all that its numbers depend on: NumPy and its BLAS, and for each array the layer, the
  prepacked form, its shape and a checksum of the scale and of some weights. Its name is a checksum of the head.
- The weights are those that were prepared if the weight file's stamp is (`system.stamp`), else if a checksum of all of
  them is: so a copy of the file, or a container's image, keeps its prepared weights. Its stamp is then noted.
- All bytes are checked when a file is mapped (`prepared_file`); only the user's own regular files are accepted.
- They are written from the second load of the same weights on, so that a script that runs once writes nothing, and by
  `npresnet convert` and `npresnet prepare`.
- A file is renamed into place when complete, so that processes may write and read concurrently.
- Failures of this cache are never errors: without it the weights are prepacked again, with the same bits.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from npresnet.cpu.compiler.prepared_file import (
    Opened,
    Record,
    file_bytes,
    padded_text,
    read_prepared,
    stamp_field,
    write_prepared,
)
from npresnet.cpu.compiler.prepared_folder import SUFFIX, folder, is_noted, make_folder, make_room, mark_loaded, note
from npresnet.cpu.kernels.filters import Filters, Key
from npresnet.cpu.runtime import blas
from npresnet.cpu.runtime.workers import Team, share
from npresnet.system.files import is_own
from npresnet.system.mapping import drop_pages
from npresnet.system.signals import raise_signals
from npresnet.system.stamp import Identity

FORMAT = 6  # increase on any change of the prepacked forms (`filters`) or of the file format
SAMPLES = 8  # numbers of each layer in the head: each may cost a read from a disk

_loaded: set[str] = set()  # the stamps of what this process has loaded


class Wanted(NamedTuple):
    """One prepacked form of one convolution's weights."""

    name: str
    filters: Filters
    key: Key

    @property
    def shape(self) -> tuple[int, ...]:
        return self.filters.prepacked_shape(self.key)


def store_of(content: Identity | None) -> Store | None:
    """The user's store for a weight file; None for weights that are not from a file, and where disabled.

    Each call counts as a load of that file.
    """
    if content is None:
        return None
    is_again = content.stamp in _loaded
    if content.stamp:
        _loaded.add(content.stamp)
    place = folder()
    return None if place is None else Store(place, content, always=is_again)


class Store:
    """The prepared files of one weight file.

    place    the folder, created when first written to
    content  the weight file
    always   whether to write without an earlier load
    file     the file that was last read or written; None before that
    problem  why one could not be written
    """

    def __init__(self, place: Path, content: Identity, *, always: bool = False):
        self._folder = place
        self._content = content
        self._always = always
        self.file: Path | None = None
        self.problem = ""

    def fill(self, wanted: Sequence[Wanted], team: Team | None = None) -> bool:
        """Load all wanted forms into their filters from a file; False where there is none, or not of these weights.

        team  workers that this call has entered, which share the checks; None uses this thread alone
        """
        head = self._head(wanted)
        try:
            found = read_prepared(self._path(head), head, [one.shape for one in wanted], team)
        except (OSError, ValueError) as error:
            raise_signals(error)
            return False
        if found is None:
            return False
        path = self._path(head)
        is_known = self._is_known(found, path)
        if not is_known and found.weights_crc != checksum_of_all(wanted, team):
            return False
        self.file = path
        mark_loaded(path)
        if not is_known and self._content.stamp:
            note(path, self._line(found))
        for (_, filters, key), array in zip(wanted, found.arrays, strict=True):
            filters.adopt(key, array)
        return True

    def _is_known(self, found: Opened, path: Path) -> bool:
        """Whether the file was made of this weight file, or was found to be of the same weights."""
        stamp = stamp_field(self._content)
        if stamp.strip() and found.stamp == stamp:
            return True
        return bool(self._content.stamp) and is_noted(path, self._line(found))

    def _line(self, found: Opened) -> str:
        return f"{found.weights_crc:08x} {self._content.stamp!a}"  # one line, whatever a state dict is called

    def is_due(self, wanted: Sequence[Wanted]) -> bool:
        """Whether to keep what `fill` did not find: not at the first load. Counts as a load."""
        path = self._path(self._head(wanted))
        was_loaded = mark_loaded(path)
        try:
            return self._always or is_own(os.lstat(path))  # a damaged or stale one; another's would not be replaced
        except OSError:
            return was_loaded

    def keep(self, wanted: Sequence[Wanted], weights_crc: int, team: Team | None = None) -> None:
        """Write the filters' prepacked forms to one file. Where that fails nothing is stored.

        weights_crc  `checksum_of_all` before they were prepacked; nothing is stored if the weights changed meanwhile
        """
        try:
            if checksum_of_all(wanted, team) != weights_crc:
                raise OSError("the weight file was changed meanwhile")
            self.file = self._write(wanted, weights_crc)
        except (OSError, ValueError) as error:
            raise_signals(error)
            self.file = None
            self.problem = (error.strerror if isinstance(error, OSError) else None) or str(error)

    def _write(self, wanted: Sequence[Wanted], weights_crc: int) -> Path:
        head, shapes = self._head(wanted), [one.shape for one in wanted]
        size_bytes = file_bytes(head, shapes)
        make_folder(self._folder)
        if not make_room(self._folder, size_bytes):
            raise OSError(f"they take {size_bytes / 1e6:,.0f} MB")
        arrays = [filters.prepacked(key) for _, filters, key in wanted]
        write_prepared(self._path(head), head, Record(self._content, weights_crc), arrays)
        make_room(self._folder, 0)  # others may have written meanwhile
        return self._path(head)

    def _head(self, wanted: Sequence[Wanted]) -> bytes:
        described = [[one.name, *one.key, one.shape, checksum(one.filters)] for one in wanted]
        libraries = [np.__version__, *blas.versions()]
        text = json.dumps({"npresnet prepared": FORMAT, "by": libraries, "arrays": described})
        return padded_text(text.encode())

    def _path(self, head: bytes) -> Path:
        return self._folder / f"{zlib.crc32(head):08x}{SUFFIX}"


def checksum(filters: Filters) -> int:
    """Of the layer, its whole scale, and SAMPLES weights from all over it."""
    crc = 0 if filters.scale is None else zlib.crc32(np.ascontiguousarray(filters.scale).tobytes())
    weight = filters.weight
    described = (type(filters).__name__, filters.groups, filters.window, weight.dtype.str, weight.shape)
    places = np.linspace(0, max(0, weight.size - 1), min(SAMPLES, weight.size)).astype(np.intp)
    samples = weight[np.unravel_index(places, weight.shape)]
    return zlib.crc32(samples.tobytes(), zlib.crc32(repr(described).encode(), crc))


def checksum_of_all(wanted: Sequence[Wanted], team: Team | None = None) -> int:
    """A CRC-32 of all weights of all layers. `checksum` has their scales."""
    layers = list({id(one.filters): one.filters for one in wanted}.values())
    found = [0] * len(layers)

    def check(index: int) -> None:
        found[index] = zlib.crc32(np.ascontiguousarray(layers[index].weight).data)
        drop_pages(layers[index].weight)

    share(sorted(range(len(layers)), key=lambda index: -layers[index].weight.nbytes), check, team)
    return zlib.crc32(np.array(found, "<u4").tobytes())
