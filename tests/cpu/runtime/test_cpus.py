"""The default number of threads: affinity and container quota."""

import os

import pytest

import npresnet
from npresnet import cpu
from npresnet.cpu.runtime.cpus import cgroup_quota, default_threads, usable_cpus


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


@pytest.mark.parametrize(
    ("environ", "number"),
    [
        ({}, None),
        ({"OMP_NUM_THREADS": ""}, None),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": " 3,2,1"}, 3),
        ({"OMP_NUM_THREADS": "0"}, None),
        ({"OMP_NUM_THREADS": "-4"}, None),
        ({"OMP_NUM_THREADS": "all"}, None),
        ({"OMP_NUM_THREADS": "\u0663"}, None),
        ({"OMP_NUM_THREADS": "99999999999999999999"}, None),
        ({"NPRESNET_THREADS": "6"}, 6),
        ({"NPRESNET_THREADS": "6", "OMP_NUM_THREADS": "1"}, 6),
        ({"NPRESNET_THREADS": " ", "OMP_NUM_THREADS": "1"}, 1),
    ],
    ids=str,
)
def test_threads_of_the_environment(environ, number):
    found = default_threads(environ)
    assert found.number == (usable_cpus() if number is None else number)
    name, *_ = [*environ, ""]
    assert found.note.startswith(name) if len(environ) == 1 and number else found.note


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "5000", "9" * 30])
def test_a_number_of_threads_that_is_none(value, monkeypatch):
    monkeypatch.setenv("NPRESNET_THREADS", value)
    with pytest.raises(npresnet.DeviceError, match=r"NPRESNET_THREADS='.*' is not a number of threads: expected 1 to"):
        npresnet.load("demo")
    assert npresnet.load("demo", threads=1).config["threads"].origin == "caller"


def test_a_model_has_the_threads_of_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    decision = npresnet.load("demo").config["threads"]
    assert (decision.value, decision.origin, decision.note) == (4, "default", "OMP_NUM_THREADS=4")
    assert npresnet.build("cifar_resnet20").config["threads"].value == 4
    assert cpu.compile(npresnet.load("demo").network).threads == 4
