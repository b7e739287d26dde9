"""What the caller's signal handlers raise is told apart from what damaged files and broken connections raise."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet import images
from npresnet.errors import CheckpointError, DeviceError, ImageError
from npresnet.system.signals import raise_signals
from npresnet.weights import read_state_dict, write_npz
from tests.support.small import picture

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signals")


class Handlers:
    """The forms that programs give to their handlers."""

    raised: BaseException

    def method(self, signum, frame):
        raise self.raised

    def any_arguments(self, *arguments):
        self.inner()

    def inner(self):
        raise self.raised

    def __call__(self, signum, frame):
        with contextlib.suppress(ZeroDivisionError):
            1 / 0  # noqa: B018
        self.inner()


@pytest.fixture(params=["method", "any_arguments", "__call__", "partial"])
def interrupting(request):
    """A function that makes a signal's handler of this form raise an error in the middle of what calls it."""
    handlers, before = Handlers(), signal.getsignal(signal.SIGUSR1)
    chosen = handlers if request.param == "__call__" else getattr(handlers, request.param, None)
    if chosen is None:
        chosen = functools.partial(lambda extra, signum, frame: handlers.inner(), "extra")
    signal.signal(signal.SIGUSR1, chosen)

    def interrupt(error: BaseException) -> None:
        handlers.raised = error
        os.kill(os.getpid(), signal.SIGUSR1)
        sum(range(1000))  # a handler may run a little later

    yield interrupt
    signal.signal(signal.SIGUSR1, before)


class TooLateError(Exception):
    pass


ERRORS = [
    TimeoutError("30 s are over"),
    TooLateError("soft limit"),
    ValueError("stop"),
    MemoryError("a limit of its own"),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_reading_a_weight_file(interrupting, monkeypatch, tmp_path, error):
    write_npz(tmp_path / "w.npz", {"a": np.ones(3)}, {})
    monkeypatch.setattr("npresnet.weights.sniff.read_npz", lambda *_: interrupting(error))
    with pytest.raises(type(error)) as caught:
        read_state_dict(tmp_path / "w.npz")
    assert caught.value is error


def test_what_a_reader_makes_of_it_does_not_hide_it(interrupting, monkeypatch, tmp_path):
    def read(*_):
        try:
            interrupting(ERRORS[0])
        except OSError:
            raise CheckpointError("a number is damaged") from None

    write_npz(tmp_path / "w.npz", {"a": np.ones(3)}, {})
    monkeypatch.setattr("npresnet.weights.sniff.read_npz", read)
    with pytest.raises(TimeoutError):
        read_state_dict(tmp_path / "w.npz")


def test_a_damaged_file_read_while_such_an_error_is_handled(interrupting, tmp_path):
    (tmp_path / "w.npz").write_bytes(b"PK\x03\x04 damaged")
    try:
        interrupting(ERRORS[0])
    except TimeoutError:
        with pytest.raises(CheckpointError):
            read_state_dict(tmp_path / "w.npz")
        with pytest.raises(ImageError):
            images.read(b"no picture")


@pytest.mark.parametrize("error", ERRORS[:3], ids=repr)
def test_reading_a_picture(interrupting, monkeypatch, error):
    monkeypatch.setattr(Image.Image, "load", lambda _: interrupting(error))
    with pytest.raises(type(error)) as caught:
        images.read(Image.fromarray(picture()))
    assert caught.value is error


@pytest.mark.parametrize("error", ERRORS[:2], ids=repr)
def test_writing_weights(interrupting, monkeypatch, tmp_path, error):
    monkeypatch.setattr(np.lib.format, "write_array", lambda *_, **__: interrupting(error))
    with pytest.raises(type(error)) as caught:
        write_npz(tmp_path / "w.npz", {"a": np.ones(3)}, {})
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_no_signals():
    def nested(frame):
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged") as caught:
        nested(None)
    raise_signals(caught.value)


@pytest.mark.parametrize("error", [MemoryError(), OSError(12, "Cannot allocate memory")], ids=repr)
def test_no_memory_is_no_damage(monkeypatch, tmp_path, error):
    def fail(*_, **__):
        raise error

    write_npz(tmp_path / "w.npz", {"a": np.ones(3)}, {})
    monkeypatch.setattr("npresnet.weights.sniff.read_npz", fail)
    with pytest.raises(DeviceError, match=r"w\.npz: there is not enough memory.*nothing is wrong with the file"):
        read_state_dict(tmp_path / "w.npz")
    if isinstance(error, MemoryError):
        monkeypatch.setattr(np.lib.format, "write_array", fail)
        with pytest.raises(DeviceError, match="not enough memory"):
            write_npz(tmp_path / "other.npz", {"a": np.ones(3)}, {})


def test_no_memory_for_the_network(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise MemoryError

    npresnet.build("cifar_resnet20", threads=1).save(tmp_path / "w.npz")
    monkeypatch.setattr("npresnet.model.interpreting._build_stored", fail)
    with pytest.raises(DeviceError, match="not enough memory"):
        npresnet.load(tmp_path / "w.npz", threads=1)


class Interruption:
    """Raises KeyboardInterrupt at moment number `at` at which Python could, below `write_npz`."""

    def __init__(self, at: int):
        self.left = at

    def __call__(self, frame, event, argument):
        if event not in ("call", "c_return") or self.left <= 0:
            return
        above = frame
        while above is not None:
            if above.f_code.co_name == "__del__":  # Python drops what is raised in a destructor, here ZipFile's
                return
            above = above.f_back
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_ctrl_c_while_weights_are_written(tmp_path, monkeypatch):
    """At every other moment: it is what is raised, nothing else is said, and the file is the old one or the new one."""
    said = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    path = tmp_path / "w.npz"
    old, new = {"a": np.zeros(4)}, {"a": np.ones(4), "b": np.ones((2, 2))}
    write_npz(path, old, {})
    for at in range(1, 10_000, 2):
        interruption = Interruption(at)
        raised = None
        sys.setprofile(interruption)
        try:
            write_npz(path, new, {"x": 1})
        except BaseException as error:
            raised = error
        finally:
            sys.setprofile(None)
        if interruption.left > 0:
            break
        assert type(raised) is KeyboardInterrupt, (at, raised)
        del raised  # which keeps the frames alive that have not yet cleaned up
        assert sorted(os.listdir(tmp_path)) == ["w.npz"], at
        if (names := sorted(read_state_dict(path))) != ["a"]:
            assert names == ["a", "b"]
            write_npz(path, old, {})
    assert at > 200
    assert [one for one in said if one.exc_type is ValueError] == []  # zipfile's, of an archive with an open member


def test_an_exception_that_was_handled_before_does_not_come_back(tmp_path):
    """Saving what there is, in answer to a time limit: what fails inside says so itself."""
    usual = signal.signal(signal.SIGALRM, _time_is_up)
    model = npresnet.load("demo", threads=1)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        time.sleep(5)
    except TimeoutError:
        with pytest.raises(CheckpointError, match="nowhere"):
            model.save(tmp_path / "nowhere" / "x.npz")
    else:
        pytest.fail("the alarm did not ring")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)


def _time_is_up(number, frame):
    raise TimeoutError("my time limit")
