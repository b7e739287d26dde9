"""The GPU report's structure: stages of cases, each stored in the results file as soon as it is measured.

An interrupted stage, by its time limit or otherwise, resumes: a case in the file is measured again only if it failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from benchmarks.gpu.bench import Bench
from npresnet.bench import results
from npresnet.errors import NpresnetError

# plain JSON; {"problem": "..."} for a case that failed, {"absent": "..."} for one that cannot be measured here
Finding = dict[str, Any]
LIMIT_S = 450.0  # of one call of one stage, so that it ends within eight minutes


class Case(NamedTuple):
    """One measurement or check: `measure()` takes seconds to a minute or two."""

    name: str
    measure: Callable[[], Finding]


class Stage(NamedTuple):
    """Related cases. `cases` only lists them; expensive work is done in their `measure`."""

    name: str
    meaning: str
    cases: Callable[[Bench], Iterable[Case]]


def run_stage(
    stage: Stage,
    bench: Bench,
    entry: Finding,
    *,
    keep: Callable[[Finding], None],
    say: Callable[[str], None],
    again: bool = False,
    limit_s: float = LIMIT_S,
) -> bool:
    """Measure the stage's cases that are not in `entry`; `keep(entry)` after each. False where some remain.

    again  measure all again
    """
    found: dict[str, Finding] = entry.setdefault("stages", {}).setdefault(stage.name, {})
    if again:
        found.clear()
    deadline, longest_s = time.monotonic() + limit_s, 0.0
    for case in stage.cases(bench):
        if case.name in found and "problem" not in found[case.name]:
            continue
        start = time.monotonic()
        if start + longest_s > deadline:  # the next may take as long as the longest so far
            say(f"{stage.name}: the time of one call is over; call again to go on")
            return False
        found[case.name] = _measured(case)
        say(f"{stage.name}: {case.name}: {_told(found[case.name])}")
        keep(entry)
        longest_s = max(longest_s, time.monotonic() - start)
    return True


def has_problems(entry: Mapping[str, Any]) -> bool:
    """Whether any case failed."""
    return any("problem" in case for stage in entry.get("stages", {}).values() for case in stage.values())


def header(bench: Bench, command: str) -> Finding:
    """The first entries of the results file."""
    return {**results.header("gpu", command), "gpu": bench.describe(), "stages": {}}


def file_name(bench: Bench, date: str) -> str:
    """gpu-nvidia-h200-2026-01-31.json"""
    return f"gpu-{'-'.join(bench.gpu.name.lower().split())}-{date}.json"


def _measured(case: Case) -> Finding:
    try:
        return case.measure()
    except NpresnetError as error:
        return {"problem": str(error)}
    except Exception as error:  # of other libraries: fails one case, not the report
        return {"problem": f"{type(error).__name__}: {error}"[:2000]}


def _told(finding: Finding) -> str:
    for word in ("problem", "absent"):
        if word in finding:
            return f"{word}: {str(finding[word]).splitlines()[0] if finding[word] else ''}"
    return ", ".join(f"{name} {value}" for name, value in finding.items() if isinstance(value, (int, float, str)))
