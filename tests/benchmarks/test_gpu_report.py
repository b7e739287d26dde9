"""The GPU report without a GPU: all of its stages through the emulator, and its command line."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import gpu_report
from benchmarks.gpu import stages, tables
from tests.emulator import emulator


@emulator.needed
def test_every_stage_runs_through_the_emulator(tmp_path, capsys):
    output = tmp_path / "found.json"
    words = ["--emulator", "--dtype", "float32", "--output", str(output)]
    assert gpu_report.main(words) == 0
    entry = json.loads(output.read_text())
    assert set(entry["stages"]) == set(tables.TITLES)
    assert not stages.has_problems(entry)
    assert entry["stages"]["parity"]["cifar_resnet8 float32"]["error"] < 1e-6
    assert '"ms"' not in output.read_text()  # no times are claimed
    assert "nothing here is a time or a speed" in (tmp_path / "found.md").read_text()
    assert str(tmp_path) not in output.read_text()
    assert entry["command"] == "python benchmarks/gpu_report.py --emulator --dtype float32 --output found.json"
    capsys.readouterr()
    assert gpu_report.main(words) == 0  # all is there: nothing is measured again
    assert capsys.readouterr().err.splitlines() == ["written: found.json and found.md"]


def test_without_a_gpu_it_says_so_and_fails(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert gpu_report.main([]) == 1
    assert "needs an NVIDIA GPU" in capsys.readouterr().err


def test_the_emulator_s_findings_are_no_results(capsys):
    with pytest.raises(SystemExit):
        gpu_report.main(["--emulator"])
    assert "--output" in capsys.readouterr().err
