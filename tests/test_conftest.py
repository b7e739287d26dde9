"""The rules of tests/conftest.py: no skip for missing data if it is present; all skips are counted by reason."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

def test_needs_data(data_dir):
    assert data_dir.is_dir()

def test_skips_by_itself():
    pytest.skip("test data absent: no photos")

def test_skips_for_another_reason():
    pytest.skip("no GPU")

def test_skips_for_the_same_reason():
    pytest.skip("no GPU")
"""


@pytest.fixture
def run_suite(tmp_path):
    """Run the suite with `data` as NPRESNET_TEST_DATA and return the finished process."""
    (tmp_path / "repository" / "tests").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path / "repository" / "tests")
    (tmp_path / "repository" / "tests" / "test_suite.py").write_text(SUITE)

    def run(data: str) -> subprocess.CompletedProcess[str]:
        pytest_command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests"]
        environ = {**os.environ, "NPRESNET_TEST_DATA": data}
        return subprocess.run(pytest_command, cwd=tmp_path / "repository", env=environ, capture_output=True, text=True)

    return run


def test_data_absent(run_suite):
    done = run_suite("")
    assert done.returncode == 0
    assert "4 skipped" in done.stdout
    assert "    2  no GPU" in done.stdout
    assert "    1  test data absent: set NPRESNET_TEST_DATA" in done.stdout


def test_data_present(run_suite, tmp_path):
    done = run_suite(str(tmp_path))
    assert done.returncode == 1
    assert "1 failed, 1 passed, 2 skipped" in done.stdout
    assert "skipped because of missing data (test data absent: no photos)" in done.stdout


def test_data_named_but_missing(run_suite, tmp_path):
    done = run_suite(str(tmp_path / "nowhere"))
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "which is not a folder" in done.stderr


def test_what_is_left_is_found(no_new_files, tmp_path):
    (tmp_path / "old").write_bytes(b"1")
    with no_new_files():
        (tmp_path / "new").mkdir()
        (tmp_path / "new").rmdir()
        (tmp_path / "old").unlink()
    with pytest.raises(AssertionError), no_new_files():
        (tmp_path / "dangling").symlink_to("nowhere")


def test_the_current_folder_was_deleted(deleted_folder):
    with pytest.raises(FileNotFoundError):
        os.getcwd()
