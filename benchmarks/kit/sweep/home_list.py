"""All homes, in the order of the table."""

from __future__ import annotations

from benchmarks.kit.sweep.home_layouts import LAYOUTS
from benchmarks.kit.sweep.home_networks import NETWORKS
from benchmarks.kit.sweep.home_shapes import SHAPES
from benchmarks.kit.sweep.home_training import TRAINING
from benchmarks.kit.sweep.homes import judge_home
from benchmarks.kit.sweep.verdicts import Record

HOMES = {**LAYOUTS, **TRAINING, **SHAPES, **NETWORKS}


def judged(name: str) -> list[Record]:
    """For `jobs`."""
    return [judge_home(name, HOMES[name])]
