"""Who does what, with a stand-in for Ray whose workers do as they are told."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

import pyarrow.parquet as parquet
import pytest

from npresnet.errors import CheckpointError, DeviceError
from npresnet.ray.chunks import Chunk, chunk_size
from npresnet.ray.job import _Job
from npresnet.ray.output import Output
from npresnet.ray.sources import Picture, Pictures
from npresnet.ray.table import table


class RayError(Exception):
    """Ray's own: a process has died."""


class RayTaskError(RayError):
    """What was raised in a worker."""

    def __init__(self, cause):
        super().__init__(f"traceback\n{cause}")
        self.cause = cause


class StandIn:
    """Runs a call when it is waited for. `fate(calls so far, pictures or None for open)` may raise."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, fate):
        self.fate, self.calls, self.killed, self.hired = fate, 0, 0, 0

    def hire(self):
        self.hired += 1
        return Worker()

    def wait(self, futures, num_returns, timeout=None):
        return futures[-1:], futures[:-1]

    def get(self, future):
        self.calls += 1
        self.fate(self.calls, future.names)
        return table([{"path": name, "index": 0} for name in future.names or ()])

    def kill(self, worker):
        self.killed += 1


class Future:
    def __init__(self, names):
        self.names = names


class Worker:
    def __init__(self):
        self.open = SimpleNamespace(remote=lambda: Future(None))
        self.run = SimpleNamespace(remote=lambda which, pictures: Future([picture.path for picture in pictures]))


class Rows:
    """An output in memory."""

    name = "rows"

    def __init__(self):
        self.rows, self.complete_calls, self.flushes = [], 0, 0

    def add(self, rows):
        self.rows += rows.to_pylist()

    def flush(self):
        self.flushes += 1

    def complete(self):
        self.complete_calls += 1


def run(fate, names: str = "abcdefg", size: int = 3, workers: int = 2):
    ray, output = StandIn(fate), Rows()
    pictures = [Picture(name, name) for name in names]
    todo = deque(Chunk(0, pictures[start : start + size]) for start in range(0, len(names), size))
    return ray, output, lambda: _Job(ray, ray.hire, output, todo).run(workers)


def test_all_is_done_once():
    ray, output, job = run(lambda calls, names: None)
    assert job()[1:] == (7, 0, 0, 0, 0)
    assert sorted(row["path"] for row in output.rows) == list("abcdefg")
    assert (ray.hired, output.complete_calls) == (2, 1)


@pytest.mark.parametrize("call", range(1, 5))  # one worker opens, then three chunks
def test_a_death_at_any_call_loses_nothing(call):
    def fate(calls, names):
        if calls == call:
            raise RayError("killed")

    _, output, job = run(fate)
    assert job().deaths == 1
    assert sorted(row["path"] for row in output.rows) == list("abcdefg")


def test_a_picture_that_ends_each_process_is_a_row_and_the_others_are_not():
    def fate(calls, names):
        if names and "d" in names:
            raise RayError("killed")

    _, output, job = run(fate, size=7)
    found = job()
    assert (found.images, found.errors) == (7, 1)
    assert sorted(row["path"] for row in output.rows) == list("abcdefg")
    (bad,) = [row for row in output.rows if row["error"]]
    assert bad["path"] == "d"
    assert "ended 3 processes" in bad["error"]


def test_a_resumed_run_tries_a_picture_that_ended_processes_again(tmp_path):
    def fate(calls, names):
        if names and "d" in names:
            raise RayError("killed")

    pictures = [Picture(name, name) for name in "abcdefg"]
    for is_deadly in (True, True, False):
        ray, output = (
            StandIn(fate if is_deadly else lambda calls, names: None),
            Output(tmp_path / "rows", {}, resume=True),
        )
        known = output.known()
        (todo,) = known.new([Pictures(object(), pictures)])
        output.replace(known.replaced)
        done = _Job(ray, ray.hire, output, deque([Chunk(0, todo)])).run(1)
        assert (done.images, done.errors, done.unread) == (len(todo), is_deadly, is_deadly)
        found = parquet.read_table(tmp_path / "rows").to_pylist()
        assert sorted(row["path"] for row in found) == list("abcdefg")
        assert [row["path"] for row in found if row["error"]] == ["d"] * is_deadly
    assert [picture.path for picture in todo] == ["d"]


def test_a_lack_of_memory_is_a_death():
    def fate(calls, names):
        if names and len(names) > 2:
            raise RayTaskError(MemoryError())

    _, output, job = run(fate, size=7)
    assert job().errors == 0
    assert sorted(row["path"] for row in output.rows) == list("abcdefg")


def test_errors_of_workers_are_raised_and_what_is_done_is_kept():
    def fate(calls, names):
        if names == ["g"]:
            raise RayTaskError(CheckpointError("six.npz was cut short"))

    ray, output, job = run(fate)
    with pytest.raises(CheckpointError, match="cut short"):
        job()
    assert (output.flushes, output.complete_calls) == (1, 0)
    assert ray.killed


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "error raised in its creation task\nModuleNotFoundError: no npresnet",
            "cannot start: ModuleNotFoundError: no npresnet",
        ),
        ("The actor died\nout of memory", "3 workers in a row ended while they loaded the model.*out of memory"),
    ],
)
def test_workers_that_never_open(message, words):
    def fate(calls, names):
        raise RayError(message)

    _, _, job = run(fate)
    with pytest.raises(DeviceError, match=words):
        job()


@pytest.mark.parametrize(
    ("pictures", "workers", "batch_size", "expected"),
    [(100_000, 4, 32, 256), (100, 4, 32, 25), (1000, 4, 32, 63), (3, 8, 32, 1), (9, 1, 2, 3), (0, 2, 4, 1)],
)
def test_chunks_keep_all_workers_busy(pictures, workers, batch_size, expected):
    assert chunk_size(pictures, workers, batch_size) == expected
