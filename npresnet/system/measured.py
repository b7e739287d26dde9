"""Files of measured choices in npresnet's folder in the user's cache, which `npresnet bench --tune` writes.

    {"format": 1, MACHINE: {LAYER: WORDS, ...}, ...}

One entry for each machine, so that machines may share a home folder. A file that cannot be read counts as empty: it
affects speed, never correctness; what it holds is checked by its reader. Links are not followed, nor pipes waited for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from npresnet.system.cache import cache_folder
from npresnet.system.files import read_regular, replacing_own

FORMAT = 1
LIMIT_BYTES = 16 << 20


def path(file: str) -> Path:
    """Where the file of that name is."""
    return cache_folder() / file


def read(file: str) -> dict[str, Any]:
    """Everything in it; {} where it cannot be read."""
    try:
        whole = json.loads(read_regular(path(file), LIMIT_BYTES))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: no home folder, or nested too deeply
        return {}
    return whole if isinstance(whole, dict) and whole.get("format") == FORMAT else {}


def read_entry(file: str, machine: str) -> dict[str, Any]:
    """LAYER -> WORDS of one machine; {} without measurements."""
    return _entry(read(file), machine)


def save_entry(file: str, machine: str, choices: Mapping[str, list[Any] | None]) -> Path:
    """Set these layers' choices in the machine's entry; None returns a layer to the built-in rules.

    Raises OSError where the file cannot be written.
    """
    whole = {"format": FORMAT, **read(file)}
    kept = {layer: words for layer, words in _entry(whole, machine).items() if layer not in choices}
    whole[machine] = kept | {layer: words for layer, words in choices.items() if words is not None}
    place = path(file)
    os.makedirs(place.parent, exist_ok=True)
    with replacing_own(place) as written:
        written.write(json.dumps(whole, indent=1).encode())
    return place


def _entry(whole: Mapping[str, Any], machine: str) -> dict[str, Any]:
    entry = whole.get(machine)
    return entry if isinstance(entry, dict) else {}
