"""A model in programs of other kinds: threads that outlive the main one, exit handlers, forks, no threads to spare."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import npresnet
from tests.conftest import REPOSITORY
from tests.support.children import exit_code
from tests.support.refused_threads import grant
from tests.support.small import picture, write_pictures

PATIENCE_S = 60

USE = """if True:
    import atexit, sys, threading, npresnet
    how, *paths = sys.argv[1:]
    def use(*_):
        if how == "thread":
            threading.main_thread().join()
        for model in models:
            print([prediction.index for prediction in model.predict(paths, batch_size=2)])
            print([prediction.index for _, prediction in model.stream(paths, batch_size=2)])
    if how == "atexit":
        atexit.register(use)
    models = [npresnet.load("demo", threads=count) for count in (1, 2)]
    if how == "thread":
        threading.Thread(target=use).start()
"""


def run(script: str, *arguments: str) -> list[str]:
    """The lines that a program prints. Whatever it says on stderr is a failure."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=REPOSITORY, capture_output=True, timeout=PATIENCE_S, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("how", ["thread", "atexit"])
def test_lists_after_the_main_thread_has_ended(how, tmp_path):
    """As in any program whose queue's workers go on after the script's last line."""
    paths = write_pictures(tmp_path, 5)
    with npresnet.load("demo", threads=1) as model:
        expected = str([model.predict(path).index for path in paths])
    assert run(USE, how, *paths) == [expected] * 4


@pytest.mark.parametrize("granted", [0, 1])
def test_a_system_that_starts_no_more_threads(monkeypatch, tmp_path, granted):
    """A container's limit of processes: fewer threads, the same logits."""
    paths = write_pictures(tmp_path, 5)
    with npresnet.build("cifar_resnet20", num_classes=10, threads=1) as model:
        expected = [prediction.logits.tobytes() for prediction in model.predict(paths)]
    grant(monkeypatch, granted)
    with npresnet.build("cifar_resnet20", num_classes=10, threads=5) as model:
        assert [prediction.logits.tobytes() for prediction in model.predict(paths)] == expected
        assert model.predict(picture()).index >= 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("drawn", [1, 3])
def test_a_stream_begun_before_a_fork_is_finished_in_both(model, tmp_path, drawn):
    paths = write_pictures(tmp_path, 12)
    expected = [prediction.logits.tobytes() for prediction in model.predict(paths)]
    stream = model.stream(paths, batch_size=2)
    found = [next(stream)[1].logits.tobytes() for _ in range(drawn)]
    child = os.fork()
    found += [prediction.logits.tobytes() for _, prediction in stream]
    if child == 0:
        os._exit(0 if found == expected else 1)
    assert exit_code(child) == 0
    assert found == expected


GREEN = """if True:
    import os, sys, npresnet
    paths = sys.argv[1:]
    model = npresnet.load("demo", threads=3)
    expected = [prediction.logits.tobytes() for prediction in model.predict(paths)]  # warm
    expected_one = model.predict(paths[0]).logits.tobytes()
    import _thread, threading
    def refuse(*_, **__): raise AssertionError("a greenlet instead of a thread")
    _thread.allocate_lock = _thread.start_new_thread = threading._start_new_thread = refuse
    threading.Lock = threading._allocate_lock = threading.Thread = threading.Condition = refuse
    model.executable()._team._ready_in = None  # as in a forked child: all workers are started anew
    assert [prediction.logits.tobytes() for prediction in model.predict(paths)] == expected
    assert model.predict(paths[0]).logits.tobytes() == expected_one
    twin = npresnet.load("demo", threads=4)
    assert [prediction.index for prediction in twin.predict(paths)]
    print("same", flush=True)
    os._exit(0)
"""


def test_threads_that_a_program_replaces_by_greenlets_after_warm_up(tmp_path):
    """gevent and eventlet replace the names in `threading` and `_thread`: new workers must not become greenlets."""
    assert run(GREEN, *write_pictures(tmp_path, 5)) == ["same"]


@pytest.mark.parametrize("end", ["", "raise ValueError('mine')"])
def test_an_unfinished_stream_does_not_hold_up_the_end_of_the_process(end):
    program = (
        "import npresnet, numpy as np\n"
        "model = npresnet.load('demo', threads=1)\n"
        "stream = model.stream([np.zeros((32, 32, 3), np.uint8)] * 9, batch_size=2)\n"
        f"next(stream)\n{end}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (1 if end else 0), done.stderr
