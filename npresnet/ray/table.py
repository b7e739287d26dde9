"""The columns of results, as a pyarrow table: one row an image, also of one that could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from npresnet.ray.cluster import arrow

COLUMNS = ("path", "index", "label", "score", "top", "error")


def schema(metadata: Mapping[bytes, bytes] | None = None) -> Any:
    """path, index int32, label, score float32, top: list of {index, label, score}, error; null where there is none."""
    pa = arrow()
    candidate = pa.struct([("index", pa.int32()), ("label", pa.string()), ("score", pa.float32())])
    types = (pa.string(), pa.int32(), pa.string(), pa.float32(), pa.list_(candidate), pa.string())
    return pa.schema(list(zip(COLUMNS, types, strict=True)), metadata=metadata)


def table(records: Iterable[Mapping[str, Any]]) -> Any:
    """A table of what `npresnet.model.records.record` makes of images."""
    return arrow().Table.from_pylist(list(records), schema=schema())
