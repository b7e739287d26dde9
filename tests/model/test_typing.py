"""mypy knows a Prediction from a list of them, as typed.py says; and it finds what there is wrong on purpose."""

from __future__ import annotations

import subprocess
import sys

from tests.support.checkout import REPOSITORY

TYPED = REPOSITORY / "tests" / "model" / "typed.py"


def checked(path) -> subprocess.CompletedProcess[str]:
    """Only what is said of this file: the package itself is checked by `mypy`."""
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-error-summary", str(path)]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)


def test_what_mypy_knows():
    done = checked(TYPED)
    assert done.returncode == 0, done.stdout + done.stderr


def test_wrong_types_are_found(tmp_path):
    wrong = TYPED.read_text(encoding="utf-8").replace(
        'model.predict("dog.jpg"), Prediction', 'model.predict("dog.jpg"), int'
    )
    (tmp_path / "wrong.py").write_text(wrong, encoding="utf-8")
    done = checked(tmp_path / "wrong.py")
    assert 'Expression is of type "Prediction", not "int"' in done.stdout
