"""This machine's table of measured choices, written by `npresnet bench --tune` and read by every load: tuning.json in
npresnet's folder in the user's cache.

    {"format": 1, "SkylakeX, Intel Xeon ...": {"3x3 64->64, 56x56": ["winograd", 4, "panels"], ...}, ...}

One entry for each BLAS core type and processor, so that machines may share a home folder. A table that cannot be read
is ignored: it affects speed, never correctness. It is read once a process, because another algorithm has other last
digits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from npresnet.cpu.kernels.gemm import FORMS
from npresnet.cpu.kernels.layer import Choice
from npresnet.cpu.runtime import blas
from npresnet.cpu.runtime.cpus import cpu_name
from npresnet.system.cache import cache_folder
from npresnet.system.files import replacing

FORMAT = 1
FILE = "tuning.json"


def path() -> Path:
    """Where the table is."""
    return cache_folder() / FILE


@lru_cache(maxsize=1)
def table() -> Mapping[str, Choice]:
    """str(Layer) -> the measured choice for this processor and BLAS core type; {} without measurements."""
    entry = _read().get(_machine(), {})
    found = {layer: _choice(words) for layer, words in entry.items()} if isinstance(entry, dict) else {}
    return {layer: choice for layer, choice in found.items() if choice is not None}


def save(choices: Mapping[str, Choice | None]) -> Path:
    """Set these layers' choices in this machine's entry; None returns a layer to the built-in rules.

    Raises OSError where the file cannot be written.
    """
    whole = {"format": FORMAT, **_read()}
    mine = whole.get(_machine())
    entry = {layer: words for layer, words in (mine if isinstance(mine, dict) else {}).items() if layer not in choices}
    for layer, choice in choices.items():
        if choice is not None:
            entry[layer] = [choice.algorithm, choice.tile, choice.form]
    whole[_machine()] = entry
    os.makedirs(path().parent, exist_ok=True)
    with replacing(str(path())) as file:
        file.write(json.dumps(whole, indent=1).encode())
    table.cache_clear()
    return path()


def _machine() -> str:
    return f"{blas.core_type() or 'unknown BLAS'}, {cpu_name()}"


def _read() -> dict[str, Any]:
    try:
        whole = json.loads(path().read_bytes())
    except (OSError, ValueError, RuntimeError):  # RuntimeError: no home folder, or nested too deeply
        return {}
    return whole if isinstance(whole, dict) and whole.get("format") == FORMAT else {}


def _choice(words: Any) -> Choice | None:
    """The stored choice, None where malformed; `choices.choose` checks that it fits the layer."""
    if not isinstance(words, list) or len(words) != 3:
        return None
    algorithm, tile, form = words
    if algorithm in ("direct", "winograd") and type(tile) is int and tile in (0, 2, 4) and form in FORMS:
        return Choice(algorithm, tile, form)
    return None
