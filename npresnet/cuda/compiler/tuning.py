"""Tables of measured choices: the user's, which `npresnet bench --tune --device cuda` writes, and the one that ships.

    {"format": 1, "NVIDIA H200, sm_90, 132 multiprocessors": {LAYER: ["conv2d_mma", "128x64s4"], ...}, ...}

LAYER is "float16 8x 3x3 64->64, 56x56", see `choices.Layer.key`; 8 is the number of images. A table also answers for

- other numbers of images, up to twice or half as many, the nearest first: the tiles' number, and with it what the last
  round leaves idle, then changes less than between two neighbouring tiles of a kernel;
- other GPUs of the same capability with about as many multiprocessors: each multiprocessor has the same limits.

What a table names is checked before it is used: it may make things faster or slower, never wrong. Files are read once a
process.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from npresnet.system import measured

FILE = "cuda_tuning.json"
SHIPPED = Path(__file__).parents[2] / "data" / "cuda_choices.json"  # only what was measured
MOST_IMAGES_RATIO = 2.0
MOST_MULTIPROCESSORS_RATIO = 1.2  # an H100 with 114 answers for one with 132
ENTRY = re.compile(r"(.+), sm_(\d+), (\d+) multiprocessors")
LAYER = re.compile(r"(\w+ )(\d+)(x .+)")

Table = Mapping[str, Any]


def path() -> Path:
    """Where the user's table is."""
    return measured.path(FILE)


@functools.cache
def tables(gpu: str) -> tuple[Table, ...]:
    """Layer -> [launcher, tile]: the user's and the shipped table of this GPU, then those of GPUs like it.

    gpu   str(Processor)
    """
    sources = measured.read(FILE), _shipped()
    likeness = {name: found for source in sources for name in source if (found := _likeness(name, gpu)) is not None}
    names = sorted(likeness, key=lambda name: (likeness[name], name))
    return tuple(source[name] for name in names for source in sources if isinstance(source.get(name), dict))


def answers(table: Table, layer: str) -> Iterator[Any]:
    """What the table has for this layer, and then for the same with other numbers of images, the nearest first."""
    if table and (parts := LAYER.fullmatch(layer)):
        images = int(parts[2])
        others = [other for key in table if (other := LAYER.fullmatch(key))]
        same = [(int(other[2]), other[0]) for other in others if (other[1], other[3]) == (parts[1], parts[3])]
        near = sorted((_ratio(count, images), count, key) for count, key in same)
        yield from (table[key] for ratio, _, key in near if ratio <= MOST_IMAGES_RATIO)


def save(gpu: str, choices: Mapping[str, tuple[str, str]]) -> Path:
    """Set these layers' choices for this GPU; those of others stay.

    Raises OSError where the file cannot be written.
    """
    place = measured.save_entry(FILE, gpu, {layer: list(words) for layer, words in choices.items()})
    tables.cache_clear()
    return place


def _likeness(entry: str, gpu: str) -> tuple[bool, float] | None:
    """The less, the more like this GPU; None: too different to learn from."""
    theirs, ours = ENTRY.fullmatch(entry), ENTRY.fullmatch(gpu)
    if theirs is None or ours is None or theirs[2] != ours[2]:
        return None
    ratio = _ratio(int(theirs[3]), int(ours[3]))
    return (entry != gpu, ratio) if ratio <= MOST_MULTIPROCESSORS_RATIO else None


def _ratio(a: int, b: int) -> float:
    return max(a, b) / max(min(a, b), 1)


@functools.cache
def _shipped() -> Table:
    found: Table = json.loads(SHIPPED.read_bytes())
    return found
