"""The safetensors format, read with json alone.

- 8 bytes: N, the header's length, unsigned, little-endian. N MUST be at most 100 MB and fit into the file.
- N bytes: JSON in UTF-8; it MUST begin with `{` and MAY end in spaces.
- `{name: {"dtype": "F32", "shape": [64, 3, 7, 7], "data_offsets": [begin, end]}, ...}`; names MUST differ.
- `"__metadata__"` MAY be there: texts by name.
- The rest of the file is data. Offsets count from its start and end - begin MUST be shape times item size.
- The tensors MUST cover the data without overlaps and without holes.
- Data is little-endian, in C order. Tensors are mapped where they are aligned, copied otherwise.
- F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL are read; complex and 8-bit floats are listed and refused.
"""

from __future__ import annotations

import json
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.contents import Contents
from npresnet.weights.source import Source, Span, shown
from npresnet.weights.tensor import Storage, Tensor, dense, item_bytes

_MAX_HEADER_BYTES = 100_000_000
_MAX_PUNCTUATION = 2_000_000  # brackets and commas: what the header becomes in memory
_LENGTH_BYTES = 8
_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E8M0": "float8_e8m0fnu",
}  # fmt: skip


def is_safetensors(head: bytes) -> bool:
    """A length below 2^40, then a brace: the length's upper bytes are 0 in every real file, and in no text."""
    return head[5:9] == b"\0\0\0{"


def read_safetensors(source: Source) -> Contents:
    """All tensors by name; the metadata texts as metadata."""
    header_bytes = int.from_bytes(source.head(_LENGTH_BYTES), "little")
    data_start = _LENGTH_BYTES + header_bytes
    if header_bytes > _MAX_HEADER_BYTES:
        raise CheckpointError(f"its safetensors header claims {header_bytes:,} bytes; 100 MB are allowed.")
    if data_start > source.size_bytes:
        raise CheckpointError(
            f"its safetensors header claims {header_bytes:,} bytes, but the file ends after {source.size_bytes:,}: "
            "it was cut off. Download or copy it again."
        )
    header = parse_json(source.buffer[_LENGTH_BYTES:data_start], "its safetensors header")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError("its __metadata__ is not made of texts, as safetensors demands.")
    data = Span(source.buffer, data_start, source.size_bytes - data_start)
    stored = {name: _stored(name, entry, data) for name, entry in header.items()}
    _refuse_gaps({name: span for name, (_, span) in stored.items()}, data)
    return Contents("safetensors", {name: tensor for name, (tensor, _) in stored.items()}, metadata=metadata)


def parse_json(raw: bytes, what: str) -> dict[str, Any]:
    """A JSON object whose names differ, bounded in time and memory. Raises CheckpointError for anything else."""
    if sum(raw.count(sign) for sign in (b"[", b"{", b",")) > _MAX_PUNCTUATION:
        raise CheckpointError(f"{what} has far more entries than any model has tensors.")
    try:
        found = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_distinct, parse_int=_small_int, parse_constant=_no_constant
        )
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{what} is no sound JSON ({shown(error)}); it is damaged.") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{what} is JSON, but no object.")
    return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise CheckpointError(f"its JSON names {shown(name)} twice; which one is meant?")
        found[name] = value
    return found


def _small_int(digits: str) -> int:
    if len(digits) > 20:
        raise CheckpointError(f"its JSON holds a number of {len(digits):,} digits.")
    return int(digits)


def _no_constant(name: str) -> float:
    raise CheckpointError(f"its JSON holds {name}, which is no number.")


def _stored(name: str, entry: object, data: Span) -> tuple[Tensor, Span]:
    """A tensor and where its data lies, checked against each other."""
    if not isinstance(entry, dict):
        raise CheckpointError(f"{shown(name)}: its entry in the header is no object.")
    shape, (begin, end) = _counts(name, entry, "shape"), _pair(name, entry)
    kind = entry.get("dtype")
    dtype = _DTYPES.get(kind) if isinstance(kind, str) else None
    if dtype is None:
        raise CheckpointError(f"{shown(name)}: its dtype is {shown(json.dumps(kind))}, which npresnet does not know.")
    if not begin <= end <= data.size_bytes:
        raise CheckpointError(
            f"{shown(name)}: its data (bytes {begin:,} to {end:,}) lies outside the file's data of "
            f"{data.size_bytes:,} bytes; the file was cut off or is damaged."
        )
    span = Span(data.buffer, data.start + begin, end - begin)
    storage = Storage(name, dtype, span.size_bytes // item_bytes(dtype), open=lambda: span)
    tensor = dense(storage, shape)
    tensor.check()
    if tensor.size_bytes != span.size_bytes:
        raise CheckpointError(
            f"{shown(name)}: shape {shown(shape)} of {dtype} needs {tensor.size_bytes:,} bytes, but its data has "
            f"{span.size_bytes:,}; the header contradicts itself."
        )
    return tensor, span


def _counts(name: str, entry: dict[str, Any], key: str) -> list[int]:
    value = entry.get(key)
    if not isinstance(value, list) or not all(type(n) is int and n >= 0 for n in value):
        raise CheckpointError(f"{shown(name)}: its {key} is no list of whole numbers from 0 on.")
    return value


def _pair(name: str, entry: dict[str, Any]) -> tuple[int, int]:
    offsets = _counts(name, entry, "data_offsets")
    if len(offsets) != 2:
        raise CheckpointError(f"{shown(name)}: its data_offsets are not two.")
    return offsets[0], offsets[1]


def _refuse_gaps(spans: dict[str, Span], data: Span) -> None:
    position = data.start
    for name, span in sorted(spans.items(), key=lambda item: (item[1].start, item[1].stop)):
        if span.start != position:
            kind = "overlaps another" if span.start < position else "leaves a hole before it"
            raise CheckpointError(f"{shown(name)}: its data {kind}; safetensors allows neither. Damaged or hostile.")
        position = span.stop
    if position != data.stop:
        raise CheckpointError(f"{data.stop - position:,} bytes of data belong to no tensor; the file is damaged.")
