"""What our `.npz` files say beside the tensors: every decision, preprocessing, labels, and the weights' origin.

    {"format": "npresnet", "version": 1,
     "config":     {name: {"value", "origin", "note"}},    what was decided from names, shapes and options
     "preprocess": {"resize": 256, "crop": 224, ...} or null,
     "labels":     ["tench", ...] or null,
     "source":     {"file": "resnet18-f37072fd.pth", "sha256": "f37072fd..."}}

So a file stays usable when a default changes, and needs no file beside it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from npresnet import weights
from npresnet.config import Config, Decision
from npresnet.errors import ArchitectureError, CheckpointError
from npresnet.images import Preprocess

FORMAT = "npresnet"
VERSION = 1
OF_ONE_RUN = ("device", "dtype", "threads", "fast", "winograd")
APART = (*OF_ONE_RUN, "preprocess", "labels", "source")  # the last three are kept in full beside the config


class Source(NamedTuple):
    """Where the weights came from: a name for people, the file as it was when it was read, and its SHA-256 if known."""

    name: str
    path: str | None = None
    stamp: tuple[int, int] | None = None  # size in bytes, time of change in ns
    sha256: str | None = None

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> Source:
        path = os.fspath(path)
        return cls(os.path.basename(path), path, _stamp(path))

    def to_dict(self) -> dict[str, str | None]:
        """Name and SHA-256; the hash is taken now, unless the file is no longer the one that was read."""
        sha256 = self.sha256
        if sha256 is None and self.path is not None and self.stamp is not None and self.stamp == _stamp(self.path):
            sha256 = weights.sha256(self.path)
        return {"file": self.name, "sha256": sha256}


class Stored(NamedTuple):
    """What a file of ours says. Nothing of it is trusted before it is checked."""

    config: Config
    preprocess: Preprocess | None
    labels: list[str] | None
    source: Source


def to_metadata(
    config: Config, preprocess: Preprocess | None, labels: Sequence[str] | None, source: Source
) -> dict[str, Any]:
    """The metadata of a model, as plain JSON types."""
    decided = {name: decision for name, decision in config.items() if name not in APART}
    return {
        "format": FORMAT,
        "version": VERSION,
        "config": Config(decided).to_dict(),
        "preprocess": None if preprocess is None else preprocess.to_dict(),
        "labels": None if labels is None else list(labels),
        "source": source.to_dict(),
    }


def from_metadata(metadata: Mapping[str, Any], path: str) -> Stored | None:
    """What our metadata says, None for a file that has none. Raises CheckpointError where it is damaged."""
    if metadata.get("format") != FORMAT:
        return None
    if metadata.get("version") != VERSION:
        raise CheckpointError(
            f"{path} was written in version {metadata.get('version')!r} of npresnet's format, and this npresnet reads "
            f"version {VERSION}; update npresnet, or convert the original weights again"
        )
    try:
        return _parse(metadata)
    except (ArchitectureError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: its npresnet metadata is damaged ({type(error).__name__}: {error}); convert the original weights "
            "again"
        ) from error


def _parse(metadata: Mapping[str, Any]) -> Stored:
    decisions = {name: Decision(d["value"], "file", str(d["note"])) for name, d in metadata["config"].items()}
    labels = metadata["labels"]
    if labels is not None and not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
        raise TypeError("labels are no list of names")
    source, preprocess = metadata["source"], metadata["preprocess"]
    return Stored(
        Config(decisions),
        None if preprocess is None else Preprocess.from_dict(preprocess),
        labels,
        Source(Path(str(source["file"])).name, sha256=source["sha256"]),
    )


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
