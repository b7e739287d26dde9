from __future__ import annotations

import json

from benchmarks.gpu import stages
from benchmarks.gpu.stages import Case, Stage


class Counting:
    """A stage of three cases that counts; `faulty` ones raise."""

    def __init__(self):
        self.measured = []
        self.faulty = set()

    def stage(self):
        return Stage("counting", "", lambda bench: [Case(name, lambda name=name: self.measure(name)) for name in "abc"])

    def measure(self, name):
        self.measured.append(name)
        if name in self.faulty:
            raise RuntimeError(f"{name} is broken")
        return {"number": len(self.measured)}


def run(counting, entry, **how):
    kept = []
    done = stages.run_stage(
        counting.stage(), None, entry, keep=lambda e: kept.append(json.dumps(e)), say=lambda line: None, **how
    )
    return done, kept


def test_each_case_is_kept_at_once_and_measured_once():
    counting, entry = Counting(), {}
    done, kept = run(counting, entry)
    assert done
    assert [len(json.loads(text)["stages"]["counting"]) for text in kept] == [1, 2, 3]
    assert run(counting, entry) == (True, [])
    assert counting.measured == ["a", "b", "c"]


def test_again_measures_anew():
    counting, entry = Counting(), {}
    run(counting, entry)
    run(counting, entry, again=True)
    assert counting.measured == ["a", "b", "c"] * 2


def test_a_case_that_failed_is_told_and_tried_again():
    counting, entry = Counting(), {}
    counting.faulty = {"b"}
    assert run(counting, entry)[0]
    assert entry["stages"]["counting"]["b"] == {"problem": "RuntimeError: b is broken"}
    assert stages.has_problems(entry)
    counting.faulty = set()
    run(counting, entry)
    assert counting.measured == ["a", "b", "c", "b"]
    assert not stages.has_problems(entry)


def test_a_stage_ends_in_time_and_goes_on_later():
    counting, entry = Counting(), {}
    assert not run(counting, entry, limit_s=-1)[0]
    assert counting.measured == []
    assert run(counting, entry)[0]
