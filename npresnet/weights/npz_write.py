"""Write .npz files that can be memory-mapped: uncompressed members whose elements are aligned to 64 bytes.

- Each array is a stored `.npy` member. A padding field in the zip header (id 0x4E50, zeros) aligns the elements;
  readers skip unknown fields, so plain `numpy.load` reads the file.
- Members of 2 GiB and more, and archives beyond 4 GiB, have zip64 fields.
- The metadata is JSON in a 0-d string array called `__npresnet__`; numpy.load reads it with allow_pickle=False.
- Output is deterministic: equal tensors and metadata give equal bytes; members are dated 1980.
- The file is written to a temporary name beside its destination and renamed when complete. On failure the destination
  is unchanged.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import CheckpointError, DeviceError
from npresnet.system.files import real_path, replacing
from npresnet.system.memory import no_memory_for
from npresnet.system.signals import raise_signals
from npresnet.weights.npz import METADATA
from npresnet.weights.source import Path, path_text, shown

if TYPE_CHECKING:
    import zipfile

ALIGNMENT_BYTES = 64
_PADDING_ID = 0x4E50  # "NP"; not one of the registered ids
_LOCAL_HEADER_BYTES = 30
_ZIP64_FIELD_BYTES = 20
_ZIP64_FROM_BYTES = (1 << 31) - (1 << 20)  # zipfile requires the field from 2 GiB on; leaves room for the .npy header


def write_npz(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> None:
    """Write arrays by name, and metadata (JSON types), to one .npz file, atomically.

    Arrays may have any shape, strides and byte order; dtypes are floats, integers and bool. Raises CheckpointError
    if a name or dtype cannot be stored, or the file cannot be written.
    """
    arrays = {name: _storable(name, np.asanyarray(array)) for name, array in tensors.items()}
    note = np.array(json.dumps(dict(metadata), allow_nan=False))
    with _replacing(path) as file, _archive(file) as archive:
        for name, array in ((METADATA, note), *arrays.items()):
            _write_member(archive, file, f"{name}.npy", array)


@contextmanager
def _archive(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """A new archive. After an error, and Ctrl-C is one, it is abandoned rather than closed.

    To close it would raise ValueError in place of the error where a member is open.
    """
    import zipfile

    archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
    try:
        yield archive
        archive.close()
    except BaseException:
        archive.fp = None  # closed, for its destructor as well
        raise


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """`files.replacing`, raising CheckpointError."""
    destination = path_text(path)
    try:
        destination = real_path(destination)
        folder = os.path.dirname(destination)
        if os.path.isdir(destination):
            raise CheckpointError(f"{destination} is a folder; give the path of the file to write.")
        if not os.path.isdir(folder):
            raise CheckpointError(f"{destination} cannot be written: folder {folder} does not exist; create it first.")
        with replacing(destination) as file:
            yield file
    except OSError as error:
        raise_signals(error)
        raise CheckpointError(f"{destination} cannot be written: {error.strerror or error}.") from error
    except MemoryError as error:
        raise DeviceError(no_memory_for(destination)) from error


def _storable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise CheckpointError(
            f"tensor {shown(name)} has dtype {array.dtype}; .npz files hold floats, integers and bool."
        )
    if name.startswith("__") or "\0" in name or "\\" in name or not _is_encodable(name):
        raise CheckpointError(f"a tensor cannot be called {shown(name)} in an .npz file.")
    return array


def _is_encodable(name: str) -> bool:
    try:
        return len(f"{name}.npy".encode()) < 1 << 16
    except UnicodeEncodeError:
        return False


def _write_member(archive: zipfile.ZipFile, file: IO[bytes], name: str, array: NDArray[Any]) -> None:
    import zipfile

    zip64 = array.nbytes >= _ZIP64_FROM_BYTES
    before = file.tell() + _LOCAL_HEADER_BYTES + len(name.encode()) + (_ZIP64_FIELD_BYTES if zip64 else 0)
    info = zipfile.ZipInfo(name)
    info.extra = _padding(before)
    member = archive.open(info, "w", force_zip64=zip64)
    np.lib.format.write_array(member, array, allow_pickle=False)
    member.close()


def _padding(position: int) -> bytes:
    """A zip field from `position` to the next multiple of 64 bytes; .npy headers are multiples of 64 bytes."""
    zeros = -(position + 4) % ALIGNMENT_BYTES
    return struct.pack("<HH", _PADDING_ID, zeros) + bytes(zeros)
