"""The default number of threads: affinity and container quota."""

import os

import pytest

from npresnet.cpu.runtime.cpus import cgroup_quota, usable_cpus


def test_never_more_than_the_affinity_mask():
    limit = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= usable_cpus() <= limit


@pytest.mark.parametrize(("text", "cpus"), [("150000 100000\n", 1.5), ("max 100000\n", None), ("nonsense\n", None)])
def test_cgroup_v2(tmp_path, text, cpus):
    (tmp_path / "cpu.max").write_text(text)
    assert cgroup_quota(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("200000", 2.0), ("-1", None)])
def test_cgroup_v1(tmp_path, quota, cpus):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert cgroup_quota(tmp_path) == cpus


def test_no_cgroup(tmp_path):
    assert cgroup_quota(tmp_path) is None
