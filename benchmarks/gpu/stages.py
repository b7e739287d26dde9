"""The GPU report's structure: stages of cases. A case is listed by one process and measured by another, by its name."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from benchmarks.gpu.bench import Bench
from npresnet.bench.process import without_paths
from npresnet.errors import NpresnetError

# plain JSON; {"problem": "..."} for a case that failed, {"absent": "..."} for one that cannot be measured here
Finding = dict[str, Any]


class Case(NamedTuple):
    """One measurement or check: `measure()` takes seconds to a minute or two."""

    name: str
    measure: Callable[[], Finding]


class Stage(NamedTuple):
    """Related cases. `cases` only lists them; expensive work is done in their `measure`.

    call     the one of the three calls that runs it
    limit_s  of a case, before it counts as hung: several times what it may take, compiling included
    kin      a case -> what it shares with others: after two that hang or die, none of their kin is measured
    """

    name: str
    meaning: str
    cases: Callable[[Bench], Iterable[Case]]
    call: int
    limit_s: float
    kin: Callable[[str], str] = str


def listed(stage: Stage, bench: Bench) -> list[Case]:
    """The stage's cases; one that fails with the reason, where they cannot be listed: the other stages go on."""
    try:
        return list(stage.cases(bench))
    except Exception as error:
        reason = error

    def fail() -> Finding:
        raise reason

    return [Case("its cases", fail)]


def measured(case: Case, bench: Bench) -> tuple[Finding, bool]:
    """(the finding, whether the process may be used further).

    A DeviceError need not end it, a new one takes many seconds; after a sticky error of CUDA nothing in it works, and
    "broke" is in the finding. Nobody knows what other libraries are left with.
    """
    finding, usable = _finding(case.measure)
    if not usable:
        return finding, False
    late, _ = _finding(lambda: _synchronised(bench))  # an error that comes late is this case's
    broke = {"broke": True} if bench.gpu.failed is not None else {}
    return (finding if "problem" in finding or not late else late) | broke, not late


def _finding(measure: Callable[[], Finding]) -> tuple[Finding, bool]:
    """(what it found or failed with, whether the libraries of others are as they were)."""
    try:
        return measure(), True
    except NpresnetError as error:
        return {"problem": without_paths(str(error), 2000)}, True
    except Exception as error:  # of other libraries: fails one case, not the report
        traceback.print_exc(file=sys.stderr)
        return {"problem": without_paths(f"{type(error).__name__}: {error}", 2000)}, False


def _synchronised(bench: Bench) -> Finding:
    with bench.gpu.active():
        bench.stream.synchronize()
    return {}


def told(finding: Finding) -> str:
    """A finding in one line."""
    for word in ("problem", "absent"):
        if word in finding:
            return f"{word}: {str(finding[word]).splitlines()[0] if finding[word] else ''}"
    plain = [f"{name} {value}" for name, value in finding.items() if isinstance(value, (int, float, str))]
    times = {**finding.get("times", {}), **({"graph": finding["graph"]} if "graph" in finding else {})}
    plain += [f"{name} {time['ms']:.4g} ms" for name, time in times.items() if "ms" in time]
    return ", ".join(plain)
