from __future__ import annotations

import os
import sys

import pytest

from benchmarks.kit import cold
from benchmarks.kit.cold import Program, ProgramError, race, run_once
from npresnet.bench.memory import Memory


def program(name: str, code: str, *needs: str) -> Program:
    return Program(name, name, ["-c", code], needs)


def test_one_run_has_output_time_and_memory(monkeypatch):
    small = Memory(1.0, 1.0)  # other tests may have made this process larger than the child
    monkeypatch.setattr(cold, "memory", lambda: small)
    run = run_once(program("big", "held = bytearray(500_000_000); print(7)"), os.environ)
    assert run.printed == "7"
    assert run.wall_ms > 0
    if sys.platform != "win32":
        assert run.peak_mb > 500


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux starts a child's maximum at its parent's")
def test_a_peak_below_the_parents_is_not_believed():
    held = bytearray(300_000_000)
    assert run_once(program("small", "pass"), os.environ).peak_mb is None
    assert len(held) == 300_000_000


def test_a_program_has_variables_of_its_own_and_a_folder_that_is_emptied(tmp_path):
    folder = tmp_path / "cache"
    code = "import os, sys; print(os.environ['OWN'], os.path.exists(sys.argv[1])); os.mkdir(sys.argv[1])"
    first = Program("a", "a", ["-c", code, str(folder)], environ={"OWN": "7"}, emptied=folder)
    for _ in range(2):
        assert run_once(first, os.environ).printed == "7 False"
        assert folder.is_dir()


def test_a_failing_program_says_why():
    with pytest.raises(ProgramError, match="exit code 1: ZeroDivisionError"):
        run_once(program("broken", "1/0"), os.environ)


def test_a_stuck_program_is_given_up():
    with pytest.raises(ProgramError, match="exit code"):
        run_once(program("stuck", "import time; time.sleep(600)"), os.environ, timeout_s=0.5)


def test_programs_alternate_and_the_first_repetition_does_not_count(tmp_path):
    diary = tmp_path / "diary"
    code = "open({path!r}, 'a').write('{name} '); print(5)"
    programs = [program(name, code.format(path=str(diary), name=name)) for name in ("a", "b")]
    results = race(programs, os.environ, repetitions=2, say=lambda line: None)
    assert diary.read_text().split() == ["a", "b", "a", "b", "b", "a"]
    assert [len(result.runs) for result in results] == [2, 2]
    assert results[0].to_dict()["calls"] == 2


def test_who_disagrees_is_absent_or_fails_shows_no_time():
    programs = [
        program("a", "print(5)"),
        program("odd", "print(6)"),
        program("b", "print(5)"),
        program("silent", "pass"),
        program("absent", "print(5)", "surely_not_installed"),
        program("broken", "raise SystemExit(2)"),
    ]
    results = race(programs, os.environ, repetitions=1, say=lambda line: None)
    assert [result.status for result in results] == ["ok", "wrong", "ok", "ok", "absent", "failed"]
    assert results[1].reason == "printed 6, the others 5"
    assert ["median_ms" in result.to_dict() for result in results] == [True, False, True, True, False, False]
