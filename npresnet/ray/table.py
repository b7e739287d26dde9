"""The columns of results, as a pyarrow table: one row an image, also of one that could not be read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from npresnet.ray.cluster import arrow

UNREAD = b"npresnet.unread"  # key in the metadata of a table, and of a file
COLUMNS = ("path", "index", "label", "score", "top", "error")


def schema(metadata: Mapping[bytes, bytes] | None = None) -> Any:
    """path, index int64, label, score float64, top: list of {index, label, score}, error; null where there is none."""
    pa = arrow()
    candidate = pa.struct([("index", pa.int64()), ("label", pa.string()), ("score", pa.float64())])
    types = (pa.string(), pa.int64(), pa.string(), pa.float64(), pa.list_(candidate), pa.string())
    return pa.schema(list(zip(COLUMNS, types, strict=True)), metadata=metadata)


def table(records: Iterable[Mapping[str, Any]]) -> Any:
    """A table of what `npresnet.model.records.record` makes of images; its metadata notes those with "unread"."""
    rows = list(records)
    unread = [row["path"] for row in rows if row.get("unread")]
    return arrow().Table.from_pylist(rows, schema=schema({UNREAD: json.dumps(unread).encode()} if unread else None))


def unread_in(rows: Any) -> list[str]:
    """The paths in a table whose picture could not be fetched or ended processes, so that it is to be tried again."""
    found: list[str] = json.loads((rows.schema.metadata or {}).get(UNREAD, b"[]"))
    return found
