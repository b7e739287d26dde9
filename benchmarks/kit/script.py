"""Shared by the scripts: the requested models, the published command, progress, names of results files."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from npresnet.bench import torchvision_models
from npresnet.bench.results import without_folder

RESULTS = Path(__file__).resolve().parents[1] / "results"


def models(asked: list[str]) -> list[str]:
    """The models of a command line: ["all"] means every classifier of torchvision."""
    return torchvision_models.names() if asked == ["all"] else asked


def command(script: str, arguments: Iterable[str]) -> str:
    """The command line of benchmarks/<script>.py; of files only their names, because results are published."""
    return shlex.join(["python", f"benchmarks/{script}.py", *map(without_folder, arguments)])


def say(line: str) -> None:
    """Print progress to stderr without buffering; stdout is for the tables."""
    print(line, file=sys.stderr, flush=True)


def default_path(kind: str, entry: Mapping[str, Any]) -> Path:
    """results/<kind>-<processor>[-<instruction set>]-<date>.json"""
    words = [kind, slug(entry["machine"]["cpu"]), entry.get("isa") or "", entry["date"]]
    return RESULTS / ("-".join(filter(None, words)) + ".json")


def default_text(kind: str) -> str:
    """`default_path`, for the help of --output."""
    return f"default: {RESULTS.name}/{kind}-<machine>-<date>.json beside this file"


def slug(name: str) -> str:
    """A processor's name for file names: "Intel(R) Core(TM) i7-9700 CPU @ 3.00GHz" is intel-core-i7-9700."""
    name = re.sub(r"\((R|TM|r|tm)\)|@.*$|\b\d+-Core\b|\b(CPU|Processor)\b", " ", name)
    return "-".join(re.findall(r"[a-z0-9]+", name.lower())) or "cpu"


def read(path: Path) -> dict[str, Any] | None:
    """A results file that `npresnet.bench.results.write` wrote, or None where there is none."""
    if not path.exists():
        return None
    entry: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return entry
