"""This machine's table of measured choices, written by `npresnet bench --tune` and read by every load:

    {"format": 1, "SkylakeX, Intel Xeon ...": {"3x3 64->64, 56x56": ["winograd", 4, "panels"], ...}, ...}

A machine is a BLAS core type and a processor. The table is read once a process, because another algorithm has other
last digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from npresnet.cpu.kernels.gemm import FORMS
from npresnet.cpu.kernels.layer import Algorithm, Choice
from npresnet.cpu.runtime import blas
from npresnet.cpu.runtime.cpus import cpu_name
from npresnet.system import measured

FILE = "tuning.json"


def path() -> Path:
    """Where the table is."""
    return measured.path(FILE)


@lru_cache(maxsize=1)
def table() -> Mapping[str, Choice]:
    """str(Layer) -> the measured choice for this processor and BLAS core type; {} without measurements."""
    found = {layer: _choice(words) for layer, words in measured.read_entry(FILE, _machine()).items()}
    return {layer: choice for layer, choice in found.items() if choice is not None}


def save(choices: Mapping[str, Choice | None]) -> Path:
    """Set these layers' choices in this machine's entry; None returns a layer to the built-in rules.

    Raises OSError where the file cannot be written.
    """
    words = {layer: choice and [choice.algorithm, choice.tile, choice.form] for layer, choice in choices.items()}
    place = measured.save_entry(FILE, _machine(), words)
    table.cache_clear()
    return place


def _machine() -> str:
    return f"{blas.core_type() or 'unknown BLAS'}, {cpu_name()}"


def _choice(words: Any) -> Choice | None:
    """The stored choice, None where malformed; `choices.choose` checks that it fits the layer."""
    if not isinstance(words, list) or len(words) != 3:
        return None
    algorithm, tile, form = words
    if algorithm in get_args(Algorithm) and type(tile) is int and tile in (0, 2, 4) and form in FORMS:
        return Choice(algorithm, tile, form)
    return None
