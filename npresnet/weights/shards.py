"""Folders, and state dicts spread over several files: Hugging Face's layout.

- A folder holds `model.safetensors` or `pytorch_model.bin`, or one of these with `.index.json` behind its name.
- An index is JSON: `{"metadata": {...}, "weight_map": {tensor's name: file's name, ...}}`.
- The files ("shards") MUST lie in the index's folder: a name with a path in it is refused.
- What reading may cost is counted for all shards together.
- Every shard is read, and mapped, as a file on its own. No two MAY hold a tensor of the same name, and each MUST hold
  the tensors that the index says it has.
"""

from __future__ import annotations

import os
import re
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.budget import Budget
from npresnet.weights.contents import Contents
from npresnet.weights.holders import name_of
from npresnet.weights.inert import as_mapping
from npresnet.weights.safetensors import parse_json
from npresnet.weights.sniff import read_contents
from npresnet.weights.source import Source, open_source, shown

WHOLE = ("model.safetensors", "pytorch_model.bin")
INDEX = ".index.json"
IN_A_FOLDER = (WHOLE[0], WHOLE[0] + INDEX, WHOLE[1], WHOLE[1] + INDEX)  # looked for in this order
_MAX_INDEX_BYTES = 64 << 20
_MAX_SHARDS = 512


def find_in_folder(folder: str) -> str | None:
    """The weight file, or the index of one, that a folder holds; None if it has none."""
    paths = (os.path.join(folder, name) for name in IN_A_FOLDER)
    return next((path for path in paths if os.path.isfile(path)), None)


def open_shards(path: str) -> tuple[list[Source], Contents]:
    """The sources and the contents of a folder, or of a file that begins as JSON does.

    Raises CheckpointError if the folder holds no weights, if the JSON is no index, and for shards that are missing,
    damaged or outside the folder.
    """
    if os.path.isdir(path):
        found = find_in_folder(path)
        if found is None and _is_closed(path):
            raise CheckpointError("this is a folder that this user may not search; check its permissions.")
        if found is None:
            raise CheckpointError(
                f"this is a folder without {', '.join(IN_A_FOLDER[:-1])} or {IN_A_FOLDER[-1]}; pass the path of the "
                "weight file itself."
            )
        path = found
    source = open_source(path)
    names = _shards_of(source) if source.head(1) == b"{" else None
    if names is None:
        return [source], read_contents(source)  # which says what JSON of another kind is
    return _read(os.path.dirname(path), os.path.basename(path), names, source.budget)


def _is_closed(folder: str) -> bool:
    try:
        os.stat(os.path.join(folder, IN_A_FOLDER[0]))
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def _shards_of(source: Source) -> dict[str, str] | None:
    """{tensor's name: file's name} of an index; None for JSON of another kind."""
    if source.size_bytes > _MAX_INDEX_BYTES or source.buffer.find(b'"weight_map"') < 0:
        return None
    names: Any = parse_json(source.span, "its index", source.budget).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise CheckpointError("its weight_map is not an object of {tensor: file}; the index is damaged.")
    return names


def _read(folder: str, index: str, names: dict[str, str], budget: Budget) -> tuple[list[Source], Contents]:
    files = list(dict.fromkeys(names.values()))
    if len(files) > _MAX_SHARDS:
        raise CheckpointError(f"its weight_map names {len(files):,} files; the limit is {_MAX_SHARDS}.")
    for file in files:
        _refuse_path(file)
    sources: list[Source] = []
    tensors: dict[object, object] = {}
    whole = Contents("", tensors, [f"{len(files)} shards, listed in {index}"])
    for file in files:
        source, contents = _open(os.path.join(folder, file), index, budget)
        entries = as_mapping(contents.root) or {}
        if twice := tensors.keys() & entries.keys():
            raise CheckpointError(f"{shown(name_of(min(twice, key=str)))} is in {shown(file)} and in another shard.")
        tensors |= entries
        sources.append(source)
        whole.container = contents.container
        whole.metadata |= contents.metadata
        whole.notes += [f"{file}: {note}" for note in contents.notes]
    missing = [name for name in names if name not in tensors]
    if missing:
        raise CheckpointError(
            f"{shown(missing[0])} is not in {shown(names[missing[0]])}, although {index} says so"
            f"{f', and {len(missing) - 1:,} more' if missing[1:] else ''}: the shards are of another version."
        )
    whole.root = tensors
    return sources, whole


def _open(path: str, index: str, budget: Budget) -> tuple[Source, Contents]:
    """A shard and its contents; errors name it."""
    file = shown(os.path.basename(path))
    if not os.path.lexists(path):
        raise CheckpointError(f"shard {file} is missing, although {index} names it. Download it into the same folder.")
    try:
        source = open_source(path, budget)
        if source.head(1) == b"{":
            raise CheckpointError("this is JSON, not weights.")
        return source, read_contents(source)
    except CheckpointError as error:
        raise CheckpointError(f"shard {file}: {error}") from None


def _refuse_path(name: str) -> None:
    if not re.fullmatch(r"[^/\\:\0]+", name) or name in (".", ".."):
        raise CheckpointError(
            f"its weight_map names the file {shown(name)!r}; shards must lie in the folder of the index."
        )
