"""npresnet ladder and exercise."""

from __future__ import annotations

import json

import pytest

from npresnet.teach.exercises import EXERCISES


def test_start_then_check_then_solve(run, folder):
    started = run("exercise", "start")
    assert started.code == 0
    assert len(started.out.splitlines()) == len(EXERCISES)
    assert "npresnet exercise check" in started.err
    checked = run("exercise", "check")
    assert (checked.code, checked.out.count("to do")) == (1, len(EXERCISES))
    for path, exercise in zip(started.out.splitlines(), EXERCISES, strict=True):
        (folder / path).write_text(exercise.solution())
    solved = run("exercise", "check")
    assert (solved.code, solved.out.count("passed"), solved.err) == (0, len(EXERCISES), "npresnet: 12 of 12 pass\n")


def test_one_by_name_number_or_path_and_a_wrong_answer(run, folder):
    run("exercise", "start", "--folder", "mine")
    path = folder / "mine" / "06_max_pool_padding.py"
    path.write_text(EXERCISES[5].solution().replace("constant_values=-np.inf", "constant_values=0"))
    for name in ("max_pool_padding", "06_max_pool_padding.py", path):
        checked = run("exercise", "check", name, "--folder", "mine")
        assert checked.code == 1
        assert checked.out.startswith("max_pool_padding: wrong. With 3x3 windows, stride 2, padding 1")
        assert "0 instead of -" in checked.out
    assert run("exercise", "check", "im2col", "--folder", "mine").out.startswith("im2col: to do.")


def test_start_again_keeps_what_is_there(run, folder):
    run("exercise", "start")
    again = run("exercise", "start")
    assert (again.code, again.out) == (0, "")
    assert "stay as they are" in again.err


def test_no_exercises_and_no_such_exercise(run, folder):
    none = run("exercise", "check")
    assert none.code == 1
    assert "npresnet exercise start" in none.err
    unknown = run("exercise", "check", "flux_capacitor")
    assert unknown.code == 1
    assert "im2col" in unknown.err
    assert run("exercise", "fly").code == 2


def test_ladder_prints_a_table_json_and_writes_a_page(run, folder, model_file):
    words = ("ladder", "--layer", "layer3.0.conv2", "--image", "photos/000.png", "--model", model_file)
    told = run(*words, "--html", "out.html")
    assert told.code == 0
    assert "layer3.0.conv2 of cifar_resnet20 on 000.png" in told.out
    assert told.out.count("equal") == 5
    assert "npresnet-data" in (folder / "out.html").read_text(encoding="utf-8")
    entry = json.loads(run(*words, "--json").out)
    assert [step["status"] for step in entry["steps"]] == ["equal"] * 5
    assert entry["steps"][-1]["ms"] < entry["steps"][0]["ms"]
    missing = run("ladder", "--layer", "nothing", "--model", model_file)
    assert (missing.code, "is not a convolution" in missing.err) == (1, True)


def test_diff_prints_a_table_and_a_verdict(run, folder, model_file):
    pytest.importorskip("torch", reason="torch is not installed")
    done = run("diff", model_file, "--image", "photos/000.png")
    assert done.code == 0
    assert "layer3.2.conv2" in done.out
    assert "steps agree with PyTorch" in done.err
