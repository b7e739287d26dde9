"""`npresnet predict --ray` where it does nothing: what is missing, misused, or does not answer."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections import deque
from threading import Thread
from types import ModuleType, SimpleNamespace

import pytest

from npresnet.cli import main
from npresnet.cli.cluster import _told as told
from npresnet.errors import DeviceError, NpresnetError
from npresnet.ray import cluster, deployment, job, predict
from npresnet.ray.cluster import library
from npresnet.ray.output import Output
from npresnet.ray.sources import Picture
from tests.support.small import write_pictures

GRPC = bytes.fromhex("000018040000000000")  # the head of what Ray's head answers first

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of Ray's own lines


@pytest.fixture
def photos(tmp_path):
    write_pictures(tmp_path / "photos", 2)
    return str(tmp_path / "photos")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ray"], "--ray needs -o OUT.parquet"),
        (["--ray", "-o", ""], "--ray needs -o OUT.parquet"),
        (["--ray", "-o", "rows.CSV"], "--ray writes Parquet: -o OUT.parquet, or a folder of parts, not rows.CSV"),
        (["--ray", "-o", "s3://bucket/rows.jsonl?region=x"], "--ray writes Parquet"),
        (["--ray", "-o", "rows", "--csv"], "--csv and --ray exclude each other: the rows go to rows"),
        (["-", "--ray", "-o", "rows"], "not a list on stdin"),
        (["--resume"], "--resume and --workers are for --ray"),
        (["--workers", "3"], "--resume and --workers are for --ray"),
    ],
)
def test_wrong_usage(arguments, words, photos, capsys):
    assert main(["predict", photos, *arguments]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert out == ""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_that_does_not_answer(scheme, photos, tmp_path, capsys):
    address = f"{scheme}127.0.0.1:{free_port()}"
    assert main(["predict", photos, "-o", str(tmp_path / "rows.parquet"), "--ray", address]) == 1
    assert f"no Ray cluster answers at {address}: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@contextlib.contextmanager
def listening(answer: bytes):
    """The address of something that answers each connection so; with b"" it never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as accepted:

        def serve():
            with contextlib.suppress(OSError):  # closed, at the end
                while True:
                    accepted.enter_context(connection := server.accept()[0])
                    connection.sendall(answer)

        Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["", "ray://"])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "something else than Ray listens there"),  # the dashboard's port
        (b"-ERR unknown command 'PRI'\r\n", "something else than Ray listens there"),  # Redis, on Ray's usual port
        (b"", "timed out"),
    ],
)
def test_an_address_where_something_else_listens(scheme, answer, words, photos, tmp_path, monkeypatch):
    """Ray would wait there for ever."""
    monkeypatch.setattr(cluster, "ANSWER_S", 20 if answer else 0.2)
    with listening(answer) as address, pytest.raises(DeviceError, match=f"{address}: {words}"):
        predict(photos, tmp_path / "rows.parquet", address=scheme + address)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_cluster_that_encrypts_is_left_to_ray(monkeypatch):
    """Its first bytes are those of TLS: Ray has the certificates."""
    with listening(b"\x15\x03\x01\x00\x02") as address:
        assert cluster._is_gone(address).endswith("needs RAY_USE_TLS=1")
        monkeypatch.setenv("RAY_USE_TLS", "1")
        assert not cluster._is_gone(address)


def test_a_cluster_that_wants_a_token_says_so():
    told = cluster._unreachable("head:6379", "AuthenticationError: Authentication token is missing or incorrect..")
    assert "is missing or incorrect. RAY_AUTH_MODE=token" in told


def test_a_cluster_that_was_killed_is_not_waited_for(tmp_path, monkeypatch):
    """Ray's note of it stays, and Ray would try for minutes."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert cluster._noted() == ""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{free_port()}\n")
    assert cluster._is_gone(cluster._noted())
    with listening(GRPC) as address:
        (tmp_path / "ray" / "ray_current_cluster").write_text(address)
        assert not cluster._is_gone(cluster._noted())


def test_an_address_that_is_none(photos, tmp_path):
    with pytest.raises(DeviceError, match="no Ray cluster answers at some words: Invalid address"):
        predict(photos, tmp_path / "rows", address="some words")


@pytest.mark.parametrize("module", ["ray", "pyarrow"])
def test_what_is_not_installed(module, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["predict", photos, "-o", str(tmp_path / "rows.parquet"), "--ray"]) == 1
    assert "python -m pip install 'npresnet[ray]'" in capsys.readouterr().err


def test_a_folder_called_ray_is_not_ray(monkeypatch):
    """As a package without contents, which is what Python takes a folder beside a program for."""
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    with pytest.raises(
        DeviceError, match=r"the package ray, which is not installed: python -m pip install 'npresnet\[ray\]'"
    ):
        library()


def test_a_server_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.serve", None)
    monkeypatch.delattr("ray.serve", raising=False)
    with pytest.raises(
        DeviceError,
        match=r"the package ray, which is not installed: python -m pip install 'npresnet\[ray,serve\]'",
    ):
        deployment()


def test_a_replica_gets_as_many_requests_as_it_takes():
    """More than a batch, and some that it refuses itself."""
    assert deployment("demo", max_queue=70)._bound_deployment.max_ongoing_requests == 140
    assert deployment("demo")._bound_deployment.max_ongoing_requests > 256


def test_importing_the_package_imports_neither():
    program = (
        "import sys, npresnet.ray; npresnet.ray.Predictor; print(*sorted({'ray', 'pyarrow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(("deaths", "words"), [(1, "1 worker died and was"), (2, "2 workers died and were")])
def test_what_a_run_says_of_itself(deaths, words):
    done = job.Summary("rows", images=9, errors=3, unread=2, skipped=1, deaths=deaths)
    assert told(done) == (
        f"wrote rows: 9 images, 3 with an error (--resume tries 2 of them again), 1 done before, {words} replaced"
    )


class RayError(Exception):
    """As Ray's own, of which those of a worker's code are."""


class RayTaskError(RayError):
    pass


class NoCluster:
    """A Ray that is connected, whose workers do not start."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, *answers):
        self.answers, self.timeouts = list(answers), []

    def is_initialized(self):
        return True

    def wait(self, waiting, num_returns, timeout):
        self.timeouts.append(timeout)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer, waiting

    def kill(self, worker):
        pass


def test_what_ray_itself_raises_is_told(monkeypatch):
    monkeypatch.setattr(cluster, "library", NoCluster)
    full = pytest.raises(DeviceError, match=r"Ray failed \(RayError\): the store is full\..*--resume")
    with full, cluster.connected(None):
        raise RayError("the store\nis full")
    with pytest.raises(RayTaskError, match="of a worker"), cluster.connected(None):
        raise RayTaskError("of a worker's code")


def test_waiting_for_a_busy_cluster_is_told_once(tmp_path):
    def worker():
        return SimpleNamespace(open=SimpleNamespace(remote=object))

    busy = NoCluster([], [], RayError("the end"))
    output = Output(tmp_path / "rows", {}, resume=False)
    todo = deque([job.Chunk(0, [Picture("a", "a")])])
    with pytest.warns(UserWarning, match="no worker has started.*ray status") as told, pytest.raises(RayError):
        job._Job(busy, worker, output, todo).run(2)
    assert len(told) == 1
    assert busy.timeouts == [job.PLACED_S, None, None]


@pytest.mark.parametrize("how", [{"workers": 0}, {"workers": -1}, {"num_cpus": 0}, {"num_cpus": 1.5}, {"threads": 1}])
def test_numbers_of_workers_that_are_none(how, photos, tmp_path):
    with pytest.raises(NpresnetError, match=next(iter(how))):
        predict(photos, tmp_path / "rows", **how)
    assert not (tmp_path / "rows").exists()


ENDS = """
import os, signal, sys, npresnet.cli, npresnet.ray.job
npresnet.ray.predict = lambda *given, **how: {}
sys.exit(npresnet.cli.main(["predict", "photos", "--model", "demo", "--ray", "-o", "s3://key:hush@bucket/rows.parquet"]))
"""


@pytest.mark.parametrize(("end", "code"), [("os._exit(1)", 1), ("os.kill(os.getpid(), signal.SIGKILL)", -9)])
def test_a_program_that_is_ended_still_says_where_the_rows_are(end, code):
    """Ray calls _exit in it when its raylet is gone: no code of Python's runs any more."""
    done = subprocess.run([sys.executable, "-c", ENDS.format(end)], capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert done.stderr.count("npresnet: error: this program was ended before it was done") == 1
    assert "stay in s3://***@bucket/rows.parquet; --resume goes on" in done.stderr


@pytest.mark.parametrize("end", ["npresnet.ray.job.Summary('rows')", "1 / 0"])
def test_a_program_that_ends_by_itself_says_nothing_of_it(end):
    done = subprocess.run([sys.executable, "-c", ENDS.format(end)], capture_output=True, text=True, timeout=60)
    assert "was ended" not in done.stderr
