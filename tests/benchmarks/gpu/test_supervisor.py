"""Which cases a call measures, and what it keeps, with a supervisor that measures nothing."""

from __future__ import annotations

import json
import time

import pytest

from benchmarks.gpu.record import STARTED, Conditions, Record, commit
from benchmarks.gpu.stages import Stage
from benchmarks.gpu.supervisor import NO_DEADLINE, run_stage
from npresnet.bench.process import WorkerError

STAGE = Stage("counting", "", lambda bench: [], 1, 60)
STUCK = {"problem": "hung", "stuck": True}
GPU = {"name": "NVIDIA H200", "capability": 90, "multiprocessors": 132, "memory_gb": 150.7, "emulated": False}
GPU["versions"] = {}
NOW = Conditions("abc", quick=False, emulated=False)


class Counting:
    """A supervisor that counts; `findings` of some cases are given, or raised."""

    def __init__(self, record):
        self.measured, self.seen, self.findings, self.record = [], [], {}, record

    def measure(self, stage, case, deadline):
        self.measured.append(case)
        self.seen.append(json.loads(self.record.path.read_text())["stages"][stage.name][case])
        found = self.findings.get(case, {"number": len(self.measured)})
        if isinstance(found, BaseException):
            raise found
        return found


@pytest.fixture
def record(tmp_path):
    return Record.open(tmp_path / "found.json", GPU, "python x", NOW)


def reopened(record, **how):
    """The same file, gone on with under other conditions."""
    now = NOW._replace(**how)
    return Record.open(record.path, {**GPU, "emulated": now.emulated}, "python y", now)


def run(record, findings=(), **how):
    """What was measured."""
    counting = Counting(record)
    counting.findings.update(findings)
    run_stage(STAGE, "abc", counting, record, **how)
    return counting.measured


def test_each_case_is_stored_before_and_after_it_runs(record):
    counting = Counting(record)
    assert run_stage(STAGE, "ab", counting, record)
    assert all(STARTED.items() <= found.items() for found in counting.seen)
    kept = json.loads(record.path.read_text())["stages"]["counting"]
    assert [case["number"] for case in kept.values()] == [1, 2]
    assert kept["a"]["run"] == {
        "commit": "abc", "quick": False, "emulated": False, "date": record.entry["date"], "seconds": 0.0,
    }  # fmt: skip
    assert record.path.with_suffix(".log").read_text().count("counting: ") == 2
    assert record.path.with_suffix(".md").exists()


def test_what_is_known_is_not_measured_again_unless_all_of_it_is(record):
    assert run(record) == ["a", "b", "c"]
    assert run(record) == []
    assert run(record, again=True) == ["a", "b", "c"]
    assert run(record, wanted=lambda stage, case: case == "b") == ["b"]


def test_a_case_that_failed_is_measured_again_one_that_is_stuck_is_not(record):
    run(record, {"a": {"problem": "wrong"}, "b": STUCK})
    assert record.has_problems()
    assert run(record) == ["a"]
    assert run(record, wanted=lambda stage, case: case == "b") == ["b"]
    assert not record.has_problems()


def test_two_that_are_stuck_stand_for_all_of_their_kin(record):
    alike, names = STAGE._replace(kin=lambda case: case[0]), ["m1", "w1", "w2", "w3", "m2", "w4"]

    def run_alike(**how):
        counting = Counting(record)
        counting.findings.update(dict.fromkeys(["w1", "w2", "w4"], STUCK))
        run_stage(alike, names, counting, record, **how)
        return counting.measured

    assert run_alike() == ["m1", "w1", "w2", "m2"]
    assert run_alike() == []
    assert run_alike(wanted=lambda stage, case: case in ("w3", "w4")) == ["w3", "w4"]
    assert run_alike(again=True) == ["m1", "w1", "w2", "m2"]


def test_two_that_broke_cuda_stand_for_their_kin_in_this_call(record):
    alike, broke = STAGE._replace(kin=lambda case: "same"), {"problem": "illegal address", "broke": True}
    counting = Counting(record)
    counting.findings.update(dict.fromkeys("ab", broke))
    run_stage(alike, "abcd", counting, record)
    assert counting.measured == ["a", "b"]
    counting = Counting(record)
    run_stage(alike, "abcd", counting, record)
    assert counting.measured == ["a", "b", "c", "d"]


def test_a_report_that_was_killed_within_a_case_has_told_which(record):
    record.begin("counting", "a")
    record = reopened(record)
    assert record.case("counting", "a")["problem"] == "started, did not end"
    assert run(record) == ["b", "c"]


def test_ctrl_c_is_not_the_case_s_fault(record):
    with pytest.raises(KeyboardInterrupt):
        run(record, {"b": KeyboardInterrupt()})
    assert "stuck" not in record.case("counting", "b")
    assert run(record) == ["b", "c"]


def test_a_gpu_on_which_no_child_starts_ends_the_call(record):
    with pytest.raises(WorkerError):
        run(record, {"b": WorkerError("gave no answer")})
    assert record.case("counting", "b")["problem"] == "not measured: WorkerError: gave no answer"
    assert record.case("counting", "c") is None


def test_a_call_ends_in_time_and_goes_on_later(record):
    assert not run_stage(STAGE, "abc", Counting(record), record, deadline=time.monotonic() - 1)
    assert record.case("counting", "a") is None
    assert run_stage(STAGE, "abc", Counting(record), record, deadline=NO_DEADLINE)


def test_a_quick_finding_is_replaced_by_a_call_without_it(record):
    quick = reopened(record, quick=True)
    assert run(quick) == ["a", "b", "c"]
    assert run(reopened(quick, quick=True)) == []
    full = reopened(quick)
    assert run(full, wanted=lambda stage, case: case == "a") == ["a"]
    assert run(reopened(full)) == ["b", "c"]
    last = reopened(full, quick=True)
    assert run(last) == []
    assert all(not case["run"]["quick"] for case in last.entry["stages"]["counting"].values())


def test_nothing_emulated_replaces_what_a_gpu_has_shown(record):
    emulated = reopened(record, emulated=True)
    assert run(emulated, {"c": STUCK}) == ["a", "b", "c"]
    assert run(reopened(emulated, emulated=True)) == []
    real = reopened(emulated)
    assert run(real, {"a": {"problem": "wrong"}}) == ["a", "b", "c"]
    assert run(reopened(real, emulated=True)) == []


def test_a_file_of_another_gpu_is_refused(record):
    record.write()
    with pytest.raises(ValueError, match=r"found\.json holds results of NVIDIA H200, this is NVIDIA L4"):
        Record.open(record.path, {**GPU, "name": "NVIDIA L4"}, "", NOW)
    record.path.write_text('{"kind": "layers"}')
    with pytest.raises(ValueError, match="was not written by a GPU report"):
        Record.open(record.path, GPU, "", NOW)


def test_the_commit_is_this_checkout_s(monkeypatch, tmp_path):
    found = commit()
    assert found == "unknown" or len(found.split(",")[0]) == 12
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() == "unknown"
