"""A model from a file on one thread, and its decisions: who made them, and what holds for the network itself."""

from __future__ import annotations

import npresnet
from npresnet.model.metadata import RUNTIME

DILATED = [False, True, True]


def load(path, **options):
    return npresnet.load(path, threads=1, **options)


def origins(model) -> dict[str, str]:
    return {name: decision.origin for name, decision in model.config.items()}


def values(model) -> dict[str, object]:
    """What was decided about the network, not about this run."""
    return {n: d.value for n, d in model.config.items() if n not in (*RUNTIME, "source")}
