"""Logits in float64 by the operations of the specification: minutes of a CPU, which are not to be spent beside a GPU.

`gpu_report.py --prepare FILE` writes them to a file that is carried to the GPU; `--references FILE` reads it. What is
not in it is computed there. A network is known by its name and all its numbers, so that an old file is of no effect.
"""

from __future__ import annotations

import functools
import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu import subjects
from npresnet import ops
from npresnet.network import Array

IMAGES = 8


class References:
    """Prepared logits, by network and size of the images. Without a file there are none.

    Raises ValueError for a file that `write` has not written.
    """

    def __init__(self, path: Path | None = None):
        self._kept: dict[str, Array] = {}
        if path is not None and path.exists():
            self._kept = _read(path)
        self._prepared = frozenset(self._kept)

    def logits(self, name: str, count: int, size: int) -> tuple[Array, str]:
        """((count, classes) float64 of the first images, where they come from)."""
        key = _key(name, size)
        if len(self._kept.get(key, ())) < count:
            self._kept[key] = _computed(name, count, size)
            self._prepared -= {key}
        return self._kept[key][:count], "prepared" if key in self._prepared else "computed here"

    def has(self, name: str, count: int, size: int) -> bool:
        """Whether nothing would be computed."""
        return len(self._kept.get(_key(name, size), ())) >= count

    def write(self, path: Path) -> None:
        """Replace the file by what is known."""
        partial = path.with_name(path.name + ".partial.npz")
        arrays: dict[str, Any] = dict(self._kept)
        np.savez(partial, **arrays)
        os.replace(partial, path)


def _read(path: Path) -> dict[str, Array]:
    try:
        with np.load(path) as archive:
            return dict(archive)
    except (AttributeError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name} is damaged, or was not written by --prepare: {error}") from None


def prepare(path: Path, names: Iterable[str], size: int, say: Callable[[str], None]) -> None:
    """Complete the file, network by network."""
    references = References(path)
    for name in names:
        if not references.has(name, IMAGES, size):
            references.logits(name, IMAGES, size)
            references.write(path)
        say(f"{name}: {IMAGES} images of {size}x{size} in {path.name}")


@functools.lru_cache
def _key(name: str, size: int) -> str:
    """The name, the size, and a hash of the network's numbers and the images' seed."""
    found = hashlib.sha256(f"{subjects.SEED}".encode())
    for node in subjects.network(name):
        for what, array in sorted(node.params.items()):
            found.update(f"{node.name} {what} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
    return f"{name} {size} {found.hexdigest()[:12]}"


def _computed(name: str, count: int, size: int) -> Array:
    x = subjects.images(count, size).astype(np.float64)
    return np.concatenate([ops.run(subjects.network(name), x[i : i + 1])["logits"] for i in range(count)])
