"""A frozen program has no Python to start: what would start one says so, and starts nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from npresnet import NpresnetError
from npresnet.bench.process import Process
from npresnet.cli import doctor
from npresnet.system.interpreter import interpreter


def test_it_is_the_one_that_runs():
    assert interpreter() == sys.executable


@pytest.fixture(params=["frozen", "embedded"])
def no_python(request, monkeypatch):
    if request.param == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    else:
        monkeypatch.setattr(sys, "executable", None)

    def refuse(command, **_):
        raise AssertionError(f"{command} was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(subprocess, "run", refuse)


def test_no_worker_is_started(no_python):
    with pytest.raises(NpresnetError, match="no Python to start here"):
        Process({})


def test_doctor_does_not_ask_cupy(no_python):
    works, text = doctor._ask_cupy()
    assert not works
    assert "frozen" in text
