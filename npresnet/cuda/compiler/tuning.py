"""This user's own table of choices, which `npresnet bench --tune --device cuda` writes and every load reads:

    {"format": 1, "NVIDIA H200": {"float16 8x 3x3 64->64, 56x56": ["conv2d_mma", "128x64s4"], ...}, ...}

What it names is checked before it is used: it may make things faster or slower, never wrong. It is read once a process.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from npresnet.system import measured

FILE = "cuda_tuning.json"


def path() -> Path:
    """Where the table is."""
    return measured.path(FILE)


@cache
def table(gpu_name: str) -> Mapping[str, Any]:
    """Layer, as `choices.Layer.key` names it, -> [launcher, tile]; {} where nothing was measured on such a GPU."""
    return measured.read_entry(FILE, gpu_name)


def save(gpu_name: str, choices: Mapping[str, tuple[str, str] | None]) -> Path:
    """Set these layers' choices for this GPU; None returns a layer to the built-in rules.

    Raises OSError where the file cannot be written.
    """
    place = measured.save_entry(FILE, gpu_name, {layer: words and list(words) for layer, words in choices.items()})
    table.cache_clear()
    return place
