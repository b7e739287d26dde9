"""The GPU report without a GPU: all of its stages through the emulator, with faults that it must tell apart."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks import gpu_report
from benchmarks.gpu import calls, supervisor, tables
from tests.emulator import emulator

HANGS = "sanitizer: memcheck float32"
DIES = "precisions: cifar_resnet8 float32 batch 2"
IS_WRONG = "exact: 3x3 + residual float32 conv2d_tiled"
BREAKS_CUDA = "exact: 7x7/2 of images float32 conv2d_direct"
FAULTS = {HANGS: "hangs", DIES: "dies", IS_WRONG: "is wrong", BREAKS_CUDA: "breaks CUDA"}
LIMIT_S = 3  # of the stage with one case, which hangs


@pytest.fixture
def faulty(monkeypatch):
    """Workers whose kernels have FAULTS planted; gives what starts them from now on healthy."""
    monkeypatch.setattr(supervisor, "WORKER", "tests.benchmarks.gpu.faulty_worker")
    monkeypatch.setenv("NPRESNET_TEST_FAULTS", json.dumps(FAULTS))
    stages = [one._replace(limit_s=LIMIT_S) if one.name == "sanitizer" else one for one in calls.STAGES]
    monkeypatch.setattr(calls, "STAGES", tuple(stages))
    return lambda: monkeypatch.setenv("NPRESNET_TEST_FAULTS", "{}")


def cases(path):
    """{"stage: case": finding}"""
    stages = json.loads(path.read_text())["stages"]
    return {f"{stage}: {case}": finding for stage, found in stages.items() for case, finding in found.items()}


@emulator.needed
def test_every_stage_runs_and_each_fault_is_told_as_what_it_is(tmp_path, capsys, faulty):
    output = tmp_path / "found.json"
    words = ["--emulator", "--dtype", "float32", "--output", str(output)]
    assert gpu_report.main([*words, "--commit", "abc"]) == 1
    found = cases(output)
    problems = {name: case["problem"] for name, case in found.items() if "problem" in case}
    assert set(problems) == set(FAULTS)  # and whatever came after each of them is right
    assert problems[HANGS] == f"hung: did not end within {LIMIT_S} s; its last words: {HANGS}"
    assert problems[DIES] == f"died: it was killed by SIGABRT: {DIES}", "no words of the cases before"
    assert re.match(r"2 of 2 are wrong: conv2d_tiled 32x32: 34 of 3840 numbers differ, the first", problems[IS_WRONG])
    assert problems[BREAKS_CUDA].startswith("conv2d_direct 256: cuda:0 fails: cudaErrorIllegalAddress")
    assert [name for name, case in found.items() if case.get("stuck")] == [DIES, HANGS]
    assert set(json.loads(output.read_text())["stages"]) | {"peers", "pixels", "compiled", "tuning"} == set(
        tables.TITLES
    )
    assert found["parity: cifar_resnet8 float32"]["error"] < 1e-6
    assert set(found["ceilings: node gap pdl"]["times"]) == {"plain", "pdl"}
    assert found["tiles: cifar_resnet8 float32 conv2d_registers"]["turns"] > 2
    run = found["conformance: shuffles"]["run"]
    assert (run["commit"], run["quick"], run["emulated"]) == ("abc", False, True)

    text = output.read_text()
    assert '"ms"' not in text  # no times are claimed
    assert str(tmp_path) not in text
    assert json.loads(text)["command"].endswith("--emulator --dtype float32 --output found.json --commit abc")
    page = output.with_suffix(".md").read_text()
    assert "nothing here is a time or a speed" in page
    assert "Commits: abc (" in page
    log = output.with_suffix(".log").read_text()
    assert all(f"{name}: problem: " in log for name in FAULTS)

    # the next call measures what failed, but not what hung or died
    faulty()
    capsys.readouterr()
    words[-2:] = ["--resume", str(output)]
    assert gpu_report.main([*words, "--commit", "def"]) == 1
    again = {name for name, case in cases(output).items() if case["run"]["commit"] == "def"}
    assert again == {IS_WRONG, BREAKS_CUDA}
    assert (
        "sanitizer: 1 left out: they hung or died, or are like two that did or broke CUDA; see --case"
        in capsys.readouterr().err
    )

    # unless they are asked for
    assert gpu_report.main([*words, "--commit", "ghi", "--case", "memcheck", "--case", DIES]) == 0
    assert {name for name, case in cases(output).items() if case["run"]["commit"] == "ghi"} == {HANGS, DIES}
    capsys.readouterr()
    assert gpu_report.main(words) == 0  # all is there: nothing is measured again
    assert capsys.readouterr().err.splitlines() == ["written: found.json, and .log and .md beside it"]


@emulator.needed
def test_a_case_is_cut_off_by_the_deadline_and_measured_by_the_next_call(tmp_path, monkeypatch, faulty):
    output = tmp_path / "found.json"
    monkeypatch.setattr(calls, "CALL_S", 6.0)
    words = ["--emulator", "--dtype", "float32", "--call", "3", "--case", HANGS]
    stages = [one._replace(limit_s=100) for one in calls.STAGES]
    monkeypatch.setattr(calls, "STAGES", tuple(stages))
    assert gpu_report.main([*words, "--output", str(output)]) == 1
    ((name, case),) = cases(output).items()
    assert name == HANGS
    assert re.match(r"cut off after \d s: the time of this call was over", case["problem"])
    assert "stuck" not in case


def test_without_a_gpu_it_says_so_and_fails(monkeypatch, capsys, faulty):
    monkeypatch.setenv("NPRESNET_TEST_NO_CUPY", "1")
    assert gpu_report.main([]) == 1
    assert "needs an NVIDIA GPU: a GPU is used through CuPy, which is not installed" in capsys.readouterr().err


@emulator.needed
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--stage", "ceilings", "--case", "no such"], '--case "no such" is part of none of the 10 cases'),
        (["--stage", "ceilings", "kernels", "--call", "1"], "stage kernels is not one of call 1"),
        (["--stage", "peers", "--dtype", "float32", "tf32"], "stage peers has no case in float32, tf32"),
    ],
)
def test_what_names_no_case_is_refused_before_anything_runs(tmp_path, capsys, words, told):
    output = tmp_path / "found.json"
    assert gpu_report.main(["--emulator", *words, "--output", str(output)]) == 2
    assert told in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--emulator"], "--emulator requires --output or --resume"),
        (["--output", "{}"], "exists: --resume"),
        (["--resume", "{}.json"], "does not exist"),
        (["--references", "{}.npz"], "does not exist"),
        (["--output", "a", "--resume", "b"], "not allowed with"),
        (["--output", "new.md"], "does not end with .json: .md and .log beside it would replace it"),
        (["--emulator", "--output", "new.json", "--device", "cpu"], '--device is cuda, cuda:1, ..., got "cpu"'),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path, capsys, words, told):
    (tmp_path / "found.json").write_text("{}")
    with pytest.raises(SystemExit):
        gpu_report.main([word.format(tmp_path / "found.json") for word in words])
    assert told in capsys.readouterr().err


DAMAGED = {
    "{": "found.json is damaged, or no JSON file: Expecting property name",
    "[1]": "found.json was not written by a GPU report",
    '{"kind": "layers"}': "found.json was not written by a GPU report",
    '{"kind": "gpu", "gpu": {"name": "NVIDIA H200"}, "stages": {}}': "written by another version of the GPU report",
}


@emulator.needed
@pytest.mark.parametrize("text", DAMAGED)
def test_a_file_that_cannot_be_gone_on_with_stays_as_it_is(tmp_path, capsys, text):
    output = tmp_path / "found.json"
    output.write_text(text)
    assert gpu_report.main(["--emulator", "--stage", "ceilings", "--resume", str(output)]) == 2
    assert DAMAGED[text] in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]
    assert output.read_text() == text


@emulator.needed
def test_a_file_that_cannot_be_written_is_told_before_anything_runs(tmp_path, capsys):
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "found.json"
    assert gpu_report.main(["--emulator", "--stage", "ceilings", "--output", str(output)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gpu_report.py: [Errno ")


@pytest.mark.parametrize("option", ["--references", "--prepare"])
def test_references_that_are_damaged_are_told(tmp_path, capsys, option):
    path = tmp_path / "references.npz"
    path.write_bytes(b"PK")
    assert gpu_report.main([option, str(path)]) == 2
    assert "references.npz is damaged, or was not written by --prepare" in capsys.readouterr().err
    assert path.read_bytes() == b"PK"


def test_the_calls_hold_every_stage_once_in_the_order_of_the_tables():
    assert [stage.name for stage in calls.STAGES] == list(tables.TITLES)
    assert [stage.call for stage in calls.STAGES] == sorted(stage.call for stage in calls.STAGES)
    assert {stage.call for stage in calls.STAGES} == set(calls.CALLS)
