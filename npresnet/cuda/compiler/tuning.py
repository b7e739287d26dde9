"""This user's own table of choices, which `npresnet bench --tune --device cuda` writes and every load reads:
cuda_tuning.json in npresnet's folder in the user's cache, beside the CPU's.

    {"format": 1, "NVIDIA H200": {"float16 8x 3x3 64->64, 56x56": ["conv2d_mma", "128x64s4"], ...}, ...}

A table that cannot be read counts as none, and what it names is checked before it is used: it may make things faster or
slower, never wrong. It is read once a process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from npresnet.system.cache import cache_folder
from npresnet.system.files import replacing

FORMAT = 1
FILE = "cuda_tuning.json"


def path() -> Path:
    """Where the table is."""
    return cache_folder() / FILE


@cache
def table(gpu_name: str) -> Mapping[str, Any]:
    """Layer, as `choices.Layer.key` names it, -> [launcher, tile]; {} where nothing was measured on such a GPU."""
    entry = _read().get(gpu_name, {})
    return entry if isinstance(entry, dict) else {}


def save(gpu_name: str, choices: Mapping[str, tuple[str, str] | None]) -> Path:
    """Set these layers' choices for this GPU, None for those that the built-in rules shall choose.

    Raises OSError where the file cannot be written.
    """
    whole = {"format": FORMAT, **_read()}
    mine = whole.get(gpu_name)
    entry = {layer: words for layer, words in (mine if isinstance(mine, dict) else {}).items() if layer not in choices}
    entry.update({layer: list(words) for layer, words in choices.items() if words is not None})
    whole[gpu_name] = entry
    os.makedirs(path().parent, exist_ok=True)
    with replacing(str(path())) as file:
        file.write(json.dumps(whole, indent=1).encode())
    table.cache_clear()
    return path()


def _read() -> dict[str, Any]:
    try:
        whole = json.loads(path().read_bytes())
    except (OSError, ValueError, RuntimeError):  # RuntimeError: no home folder, or nested too deeply
        return {}
    return whole if isinstance(whole, dict) and whole.get("format") == FORMAT else {}
