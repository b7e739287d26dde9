"""The results of a benchmark, and their JSON file."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from npresnet.bench import machine
from npresnet.bench.engines import FAST, OURS
from npresnet.bench.timing import Stats, geometric_mean, median
from npresnet.system.files import replacing

Status = Literal["ok", "absent", "free", "failed", "wrong"]


@dataclass
class EngineResult:
    """One engine on one case. Only "ok" has times.

    status        absent: not installed; free: cannot be held to the instruction set; failed: raised, died, hung, or
                  was not held; wrong: its logits differ from the reference's
    instructions  what its parts say of the instructions that they use, where it was held; independent: those that chose
                  for themselves
    error         RMS error relative to the RMS of the reference's logits
    rounds_ms     for each round, the milliseconds of each call (one call = one batch)
    """

    engine: str
    status: Status = "ok"
    reason: str = ""
    error: float | None = None
    rounds_ms: list[list[float]] = field(default_factory=list)
    load_s: float | None = None
    peak_mb: float | None = None
    resident_mb: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    blas: list[dict[str, Any]] = field(default_factory=list)
    instructions: dict[str, str] = field(default_factory=dict)
    independent: dict[str, str] = field(default_factory=dict)

    @property
    def stats(self) -> Stats | None:
        """Stats over all calls of all rounds; None without times."""
        times_ms = [time_ms for round_ms in self.rounds_ms for time_ms in round_ms]
        return Stats.of(times_ms) if times_ms and self.status == "ok" else None

    def give_up(self, status: Status, reason: str) -> None:
        """Record why this engine has no times."""
        self.status, self.reason, self.rounds_ms = status, reason, []

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types: Stats and each round's median instead of all times."""
        entry = {name: value for name, value in asdict(self).items() if name != "rounds_ms" and value not in ("", None)}
        entry = {name: value for name, value in entry.items() if value or name not in ("instructions", "independent")}
        if self.stats:
            entry |= {**self.stats.to_dict(), "round_medians_ms": [round(median(times), 4) for times in self.rounds_ms]}
        return entry


@dataclass
class CaseResult:
    """All engines on one model at one batch. macs: multiply-adds of one image."""

    model: str
    batch: int
    size: int
    threads: int
    reference: str
    error_bound: float
    onnx: str
    macs: int = 0
    engines: dict[str, EngineResult] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, ratios included."""
        entries = {name: result.to_dict() for name, result in self.engines.items()}
        fields = {name: value for name, value in vars(self).items() if name != "engines"}
        return {**fields, "engines": entries, "ratios": ratios(entries)}


def ratios(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """For each peer with a time: its median over ours, and the lowest and highest of that ratio among the rounds.

    npresnet with fast=True is not a peer: its ratio is the default's time over that of fast=True, its gain.
    """
    ours = entries.get(OURS, {})
    if "median_ms" not in ours:
        return {}
    timed = {name: entry for name, entry in entries.items() if name != OURS and "median_ms" in entry}
    return {name: _ratio(ours, entry) if name == FAST else _ratio(entry, ours) for name, entry in timed.items()}


def _ratio(slower: Mapping[str, Any], faster: Mapping[str, Any]) -> dict[str, float]:
    rounds = [a / b for a, b in zip(slower["round_medians_ms"], faster["round_medians_ms"], strict=True)]
    values = {"ratio": slower["median_ms"] / faster["median_ms"], "lowest": min(rounds), "highest": max(rounds)}
    return {name: round(value, 3) for name, value in values.items()}


def geometric_means(cases: list[dict[str, Any]]) -> dict[str, float]:
    """For each peer, the geometric mean of its ratios over the cases in which both have a time."""
    found: dict[str, list[float]] = {}
    for case in cases:
        for peer, entry in case["ratios"].items():
            found.setdefault(peer, []).append(entry["ratio"])
    return {peer: round(geometric_mean(values), 3) for peer, values in found.items()}


def header(kind: str, command: str, **settings: Any) -> dict[str, Any]:
    """The first entries of every results file: kind, date, command, settings, machine."""
    today = datetime.date.today().isoformat()
    return {"kind": kind, "date": today, "command": command, **settings, "machine": machine.describe()}


def without_folder(word: str) -> str:
    """A word of a command line; of a file only its name, because results are published."""
    return Path(word).name if "/" in word or "\\" in word else word


def write(path: Path, entry: Mapping[str, Any]) -> None:
    """Write a results file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(str(path)) as file:
        file.write((json.dumps(entry, indent=1) + "\n").encode("utf-8"))
