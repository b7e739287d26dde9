"""Warnings where other programs, or another guest of the host, take CPU time."""

from __future__ import annotations

import os

import pytest

from npresnet.bench import busy, run
from npresnet.bench.busy import CpuTimes, busy_text, cpu_times, stolen_text
from npresnet.bench.compare import Settings

IDLE = (1000, 0, 500, 9000, 100, 0, 10, 0)  # user, nice, system, idle, iowait, irq, softirq, steal


@pytest.fixture
def stat(tmp_path, monkeypatch):
    """stat(*changes): what /proc/stat says first, and then after each change of one CPU's ticks."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 9.0, 9.0), raising=False)
    monkeypatch.setattr(busy, "usable_cpus", lambda: 4)

    def answers(*changes):
        moments = [CpuTimes(10_610, 1510, 0), *changes]
        monkeypatch.setattr(busy, "cpu_times", lambda: moments.pop(0) if len(moments) > 1 else moments[0])

    return answers


def test_what_the_system_says(tmp_path, monkeypatch):
    path = tmp_path / "stat"
    path.write_text("cpu  " + " ".join(map(str, IDLE)) + " 0 0\ncpu0 1 2 3\n")
    monkeypatch.setattr(busy, "STAT", str(path))
    assert cpu_times() == CpuTimes(total=10_610, busy=1510, stolen=0)
    for text in ("", "cpu 1 2\n", "cpu a b c d e f g h\n"):
        path.write_text(text)
        assert cpu_times() is None
    monkeypatch.setattr(busy, "STAT", str(tmp_path / "absent"))
    assert cpu_times() is None
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    assert busy_text(0) == stolen_text(None) == ""


def test_an_idle_machine_is_left_alone(stat):
    stat(CpuTimes(10_710, 1512, 0))
    assert busy_text(0) == ""


def test_cpu_time_that_others_use(stat):
    stat(CpuTimes(10_710, 1550, 0))
    assert "40% of its CPU time is used" in busy_text(0)
    stat(CpuTimes(10_710, 1510, 5))
    assert "5% goes to other guests" in busy_text(0)


def test_the_load_average(stat, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (2.4, 0.0, 0.0), raising=False)
    stat(CpuTimes(10_710, 1510, 0))
    text = busy_text(0)
    assert "load average 2.40 on 4 CPUs" in text
    assert text.startswith("warning: this machine is busy")


def test_time_stolen_while_it_was_measured(stat):
    stat(CpuTimes(11_610, 2500, 100))
    assert "took 10% of its CPU time" in stolen_text(busy.cpu_times())
    stat(CpuTimes(11_610, 2510, 3))
    assert stolen_text(busy.cpu_times()) == ""


@pytest.mark.parametrize("measure", [run.run, run.run_layers])
def test_both_benchmarks_say_so_first_and_at_the_end(monkeypatch, measure):
    monkeypatch.setattr(run, "busy_text", lambda: "warning: busy")
    monkeypatch.setattr(run, "stolen_text", lambda before: "warning: stolen")
    monkeypatch.setattr(run, "_gemm_peak", lambda settings, say: None)
    said: list[str] = []
    measure(run.Race([], [1]), Settings(), command="", say=said.append, keep=lambda entry: None)
    assert (said[0], said[-1]) == ("warning: busy", "warning: stolen")


@pytest.mark.parametrize("peers", [[], ["npresnet-fast"], ["torch"]])
def test_without_peers_it_is_told_what_to_install(monkeypatch, peers):
    monkeypatch.setattr(run, "busy_text", lambda: "")
    monkeypatch.setattr(run, "stolen_text", lambda before: "")
    monkeypatch.setattr(run, "_gemm_peak", lambda settings, say: None)
    monkeypatch.setattr(run, "installed", lambda registry: ["npresnet", *peers])
    said: list[str] = []
    run.run(run.Race([], [1]), Settings(), command="", say=said.append, keep=lambda entry: None)
    assert any("pip install 'npresnet[bench]'" in line for line in said) == (peers != ["torch"])
