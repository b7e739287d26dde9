"""The columns of results, as a pyarrow table: one row an image, also of one that could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from npresnet.ray.cluster import arrow

COLUMNS = ("path", "index", "label", "score", "top", "error")


def schema(metadata: Mapping[bytes, bytes] | None = None) -> Any:
    """path, index int64, label, score float64, top: list of {index, label, score}, error; null where there is none."""
    pa = arrow()
    candidate = pa.struct([("index", pa.int64()), ("label", pa.string()), ("score", pa.float64())])
    types = (pa.string(), pa.int64(), pa.string(), pa.float64(), pa.list_(candidate), pa.string())
    return pa.schema(list(zip(COLUMNS, types, strict=True)), metadata=metadata)


def table(records: Iterable[Mapping[str, Any]]) -> Any:
    """A table of what `npresnet.model.records.record` makes of images."""
    return arrow().Table.from_pylist(list(records), schema=schema())
