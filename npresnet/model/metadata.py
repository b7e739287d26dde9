"""The metadata of npresnet's `.npz` files: all decisions, preprocessing, labels, and the origin of the weights.

    {"format": "npresnet", "version": 1,
     "config":     {name: {"value", "origin", "note"[, "alternatives"]}},    decided from names, shapes and options
     "preprocess": {"resize": 256, "crop": 224, ...} or null,
     "preprocess_alternatives": [...],                                     only where it was ambiguous
     "labels":     ["tench", ...] or null,
     "source":     {"file": "resnet18-f37072fd.pth", "sha256": "f37072fd..."}}

A file is therefore independent of changing defaults and of other files.
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
RUNTIME = ("device", "dtype", "threads", "fast", "winograd", "max_pixels")
EXCLUDED = (*RUNTIME, "preprocess", "labels", "source")  # the last three have their own entries


class Source(NamedTuple):
    """The origin of the weights: a name to show, the file's path and stamp when it was read, its SHA-256 if known."""

    name: str
    path: str | None = None
    stamp: tuple[int, int] | None = None  # size in bytes, modification time in ns
    sha256: str | None = None

    @classmethod
    def of_files(cls, path: str, files: Sequence[str]) -> Source:
        """A file, or a folder or an index of these files; several have no SHA-256."""
        name = os.path.basename(os.path.normpath(path))
        return cls(name, files[0], _stamp(files[0])) if len(files) == 1 else cls(name)

    def to_dict(self) -> dict[str, str | None]:
        """Name and SHA-256; the hash is computed now, and omitted if the file has changed since it was read."""
        sha256 = self.sha256
        if sha256 is None and self.path is not None and self.stamp is not None and self.stamp == _stamp(self.path):
            sha256 = weights.sha256(self.path)
        return {"file": self.name, "sha256": sha256}


class Stored(NamedTuple):
    """The parsed metadata of a file; its values are still to be checked against the tensors."""

    config: Config
    preprocess: Preprocess | None
    labels: list[str] | None
    source: Source
    doubts: tuple[str, ...] = ()  # alternatives of the preprocessing


def to_metadata(
    config: Config, preprocess: Preprocess | None, labels: Sequence[str] | None, source: Source
) -> dict[str, Any]:
    """The metadata of a model, as plain JSON types."""
    decided = {name: decision for name, decision in config.items() if name not in EXCLUDED}
    doubts = config["preprocess"].alternatives if "preprocess" in config else ()
    return {
        **({"preprocess_alternatives": list(doubts)} if doubts else {}),
        "format": FORMAT,
        "version": VERSION,
        "config": Config(decided).to_dict(),
        "preprocess": None if preprocess is None else _written(preprocess),
        "labels": None if labels is None else list(labels),
        "source": source.to_dict(),
    }


def _written(preprocess: Preprocess) -> dict[str, Any]:
    """Its options, without `draft` unless it is set: older versions know no such option, and refuse the file."""
    return {name: value for name, value in preprocess.to_dict().items() if name != "draft" or value}


def from_metadata(metadata: Mapping[str, Any], path: str) -> Stored | None:
    """Parse npresnet's metadata; None for a file without it. Raises CheckpointError if it is damaged."""
    if metadata.get("format") != FORMAT:
        return None
    if metadata.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has version {metadata.get('version')!r} of npresnet's format, expected {VERSION}; update "
            "npresnet, or convert the original weights again"
        )
    try:
        return _parse(metadata)
    except (ArchitectureError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: its npresnet metadata is damaged ({type(error).__name__}: {error}); convert the original weights "
            "again"
        ) from error


def _parse(metadata: Mapping[str, Any]) -> Stored:
    decisions = {name: _decision(entry) for name, entry in metadata["config"].items()}
    labels = metadata["labels"]
    if labels is not None and not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
        raise TypeError("labels are not a list of names")
    source, preprocess = metadata["source"], metadata["preprocess"]
    return Stored(
        Config(decisions),
        None if preprocess is None else Preprocess.from_dict(preprocess),
        labels,
        Source(Path(str(source["file"])).name, sha256=source["sha256"]),
        _options(metadata.get("preprocess_alternatives", [])),
    )


def _decision(entry: Mapping[str, Any]) -> Decision:
    return Decision(entry["value"], "file", str(entry["note"]), _options(entry.get("alternatives", [])))


def _options(alternatives: Any) -> tuple[str, ...]:
    if not isinstance(alternatives, list) or not all(isinstance(option, str) for option in alternatives):
        raise TypeError("alternatives are not a list of options")
    return tuple(alternatives)


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
