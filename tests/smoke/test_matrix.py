"""The driver fails what does not show that it worked, and knows which Pythons there are."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from subprocess import TimeoutExpired
from types import SimpleNamespace

import pytest

from tests.smoke import __main__ as driver
from tests.smoke import interpreters, matrix
from tests.smoke.environments import InstallError, floors
from tests.smoke.matrix import Cell, Result

GOOD = "print('ok      commands     12 commands')"


def run(tmp_path, code: str, **fields) -> Result:
    return matrix.run(Cell("one", (sys.executable, "-c", code), **fields), tmp_path)


@pytest.mark.parametrize(
    ("code", "passed"),
    [
        (GOOD, True),
        ("pass", False),  # no check was run
        (f"{GOOD}; import sys; print('Exception ignored', file=sys.stderr)", False),
        (f"{GOOD}; raise SystemExit(1)", False),
    ],
)
def test_what_passes(tmp_path, code, passed):
    assert run(tmp_path, code).passed == passed


def test_a_cell_gets_its_environment_and_nothing_of_this_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    code = "import json, os, sys; print(json.dumps([dict(os.environ), os.listdir(), sys.argv[1:]]))"
    result = run(tmp_path, code, environ={"LC_ALL": "C", "CHOSEN": "7"}, expected={"gil": "1"}, decoys=True)
    environ, files, arguments = json.loads(result.output)
    assert (environ["LC_ALL"], environ["CHOSEN"], environ.get("PYTHONOPTIMIZE")) == ("C", "7", None)
    assert Path(environ["NPRESNET_CACHE"]).is_relative_to(tmp_path)
    assert files == ["npresnet.py"]
    assert arguments[:2] == ["--expect", "gil=1"]


def test_bits_are_compared_where_they_must_agree():
    def result(name: str, **facts: str) -> Result:
        return Result(Cell(name, ()), True, "", 1.0, {"numpy": "2.5", "core": "Zen", "resnet18": "abc", **facts})

    agreeing = [result("a", demo="12"), result("b", demo="12"), result("old", demo="13", numpy="1.26")]
    assert matrix.different_bits(agreeing) == []
    (said,) = matrix.different_bits([*agreeing, result("c", demo="14")])
    assert said == "demo 2.5 Zen: c and a have other bits"


def test_the_one_that_runs_is_found(tmp_path, monkeypatch):
    """What is broken, too old, or no Python at all is not."""
    for name, text in (("python3.17", "exit 1"), ("python3.18", "echo Python"), ("python3.12t", "echo '[]'")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (found,) = interpreters.find()
    assert found.version == sys.version_info[:3]
    assert found.path.exists()
    missing = interpreters.absent([found])
    assert found.minor not in missing
    assert {"3.10", "3.14", "3.13t"} - {found.minor} <= set(missing)


def test_floors_are_the_wheels(tmp_path):
    required = ("numpy>=1.26", "pillow>=10.0", "ray>=2.9; extra == 'ray'")
    metadata = "".join(f"Requires-Dist: {line}\n" for line in required)
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        archive.writestr("x-1.dist-info/METADATA", metadata)
    assert floors(tmp_path / "x.whl") == ["numpy==1.26", "pillow==10.0"]
    with zipfile.ZipFile(tmp_path / "y.whl", "w") as archive:
        archive.writestr("y-1.dist-info/METADATA", "Requires-Dist: numpy\n")
    with pytest.raises(ValueError, match="from which version"):
        floors(tmp_path / "y.whl")


@pytest.mark.parametrize("error", [OSError("disk full"), InstallError("no wheel"), TimeoutExpired(["pip"], 400)])
def test_what_keeps_an_environment_from_being_made_is_told(tmp_path, monkeypatch, capsys, error):
    def fail(*arguments, **options):
        raise error

    here = interpreters.Interpreter(Path(sys.executable), sys.version_info[:3], True, True)
    monkeypatch.setattr(driver, "find", lambda also: [here])
    monkeypatch.setattr(driver, "Environments", fail)
    assert driver.main([str(tmp_path / "npresnet.whl")]) == 1
    assert str(error) in capsys.readouterr().out
    monkeypatch.setattr(driver, "Environments", lambda *arguments: SimpleNamespace(make=fail, wheel=None))
    monkeypatch.setattr(driver, "floors", lambda wheel: [])
    assert driver.main([str(tmp_path / "npresnet.whl")]) == 1
    assert str(error) in capsys.readouterr().out


def test_only_pythons_without_a_gil():
    free = interpreters.Interpreter(Path("python3.14t"), (3, 14, 0), False, True)
    assert [what for what, _ in driver._tasks(driver.Session(Path(), None), [free])] == ["3.14.0t", "read-only"]
