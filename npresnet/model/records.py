"""What is written of one image, whoever writes it: the command line, a server, a Parquet file of many machines.

Control characters and bytes that are no UTF-8, of paths and labels, are written as escapes, see `system.text`.
"""

from __future__ import annotations

import math
from typing import Any

from npresnet.errors import NpresnetError
from npresnet.model.prediction import Prediction
from npresnet.system.text import visible


def record(path: str, result: Prediction | NpresnetError) -> dict[str, Any]:
    """{path, index, label, score, top: [{index, label, score}]}, or {path, error} of an image that failed.

    NaN scores become None because JSON has no NaN.
    """
    if isinstance(result, NpresnetError):
        return {"path": visible(path), "error": visible(str(result))}
    values = result.to_dict()
    for candidate in (values, *values["top"]):
        candidate["score"] = candidate["score"] if math.isfinite(candidate["score"]) else None
        candidate["label"] = visible(candidate["label"])
    return {"path": visible(path), **values}
