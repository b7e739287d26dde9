"""Read the safetensors format.

- 8 bytes: N, the header's length, unsigned, little-endian. N MUST be at most 100 MB and fit into the file.
- N bytes: JSON in UTF-8; it MUST begin with `{` and MAY end in spaces.
- `{name: {"dtype": "F32", "shape": [64, 3, 7, 7], "data_offsets": [begin, end]}, ...}`; names MUST be unique.
- `"__metadata__"` MAY be present: a dict of strings.
- The rest of the file is data. Offsets count from its start; end - begin MUST be element count times item size.
- The tensors MUST cover the data without overlaps or gaps.
- Data is little-endian, in C order. Tensors are mapped if aligned, copied otherwise.
- F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL are read; complex and 8-bit floats are listed and refused.
"""

from __future__ import annotations

import json
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.budget import Budget
from npresnet.weights.contents import Contents
from npresnet.weights.source import Source, Span, shown
from npresnet.weights.tensor import Storage, Tensor, dense, item_bytes

_MAX_HEADER_BYTES = 100_000_000
_MAX_DEPTH = 64
_LENGTH_BYTES = 8
_TENSOR_STEPS = 20
_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E8M0": "float8_e8m0fnu",
}  # fmt: skip


def is_safetensors(head: bytes) -> bool:
    """A length below 2^40, then a brace: the upper bytes of the length are 0 in real files, never in text."""
    return head[5:9] == b"\0\0\0{"


def read_safetensors(source: Source) -> Contents:
    """All tensors by name; `__metadata__` as metadata."""
    header_bytes = int.from_bytes(source.head(_LENGTH_BYTES), "little")
    data_start = _LENGTH_BYTES + header_bytes
    if header_bytes > _MAX_HEADER_BYTES:
        raise CheckpointError(f"its safetensors header claims {header_bytes:,} bytes; the limit is 100 MB.")
    if data_start > source.size_bytes:
        raise CheckpointError(
            f"its safetensors header claims {header_bytes:,} bytes, but the file ends after {source.size_bytes:,}: "
            "it is truncated. Download or copy it again."
        )
    header = parse_json(Span(source.buffer, _LENGTH_BYTES, header_bytes), "its safetensors header", source.budget)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError("its __metadata__ is not a dict of strings, as safetensors requires.")
    data = Span(source.buffer, data_start, source.size_bytes - data_start)
    stored = {name: _stored(name, entry, data, source.budget) for name, entry in header.items()}
    _refuse_gaps({name: span for name, (_, span) in stored.items()}, data)
    return Contents("safetensors", {name: tensor for name, (tensor, _) in stored.items()}, metadata=metadata)


def parse_json(raw: Span | str, what: str, budget: Budget) -> dict[str, Any]:
    """A JSON object with unique names, 64 levels deep at most. Raises CheckpointError for anything else.

    Charged are the text, four bytes a character where it is not ASCII, twice: whole, and as parsed strings; and a step
    for each bracket, comma and colon, which bounds the number of parsed objects.
    """
    try:
        text = raw if isinstance(raw, str) else _text(raw.read(), budget)
        budget.make(len(text) if text.isascii() else 4 * len(text))
        budget.spend(sum(map(text.count, "[{,:")))
        found = json.loads(text, object_pairs_hook=_distinct, parse_int=_small_int, parse_constant=_no_constant)
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{what} is not valid JSON ({shown(error)}); it is damaged.") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{what} is JSON, but not an object.")
    _refuse_depth(found, what)
    return found


def _text(raw: bytes, budget: Budget) -> str:
    budget.make(len(raw) if raw.isascii() else 4 * len(raw))
    return raw.decode("utf-8")


def _refuse_depth(found: dict[str, Any], what: str) -> None:
    """Whoever walks or shows what was parsed may then recurse."""
    level: list[Any] = [found]
    for _ in range(_MAX_DEPTH):
        insides = (item.values() if isinstance(item, dict) else item for item in level)
        level = [value for inside in insides for value in inside if isinstance(value, (dict, list))]
        if not level:
            return
    raise CheckpointError(f"{what} nests more than {_MAX_DEPTH} deep.")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise CheckpointError(f"its JSON has the name {shown(name)} twice; the file is ambiguous.")
        found[name] = value
    return found


def _small_int(digits: str) -> int:
    if len(digits) > 20:
        raise CheckpointError(f"its JSON holds an integer of {len(digits):,} digits.")
    return int(digits)


def _no_constant(name: str) -> float:
    raise CheckpointError(f"its JSON holds {name}, which is not valid JSON.")


def _stored(name: str, entry: object, data: Span, budget: Budget) -> tuple[Tensor, Span]:
    """A tensor and the span of its data, checked against each other."""
    if not isinstance(entry, dict):
        raise CheckpointError(f"{shown(name)}: its header entry is not a JSON object.")
    shape, (begin, end) = _counts(name, entry, "shape"), _pair(name, entry)
    kind = entry.get("dtype")
    dtype = _DTYPES.get(kind) if isinstance(kind, str) else None
    if dtype is None:
        raise CheckpointError(f"{shown(name)}: unknown dtype {shown(json.dumps(kind))}.")
    if not begin <= end <= data.size_bytes:
        raise CheckpointError(
            f"{shown(name)}: its data (bytes {begin:,} to {end:,}) lies outside the file's data of "
            f"{data.size_bytes:,} bytes; the file is truncated or damaged."
        )
    span = Span(data.buffer, data.start + begin, end - begin)
    budget.spend(_TENSOR_STEPS)
    storage = Storage(name, dtype, span.size_bytes // item_bytes(dtype), open=lambda: span, budget=budget)
    tensor = dense(storage, shape)
    tensor.check()
    if tensor.size_bytes != span.size_bytes:
        raise CheckpointError(
            f"{shown(name)}: shape {shown(shape)} of {dtype} needs {tensor.size_bytes:,} bytes, but its data has "
            f"{span.size_bytes:,}; the header is inconsistent."
        )
    return tensor, span


def _counts(name: str, entry: dict[str, Any], key: str) -> list[int]:
    value = entry.get(key)
    if not isinstance(value, list) or not all(type(n) is int and n >= 0 for n in value):
        raise CheckpointError(f"{shown(name)}: its {key} is not a list of integers >= 0.")
    return value


def _pair(name: str, entry: dict[str, Any]) -> tuple[int, int]:
    offsets = _counts(name, entry, "data_offsets")
    if len(offsets) != 2:
        raise CheckpointError(f"{shown(name)}: expected 2 data_offsets, got {len(offsets)}.")
    return offsets[0], offsets[1]


def _refuse_gaps(spans: dict[str, Span], data: Span) -> None:
    position = data.start
    for name, span in sorted(spans.items(), key=lambda item: (item[1].start, item[1].stop)):
        if span.start != position:
            kind = "overlaps another tensor" if span.start < position else "follows a gap"
            raise CheckpointError(f"{shown(name)}: its data {kind}, which safetensors forbids; damaged or hostile.")
        position = span.stop
    if position != data.stop:
        raise CheckpointError(f"{data.stop - position:,} bytes at the end belong to no tensor; the file is damaged.")
