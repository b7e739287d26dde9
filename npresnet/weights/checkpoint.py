"""Checkpoint: a weight file read. read, read_state_dict and sha256; the one place where parsing errors are caught."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.contents import Contents
from npresnet.weights.identity import identity
from npresnet.weights.sniff import read_contents
from npresnet.weights.source import Path, open_source, path_text, shown
from npresnet.weights.state_dict import StateDict, Tensors, find_state_dict
from npresnet.weights.tensor import EXPANSION_BYTES, Array, Tensor

_CHUNK_BYTES = 1 << 20
_MAX_SHARING = 16  # how often, on average, a stored byte may be used by the tensors of one file


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A weight file's tensors and where they were found.

    path       as the caller wrote it
    container  torch zip, torch legacy, torch tar, safetensors, npz or pickle
    wrapper    the key below which the state dict stood, None where it stood at the top
    prefix     what was stripped from the tensors' names, "" for nothing
    tensors    {name: array}, read-only, in the file's order
    metadata   npresnet's own (from its .npz) or safetensors' texts; otherwise {}
    notes      sentences about what was kept inert, widened, left out or chosen
    identity   says which file this was, and of what content, see `identity`
    """

    path: str
    container: str
    wrapper: str | None
    prefix: str
    tensors: dict[str, Array]
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    identity: str = ""


def read(path: Path) -> Checkpoint:
    """Read a weight file of any known format, without running anything that it holds.

    Formats: PyTorch's zip, older (protocol 1001) and oldest (tar) ones, safetensors, .npz, pickles of arrays; which
    one is decided by bytes. One level of wrapping is undone and known prefixes are stripped, see state_dict.py.

    Arrays are read-only and keep their dtype, bfloat16 alone is widened to float32. Where the file allows it they point
    into the mapped file, so that opening costs milliseconds; the file must not change while they live.

    Raises CheckpointError for a file that is absent, unreadable, cut off, hostile or foreign.
    """
    with parsing(path):
        source = open_source(path)
        contents = read_contents(source)
        found = find_state_dict(contents.root)
        _refuse_flood(found.tensors, source.size_bytes)
        tensors = {name: _array(name, tensor) for name, tensor in found.tensors.items()}
    return Checkpoint(
        path_text(path),
        contents.container,
        found.wrapper,
        found.prefix,
        tensors,
        contents.metadata,
        notes(contents, found),
        identity(source),
    )


def read_state_dict(path: Path) -> dict[str, Array]:
    """The tensors of a weight file: {name: array}, read-only, in the file's order. See `read`; same errors."""
    return read(path).tensors


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits. Raises CheckpointError where it cannot be read."""
    import hashlib

    digest = hashlib.sha256()
    with parsing(path):
        source = open_source(path)
        for start in range(0, source.size_bytes, _CHUNK_BYTES):
            digest.update(source.buffer[start : start + _CHUNK_BYTES])
    return digest.hexdigest()


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into a CheckpointError that names the file.

    Readers raise CheckpointError where they know what is wrong. Anything else means that a file fooled a reader: the
    user gets a CheckpointError with the cause chained to it, and tests/weights/test_fuzz.py fails on such causes as can
    only be mistakes of ours (TypeError, AttributeError, ...).
    """
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path_text(path)}: {error}") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {shown(error, 200)}"
        raise CheckpointError(f"{path_text(path)}: the file is damaged or of an unknown kind ({reason}).") from error


def notes(contents: Contents, found: StateDict) -> list[str]:
    """Everything worth saying about how a file was read."""
    said = [*contents.notes, *found.notes]
    widened = sum(isinstance(tensor, Tensor) and tensor.dtype == "bfloat16" for tensor in found.tensors.values())
    if widened:
        said.append(f"{widened} bfloat16 tensors were widened to float32")
    return said


def _array(name: str, tensor: Any) -> Array:
    try:
        array: Array = tensor.array()
    except CheckpointError as error:
        raise CheckpointError(f"{shown(name)}: {error}") from None
    return array


def _refuse_flood(tensors: Tensors, size_bytes: int) -> None:
    """Views cost nothing, but whoever copies them pays in full: a small file may not stand for endless tensors."""
    views = [tensor for tensor in tensors.values() if isinstance(tensor, Tensor)]
    total_bytes = sum(view.size_bytes for view in views)
    storages = {id(whole): whole for whole in (view.storage.whole or view.storage for view in views)}
    stored_bytes = sum(storage.size_bytes for storage in storages.values())
    if total_bytes > EXPANSION_BYTES + _MAX_SHARING * max(stored_bytes, size_bytes):
        raise CheckpointError(
            f"its tensors share few stored bytes ({stored_bytes:,}) to make many ({total_bytes:,}); damaged or hostile."
        )
