"""Anything that a page shows, as plain JSON types: short numbers, pictures as PNG, long arrays as base64."""

from __future__ import annotations

import base64
import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npresnet.system.text import visible_lines

Plain = Any  # None, bool, int, float, str, list, dict


def plain(value: Any) -> Plain:
    """Dataclasses, NumPy's arrays and numbers, tuples and mappings as JSON's own types.

    A float32 becomes the shortest decimal number that reads back as that float32. JSON has no infinities and no NaN:
    they become null. Text has no character that acts on what shows it, see `system.text`.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {visible_lines(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return visible_lines(value)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.float32):
        return float(str(value)) if np.isfinite(value) else None
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value


def floats(array: NDArray[Any]) -> str:
    """An array's numbers as base64 of little-endian float32, in C order: 5.3 characters a number, and exact."""
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode("ascii")
