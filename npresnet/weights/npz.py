"""Read NumPy's .npz, mapped in place where the data is aligned. npz_write.py writes it.

- A zip archive of `.npy` files; a member's name without `.npy` is the array's name.
- A `.npy` file is `93 NUMPY`, two version bytes, the header's length (u16; u32 from version 2 on), a header
  `{'descr': '<f4', 'fortran_order': False, 'shape': (64, 3, 7, 7), }`, and the elements.
- The header is parsed with regular expressions, never evaluated. It MUST NOT be longer than 10,000 bytes, and MUST have
  these three keys, each once.
- Object arrays are pickles and are refused. Arrays of strings or records are left out, with a note.
- There MUST be at least as many elements as the header declares.
- Members whose name starts with `__` are not tensors. `__npresnet__` is our metadata: JSON in a 0-d string array.
- Stored members with aligned elements (64 bytes in npresnet's files) are mapped. Others are copied and their CRCs
  verified.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from npresnet.errors import CheckpointError
from npresnet.weights.contents import Contents
from npresnet.weights.safetensors import parse_json
from npresnet.weights.source import Source, Span, shown
from npresnet.weights.tensor import Storage, Tensor, dense, item_bytes, numpy_dtype
from npresnet.weights.zip_file import ZipFile

METADATA = "__npresnet__"
_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 10_000
_MAX_METADATA_BYTES = 40 << 20  # ten million characters; the names of classes have eight at most
_ARRAY_STEPS = 40
_KEY = re.compile(r"""['"]([^'"]*)['"]\s*:""")
_KEYS = ["descr", "fortran_order", "shape"]
_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([^'"]{1,64})['"]""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([\d\s,L]*)\)""")


def read_npz(source: Source, archive: ZipFile) -> Contents:
    """All arrays by name, and npresnet's metadata if present."""
    contents = Contents("npz", {})
    tensors: dict[str, Tensor] = {}
    for member in archive.members:
        name = member.removesuffix(".npy")
        if name == member:
            contents.notes.append(f"member {shown(member)} is not an array and was left out")
        elif name == METADATA:
            contents.metadata = _read_metadata(archive, member)
        elif not name.startswith("__"):
            tensor = _Array(archive, member).tensor()
            if tensor is None:
                contents.notes.append(f"array {shown(name)} holds text or records and was left out")
            else:
                tensors[name] = tensor
    contents.root = tensors
    return contents


class _Array:
    """One `.npy` member: its header and the position of its elements."""

    def __init__(self, archive: ZipFile, member: str):
        self.archive = archive
        self.member = member
        span = archive.span(member)
        head = span.buffer[span.start : min(span.stop, span.start + 12)]
        length_bytes = 2 if head[6:7] == b"\x01" else 4
        self.start = 8 + length_bytes + int.from_bytes(head[8 : 8 + length_bytes], "little")
        if head[:6] != _MAGIC or head[6:7] not in (b"\x01", b"\x02", b"\x03") or self.start > span.size_bytes:
            raise CheckpointError(f"member {shown(member)} is not a .npy file, or is damaged.")
        if self.start > _MAX_HEADER_BYTES:
            raise CheckpointError(f"member {shown(member)} has a header of {self.start:,} bytes; damaged or hostile.")
        self.span = span
        self.header = span.buffer[span.start + 8 + length_bytes : span.start + self.start].decode("latin-1")
        self.size_bytes = span.size_bytes - self.start
        archive.source.budget.spend(_ARRAY_STEPS)
        keys = sorted(_KEY.findall(self.header))
        if keys != _KEYS:
            raise CheckpointError(
                f"member {shown(member)} has a header with the keys {shown(', '.join(keys)) or 'none'}; expected "
                f"each of {', '.join(_KEYS)} once. It is damaged or hostile."
            )

    def descr(self) -> str | None:
        """The dtype code such as "<f4"; None for records."""
        found = _DESCR.search(self.header)
        return found[1] if found else None

    def shape(self) -> tuple[int, ...]:
        shape = _SHAPE.search(self.header)
        if not shape or not _ORDER.search(self.header):
            raise CheckpointError(f"member {shown(self.member)} has no shape or no fortran_order; it is damaged.")
        sizes = [text.strip().rstrip("L") for text in shape[1].split(",") if text.strip()]
        if not all(text.isdigit() and len(text) < 20 for text in sizes):
            raise CheckpointError(f"member {shown(self.member)} has the shape ({shown(shape[1])}); it is damaged.")
        return tuple(map(int, sizes))

    def tensor(self) -> Tensor | None:
        """The array; None if its dtype is not numeric. Raises CheckpointError for pickled objects."""
        descr, shape = self.descr(), self.shape()
        if "O" in (descr or self.header):
            raise CheckpointError(
                f"member {shown(self.member)} holds pickled Python objects, which are never read. "
                "Save plain arrays: `np.savez(path, **state_dict)`."
            )
        known = numpy_dtype(descr) if descr else None
        if known is None:
            return None
        dtype, big_endian = known
        numel, budget = self.size_bytes // item_bytes(dtype), self.archive.source.budget
        storage = Storage(self.member, dtype, numel, big_endian, self._elements, budget=budget)
        order = _ORDER.search(self.header)
        tensor = dense(storage, shape, fortran=order is not None and order[1] == "True")
        tensor.check()
        return tensor

    def _elements(self) -> Span:
        first = self.span.start + self.start
        if self.archive.is_stored(self.member) and first % 8:
            copy = self.archive.checked(self.member)
            return Span(copy.buffer, self.start, self.size_bytes)
        return Span(self.span.buffer, first, self.size_bytes)


def _read_metadata(archive: ZipFile, member: str) -> dict[str, Any]:
    if archive.members[member].size_bytes > _MAX_METADATA_BYTES:  # asked before it is inflated
        raise CheckpointError(f"its metadata is larger than {_MAX_METADATA_BYTES >> 20} MiB.")
    array = _Array(archive, member)
    descr = array.descr() or ""
    if not re.fullmatch(r"[<>]U\d{1,9}|\|u1", descr):
        raise CheckpointError(
            f"member {shown(member)} is not npresnet's metadata: expected a string array, got dtype {shown(descr)}."
        )
    budget = archive.source.budget
    budget.make(2 * array.size_bytes)
    raw = array.span.buffer[array.span.start + array.start : array.span.stop]
    encoding = {"<": "utf-32-le", ">": "utf-32-be"}.get(descr[0], "utf-8")
    try:
        text = _ascii(raw, descr) or raw.decode(encoding).rstrip("\0")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"its metadata is not valid text ({shown(error)}); the file is damaged.") from None
    return parse_json(text, "its metadata", budget)


def _ascii(raw: bytes, descr: str) -> str:
    """A NumPy string's characters if all are ASCII, else "": UTF-32 codecs take half a millisecond to import."""
    if "U" not in descr or len(raw) % 4:
        return ""
    codes = np.frombuffer(raw, f"{descr[0]}u4")
    return codes.astype(np.uint8).tobytes().decode("ascii").rstrip("\0") if codes.size and codes.max() < 128 else ""
