"""The results file of a GPU report, with its log and its tables beside it: each case is stored as soon as it ends.

A case holds its finding and "run": the commit, whether it was quick, whether it was emulated, the day, the seconds. A
file that is gone on with may mix them.
"""

from __future__ import annotations

import datetime
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu import tables
from benchmarks.gpu.stages import Finding
from benchmarks.kit.script import read, say
from npresnet.bench import results

ROOT = Path(__file__).resolve().parents[2]
STARTED = {"problem": "started, did not end", "stuck": True}  # stored before a case begins


class Conditions(NamedTuple):
    """How this call measures."""

    commit: str
    quick: bool
    emulated: bool


class Record:
    """Findings by stage and case, in `path`."""

    def __init__(self, path: Path, entry: dict[str, Any], now: Conditions):
        self.path, self.entry, self._now = path, entry, now
        self._start = time.monotonic()

    @classmethod
    def open(cls, path: Path, gpu: Mapping[str, Any], command: str, now: Conditions) -> Record:
        """A new file, or one to go on with. Raises ValueError for a file of another GPU, or of no GPU report."""
        entry = _read(path)
        if entry is None:
            return cls(path, {**results.header("gpu", command), "gpu": dict(gpu), "stages": {}}, now)
        known = entry["gpu"]
        if known["emulated"] and not gpu["emulated"]:
            entry["gpu"] = dict(gpu)
        elif known["name"] != gpu["name"] and not gpu["emulated"]:
            raise ValueError(f"{path.name} holds results of {known['name']}, this is {gpu['name']}: give another file")
        return cls(path, entry, now)

    def case(self, stage: str, case: str) -> Finding | None:
        """What is known of it."""
        found: Finding | None = self.entry["stages"].get(stage, {}).get(case)
        return found

    def is_done(self, stage: str, case: str) -> bool:
        """Whether a call like this one need not measure it: its finding is as good as what it would be."""
        found = self.case(stage, case)
        if found is None:
            return False
        run = found["run"]
        if run["emulated"] != self._now.emulated:
            return self._now.emulated  # nothing that is emulated replaces what a GPU has shown
        return "problem" not in found and (self._now.quick or not run["quick"])

    def is_stuck(self, stage: str, case: str) -> bool:
        """Whether it hung, died, or took its whole report with it, the last time."""
        found = self.case(stage, case)
        return found is not None and found.get("stuck", False) and found["run"]["emulated"] == self._now.emulated

    def begin(self, stage: str, case: str) -> None:
        """Store that it has started, so that a report that ends with it tells which one it was."""
        self._start = time.monotonic()
        self._keep(stage, case, STARTED)
        results.write(self.path, self.entry)

    def end(self, stage: str, case: str, finding: Finding) -> None:
        """Store its finding."""
        self._keep(stage, case, finding)
        self.write()

    def _keep(self, stage: str, case: str, finding: Finding) -> None:
        run = {**self._now._asdict(), "date": datetime.date.today().isoformat()}
        run["seconds"] = round(time.monotonic() - self._start, 1)
        self.entry["stages"].setdefault(stage, {})[case] = {**finding, "run": run}

    def write(self) -> None:
        """The results, and their tables beside them."""
        results.write(self.path, self.entry)
        self.path.with_suffix(".md").write_text(tables.report(self.entry), encoding="utf-8")

    def say(self, line: str) -> None:
        """To stderr, and with the time to the log beside the results."""
        say(line)
        with self.path.with_suffix(".log").open("a", encoding="utf-8") as log:
            log.write(f"{datetime.datetime.now().isoformat(timespec='seconds')} {line}\n")

    def has_problems(self) -> bool:
        """Whether any case failed."""
        return any("problem" in case for stage in self.entry["stages"].values() for case in stage.values())


def _read(path: Path) -> dict[str, Any] | None:
    """What a report has written, None where there is no file. Raises ValueError where this one cannot go on with it."""
    try:
        entry = read(path)
    except ValueError as error:
        raise ValueError(f"{path.name} is damaged, or no JSON file: {error}") from None
    if entry is None:
        return None
    if not isinstance(entry, dict) or entry.get("kind") != "gpu":
        raise ValueError(f"{path.name} was not written by a GPU report")
    try:
        tables.report(entry)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path.name} was written by another version of the GPU report ({why}): give another file"
        ) from None
    return entry


def commit() -> str:
    """Of this checkout, "1a2b3c4d5e6f, changed" where files differ from it; "unknown" where git does not tell."""
    try:
        found = _git("rev-parse", "--short=12", "HEAD").strip()
        return f"{found}, changed" if _git("status", "--porcelain", "--untracked-files=no").strip() else found
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True, timeout=60
    ).stdout
