"""One process a job: results, crashes and hangs are that job's alone."""

from __future__ import annotations

import os
import time

import pytest

from benchmarks.kit.sweep import jobs
from benchmarks.kit.sweep.jobs import Job


@pytest.fixture
def finish(monkeypatch):
    """Runs jobs, without PyTorch in their processes; returns all records by name."""
    monkeypatch.setattr(jobs, "PRELOADED", [])

    def run(*waiting, **options):
        found = []
        jobs.run(waiting, keep=found.extend, **{"processes": 2, "limit_s": 60.0, **options})
        return {record["name"]: record for record in found}

    return run


def test_every_job_has_its_records(finish):
    waiting = [Job(list, ([{"name": str(i)}],), {"name": "-"}, is_large=i % 2 == 0) for i in range(4)]
    assert set(finish(*waiting)) == {"0", "1", "2", "3"}


def test_a_process_that_dies_and_one_that_hangs(finish):
    dies = Job(os._exit, (3,), {"name": "dies"})
    hangs = Job(time.sleep, (60,), {"name": "hangs"})
    found = finish(dies, hangs, limit_s=2.0)
    assert found["dies"] == {"name": "dies", "verdict": "crash", "message": "the process ended with 3"}
    assert found["hangs"]["message"] == "no result after 2 s"
