"""Tests that run in a separate process pass, fail and skip correctly."""

from __future__ import annotations

import os

import pytest

from tests.support import in_a_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.mark.in_a_child
def test_a_marked_test_runs_in_another_process(tmp_path):
    assert os.getppid() == int(os.environ["NPRESNET_TEST_PARENT"])


@pytest.fixture(autouse=True)
def parent(monkeypatch):
    monkeypatch.setenv("NPRESNET_TEST_PARENT", str(os.getpid()))


def test_exceptions_are_raised_in_the_parent():
    def wrong():
        raise AssertionError("seven is not eight")

    with pytest.raises(pytest.fail.Exception, match="seven is not eight"):
        in_a_child.run(wrong)
    with pytest.raises(pytest.skip.Exception, match="no such luck"):
        in_a_child.run(lambda: pytest.skip("no such luck"))
    in_a_child.run(lambda: None)


def test_a_crashed_process_is_a_failure():
    with pytest.raises(pytest.fail.Exception, match="SIGKILL"):
        in_a_child.run(lambda: os.kill(os.getpid(), 9))
    with pytest.raises(pytest.fail.Exception, match="exit code 3"):
        in_a_child.run(lambda: os._exit(3))
