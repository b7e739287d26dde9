"""Measures cases in a child process that may hang, die, or ruin its CUDA context: the next case gets a new child.

One child runs case after case, because CUDA, PyTorch and their libraries take seconds to start. The parent itself never
touches the GPU.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.record import Record
from benchmarks.gpu.stages import Finding, Stage, told
from npresnet.bench.process import Process, WorkerDiedError, WorkerHungError

ROOT = Path(__file__).resolve().parents[2]
WORKER = "benchmarks.gpu.worker"
OPEN_S = 180.0  # to start a child: CUDA, and gigabytes of PyTorch from a disk that has not been read before
LAST_LINES = 5  # of a dead child's stderr
MARGIN_S = 1.0
MOST_STUCK = 2  # cases of one kin, each of which costs its whole limit, or a new child
NO_DEADLINE = float("inf")


class Supervisor:
    """Use as a context manager.

    request  what the worker's "open" takes
    """

    def __init__(self, request: Mapping[str, Any]):
        self._request = dict(request)
        self._child: Process | None = None

    def open(self, deadline: float = NO_DEADLINE) -> dict[str, Any]:
        """Start a child, and tell the GPU and all cases. Raises WorkerError where it cannot."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        child = Process({**os.environ, "PYTHONPATH": path}, module=WORKER, last_lines=LAST_LINES)
        try:
            found = child.ask("open", timeout_s=min(OPEN_S, _left_s(deadline)), **self._request)
        except BaseException:
            child.close()
            raise
        self._child = child
        return found

    def measure(self, stage: Stage, case: str, deadline: float) -> Finding:
        """The finding, at the latest at the deadline (by time.monotonic). Raises WorkerError where no child starts."""
        if self._child is None:
            try:
                self.open(deadline)
            except WorkerHungError:
                if _left_s(deadline) > MARGIN_S:
                    raise
                return {"problem": "cut off before it began: the time of this call was over"}
        assert self._child is not None
        limit_s = min(stage.limit_s, _left_s(deadline))
        try:
            answer = self._child.ask("measure", timeout_s=limit_s, stage=stage.name, case=case)
        except WorkerHungError as error:
            self.close()
            words = _own(error.last_words, stage, case)
            words = f"; its last words: {words}" if words else ""
            if limit_s < stage.limit_s:
                return {"problem": f"cut off after {limit_s:.0f} s: the time of this call was over{words}"}
            return {"problem": f"hung: did not end within {limit_s:g} s{words}", "stuck": True}
        except WorkerDiedError as error:
            self.close()
            words = _own(error.last_words, stage, case)
            return {"problem": f"died: it {error.how}{': ' if words else ''}{words}", "stuck": True}
        if not answer["usable"]:
            self.close()
        finding: Finding = answer["finding"]
        return finding

    def close(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()


def _own(last_words: str, stage: Stage, case: str) -> str:
    """Without those of the cases before: the child names each case as it begins."""
    _, name, words = last_words.rpartition(f"{stage.name}: {case}")
    return name + words


def _left_s(deadline: float) -> float:
    return max(MARGIN_S, deadline - time.monotonic())


def run_stage(
    stage: Stage,
    cases: Sequence[str],
    supervisor: Supervisor,
    record: Record,
    *,
    wanted: Callable[[str, str], bool] | None = None,
    again: bool = False,
    deadline: float = NO_DEADLINE,
) -> bool:
    """Measure the cases that `record` does not have. False where some remain for another call.

    wanted  (stage, case) -> whether it was asked for by name: all others are left, these are measured again
    again   measure all again
    """
    longest_s, left_out = 0.0, 0
    stuck = Counter(stage.kin(case) for case in cases if not again and record.is_stuck(stage.name, case))
    for case in cases:
        if wanted is not None and not wanted(stage.name, case):
            continue
        if wanted is None:
            if not again and record.is_done(stage.name, case):
                continue
            if stuck[stage.kin(case)] >= MOST_STUCK or (not again and record.is_stuck(stage.name, case)):
                left_out += 1
                continue
        start = time.monotonic()
        if start + longest_s > deadline:  # the next may take as long as the longest so far
            record.say(f"{stage.name}: the time of this call is over; --resume {record.path.name} goes on")
            return False
        finding = _measured(stage, case, supervisor, record, deadline)
        record.say(f"{stage.name}: {case}: {told(finding)}")
        stuck[stage.kin(case)] += finding.get("stuck", False) or finding.get("broke", False)
        longest_s = max(longest_s, time.monotonic() - start)
    if left_out:
        why = "they hung or died, or are like two that did or broke CUDA; see --case"
        record.say(f"{stage.name}: {left_out} left out: {why}")
    return True


def _measured(stage: Stage, case: str, supervisor: Supervisor, record: Record, deadline: float) -> Finding:
    record.begin(stage.name, case)
    try:
        finding = supervisor.measure(stage, case, deadline)
    except BaseException as error:
        # not this case's fault: Ctrl-C, or no new child could be started after the last one
        record.end(stage.name, case, {"problem": f"not measured: {type(error).__name__}: {error}"})
        raise
    record.end(stage.name, case, finding)
    return finding
