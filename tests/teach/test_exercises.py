from __future__ import annotations

from time import perf_counter

import pytest

from npresnet.teach.exercises import EXERCISES, check, check_files, check_text, running, start
from npresnet.teach.exercises.exercise import BLANK

BY_NAME = {exercise.name: exercise for exercise in EXERCISES}
each = pytest.mark.parametrize("exercise", EXERCISES, ids=list(BY_NAME))


def answer(name: str, *lines: str):
    """The verdict on a file whose blank holds these lines."""
    text = BY_NAME[name].blank()
    hole = next(line for line in text.splitlines() if BLANK in line)
    indent = hole[: len(hole) - len(hole.lstrip())]
    return check_text(BY_NAME[name], text.replace(hole, "\n".join(indent + line for line in lines)))


def test_there_are_about_ten_with_names_of_their_own():
    assert len(BY_NAME) == len(EXERCISES) == 12


@each
def test_the_package_s_own_lines_pass(exercise):
    verdict = check_text(exercise, exercise.solution())
    assert (verdict.status, exercise.source in verdict.text) == ("passed", True), str(verdict)


@each
def test_the_blank_is_to_do(exercise):
    assert exercise.blank() != exercise.solution()
    assert check_text(exercise, exercise.blank(), "mine.py").status == "to do"


WRONG = {
    "output_size": (["OH = (H + 2 * padding - KH) // stride", "OW = (W + 2 * padding - KW) // stride"], "shape"),
    "position": (
        ["row = (i * stride_h + u) * dilation_h - padding_h", "column = (j * stride_w + v) * dilation_w - padding_w"],
        "its filter",
    ),
    "matrix_product": (["out = weight[:, :, u, v] @ seen.reshape(N, C, OH * OW)"], "its filter"),
    "im2col": (
        [
            "rows_first = windows.transpose(0, 1, 5, 4, 2, 3)",
            "N, C, KW, KH, OH, OW = rows_first.shape",
            "return rows_first.reshape(N, C * KH * KW, OH * OW)",
        ],
        "Row 1 is channel 0, tap (0, 1); column 0 is position (0, 0)",
    ),
    "groups": (["first_channel = 0"], "x[0, 2]"),
    "max_pool_padding": (
        ["x = np.pad(x, border)", "out = np.full((N, C, OH, OW), -np.inf, x.dtype)"],
        "0 instead of -",
    ),
    "batch_norm": (["scale = gamma / np.sqrt(var)", "shift = beta - mean"], "numbers are wrong"),
    "fold": (["bias = shift"], "with a bias of its own"),
    "shortcut": (["return relu(y) + x"], "numbers are wrong"),
    "ragged_tile": (
        ["last = first + band", "rows = padded[n : n + 1, :, first * stride : (last - 1) * stride + extent]"],
        "Error",
    ),
    "softmax": (
        ["powers = np.exp(logits)", "return powers / powers.sum(axis=axis, keepdims=True)"],
        "do not fit a float32",
    ),
    "shared_memory": (
        ["for cell in range(me, threads, threads):", "    S[cell] = x[first + cell]", "yield"],
        "nobody has written",
    ),
}


@each
def test_a_likely_mistake_is_caught_and_explained(exercise):
    lines, told = WRONG[exercise.name]
    verdict = answer(exercise.name, *lines)
    assert verdict.status == "wrong"
    assert told in verdict.text


def test_the_patch_is_drawn_with_its_border():
    verdict = answer("position", "row = i * stride_h + u * dilation_h", "column = j * stride_w + v * dilation_w")
    assert "It looks at rows [0, 1, 2] and columns [-1, 1] of image 0" in verdict.text
    drawn = verdict.text.splitlines()
    assert drawn[3].split()[:3] == [".", "-4", "x"]


def test_a_missing_barrier_is_named():
    verdict = answer(
        "shared_memory",
        "for cell in range(me, threads + halo, threads):",
        "    if first + cell < len(x):",
        "        S[cell] = x[first + cell]",
        "if False: yield",
    )
    assert "since the last barrier" in verdict.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def conv(:", "line 1: "),
        ("x = 1", "should define conv"),
        ("\n\ndef conv(*args):\n    return 1 / 0", "line 4: ZeroDivisionError"),
        ("def conv(*args):\n    return 'text'", "not an array of numbers"),
        ("def conv(*args):\n    pass", "not an array of numbers"),
    ],
)
def test_files_that_do_not_work_at_all(text, told):
    verdict = check_text(BY_NAME["output_size"], text, "mine.py")
    assert verdict.status == "wrong"
    assert told in verdict.text


def test_start_overwrites_nothing(tmp_path):
    folder = tmp_path / "mine"
    written, kept = start(folder, EXERCISES)
    assert (len(written), kept) == (12, [])
    written[0].write_text(EXERCISES[0].solution())
    again, kept = start(folder, EXERCISES)
    assert (again, len(kept)) == ([], 12)
    assert check(EXERCISES[0], written[0]).status == "passed"
    assert check(EXERCISES[1], written[1]).status == "to do"
    assert check(EXERCISES[1], folder / "missing.py").status == "wrong"


# --- in a process of its own ------------------------------------------------------------------------------------------


def write(folder, name: str, *lines: str):
    """The exercise, and a file whose blank holds these lines."""
    exercise = BY_NAME[name]
    text = exercise.blank()
    hole = next(line for line in text.splitlines() if BLANK in line)
    indent = hole[: len(hole) - len(hole.lstrip())]
    path = folder / f"{name}.py"
    path.write_text(text.replace(hole, "\n".join(indent + line for line in lines)))
    return exercise, path


def test_loops_without_an_end_and_programs_that_end_the_process_cost_one_verdict_each(tmp_path):
    files = [
        write(tmp_path, "fold", "while True:", "    pass"),
        write(tmp_path, "output_size", "import os", "os._exit(7)"),
        write(tmp_path, "softmax", "for _ in iter(int, 1):", "    np.zeros(9).sum()"),
        write(tmp_path, "groups", "raise SystemExit(3)"),
    ]
    good = BY_NAME["im2col"], tmp_path / "im2col.py"
    good[1].write_text(BY_NAME["im2col"].solution())
    verdicts = list(check_files([*files, good], limit_s=1))
    assert [verdict.exercise for verdict in verdicts] == [exercise.name for exercise, _ in [*files, good]]
    assert [verdict.status for verdict in verdicts] == ["wrong"] * 4 + ["passed"]
    told = [verdict.text for verdict in verdicts]
    (line,) = (n for n, line in enumerate(files[0][1].read_text().splitlines(), 1) if "while True:" in line)
    assert any(told[0].startswith(f"{files[0][1]}, line {n}: not done after 1 s") for n in (line, line + 1))
    assert "loop that does not end" in told[0]
    assert "exit code 7" in told[1]
    assert "not done after 1 s" in told[2]
    assert "SystemExit: 3" in told[3]


def test_a_thread_that_does_not_end_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "START_S", 20)
    lines = "import threading", "threading.Thread(target=threading.Event().wait).start()", "print('seen')"
    begin = perf_counter()
    (verdict,) = check_files([write(tmp_path, "softmax", *lines)], limit_s=30)
    assert perf_counter() - begin < 30
    assert "not done" not in verdict.text


def test_modules_of_the_current_folder_are_not_taken(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('the reader's own numpy.py')")
    path = tmp_path / "softmax.py"
    path.write_text(BY_NAME["softmax"].solution())
    monkeypatch.chdir(tmp_path)
    assert check(BY_NAME["softmax"], path).status == "passed"
