"""Checkpoint, read, read_state_dict and sha256: the tensors of a weight file, and what it says beside them."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from npresnet.config import Decision
from npresnet.errors import CheckpointError
from npresnet.weights.contents import Contents
from npresnet.weights.memory import Readable, is_in_memory, name_of, path_of
from npresnet.weights.opening import Opened, open_weights, parsing
from npresnet.weights.rivals import MAX_SHARING, Tensors, expansion
from npresnet.weights.source import Path, Span, open_source, path_text, shown
from npresnet.weights.state_dict import StateDict, find_state_dict
from npresnet.weights.tensor import EXPANSION_BYTES, Array, Tensor

BESIDE = ("config.json", "preprocessor_config.json")  # read where they stand beside a weight file
_CHUNK_BYTES = 1 << 20
_TENSOR_STEPS = 40  # to make an array and look at its name


class Checkpoint(NamedTuple):
    """The contents of a weight file.

    path       as given by the caller; of weights in memory what messages call them
    container  torch zip, torch legacy, torch tar, safetensors, npz, pickle or arrays
    wrapper    dotted path of the keys that lead to the state dict; None if it is the file's top level
    prefix     prefix removed from the tensors' names, or ""
    tensors    {name: array}, read-only, in file order
    metadata   npresnet's metadata (.npz) or safetensors' strings; otherwise {}
    notes      sentences about what was kept inert, widened, left out or chosen
    key        which of several state dicts of the file this is; None where there was nothing to decide
    facts      what the file, or a configuration beside it, says about the network besides tensors, see facts.py
    files      paths of what was read: the file itself, the one in a folder, or all shards; [] of weights in memory
    identity   different after any change of the file, see `Opened`, and for each state dict in it; "" where nothing
               tells
    raw        all bytes of a file that is in memory; None for files on disk, and for arrays
    """

    path: str
    container: str
    wrapper: str | None
    prefix: str
    tensors: dict[str, Array]
    metadata: dict[str, Any]
    notes: list[str]
    key: Decision | None
    facts: dict[str, Any]
    files: list[str]
    identity: str = ""
    raw: Span | None = None


def read(path: Readable, key: str | None = None) -> Checkpoint:
    """Read a weight file of any supported format without executing code from it.

    path  a file; a folder as Hugging Face writes them, with model.safetensors or pytorch_model.bin; or the
          `.index.json` of one that is spread over several shards. Also a file's bytes, a binary file object
          (memory.py), or arrays by name (arrays.py)
    key   which state dict, as a dotted path such as "teacher" or "state.model", see keys.py; by default the one that
          custom names, see custom.py

    Formats: PyTorch's zip, legacy (protocol 1001) and tar files, safetensors, .npz, and pickles of arrays; detected
    from the file's bytes. Wrapping of any depth and known prefixes are removed, see state_dict.py.

    Arrays are read-only and keep their dtype, except that bfloat16 is widened to float32. Where possible they are views
    of the memory-mapped file, so opening takes milliseconds; the file must not change while they are in use.

    Raises CheckpointError if the file is missing, unreadable, truncated, hostile or of an unknown format, and if the
    key does not exist.
    """
    path = path_of(path) or path
    name = name_of(path) if is_in_memory(path) else path_text(path)  # type: ignore[arg-type]
    with parsing(name):
        opened = open_weights(path)
        sources, contents = opened
        found = find_state_dict(contents.root, key)
        sources[0].budget.spend(_TENSOR_STEPS * len(found.tensors))
        _check_expansion(found.tensors, sum(source.size_bytes for source in sources))
        tensors = {name: _array(name, tensor) for name, tensor in found.tensors.items()}
        facts, remarks = facts_of(opened, found)
    return Checkpoint(
        name,
        contents.container,
        found.wrapper,
        found.prefix,
        tensors,
        contents.metadata,
        [*notes(contents, found), *remarks],
        found.key,
        facts,
        opened.files,
        _identity(opened, found),
        sources[0].span if sources[0].in_memory and sources[0].size_bytes else None,
    )


def read_state_dict(path: Readable, key: str | None = None) -> dict[str, Array]:
    """The tensors of a weight file, read without executing code from it.

    Wrapping of any depth and known prefixes are removed.

    Parameters
    ----------
    path : path, bytes, file or dict
        A file of any format; a folder as Hugging Face writes them, with model.safetensors or pytorch_model.bin; or the
        `.index.json` of one that is spread over several shards. Also a file's bytes, a binary file object, or arrays by
        name.
    key : str, optional
        Which state dict of a file that holds several, as a dotted path: "teacher", "state.model".

    Returns
    -------
    dict
        {name: array}, in file order. Arrays are read-only and keep their dtype, except that bfloat16 is widened to
        float32. Where possible they are views of the mapped file, which must not change while they are in use.

    Raises
    ------
    CheckpointError
        The file is missing, unreadable, truncated, hostile or of an unknown format, or the key does not exist.

    Examples
    --------
    >>> tensors = npresnet.read_state_dict("demo.npz")
    >>> tensors["conv1.weight"].shape
    (16, 3, 3, 3)
    """
    return read(path, key).tensors


def _identity(opened: Opened, found: StateDict) -> str:
    """The files', and which tensors of a file that holds more than one network; "" where the files have none."""
    files = opened.identity
    told = "" if found.key is None else f"; state dict {found.wrapper}, names below {found.prefix!r}"
    return f"{files}{told}" if files else ""


def facts_of(opened: Opened, found: StateDict) -> tuple[dict[str, Any], list[str]]:
    """What the file and those beside it say besides tensors, and notes about what was ignored."""
    metadata, files = opened.contents.metadata, opened.files
    if opened.contents.container in ("npz", "arrays") and metadata:  # npresnet's own, which has every setting
        return {}, []
    has_config = any(os.path.isfile(os.path.join(os.path.dirname(files[0]), name)) for name in BESIDE if files)
    is_pickle = opened.contents.container == "pickle"  # whose name may tell something
    if not (found.others or len(found.around) > 1 or metadata or has_config or is_pickle):
        return {}, []
    from npresnet.weights.facts import collect

    return collect(found.around, metadata, files, opened.sources[0].path)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits. Raises CheckpointError if it cannot be read."""
    import hashlib

    digest = hashlib.sha256()
    with parsing(path):
        source = open_source(path)
        for start in range(0, source.size_bytes, _CHUNK_BYTES):
            digest.update(source.buffer[start : start + _CHUNK_BYTES])
    return digest.hexdigest()


def notes(contents: Contents, found: StateDict) -> list[str]:
    """Notes for the user about how a file was read."""
    lines = [*contents.notes, *found.notes]
    widened = sum(isinstance(tensor, Tensor) and tensor.dtype == "bfloat16" for tensor in found.tensors.values())
    if widened:
        lines.append(f"{widened} bfloat16 tensors were widened to float32")
    return lines


def _array(name: str, tensor: Any) -> Array:
    try:
        array: Array = tensor.array()
    except CheckpointError as error:
        raise CheckpointError(f"{shown(name)}: {error}") from None
    return array


def _check_expansion(tensors: Tensors, size_bytes: int) -> None:
    """Refuse files whose tensors would take far more memory than their storages once copied."""
    total_bytes, stored_bytes = expansion(tensor for tensor in tensors.values() if isinstance(tensor, Tensor))
    if total_bytes > max(EXPANSION_BYTES, stored_bytes) + MAX_SHARING * size_bytes:
        raise CheckpointError(
            f"its tensors expand {stored_bytes:,} stored bytes to {total_bytes:,}; the file is damaged or hostile."
        )
