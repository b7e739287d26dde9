"""Downloads from a local server that drops connections, sends wrong data and disappears."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
import threading

import pytest

from npresnet.errors import CheckpointError
from npresnet.weights import download, names, pace, transfer

BODY = bytes(range(256)) * 4000  # 1,024,000 bytes
FILE = "resnet18-f37072fd.pth"


@pytest.fixture
def server():
    from tests.weights.fixtures.http import Server

    with Server() as running:
        running.files[f"/{FILE}"] = BODY
        yield running
        running.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, request):
    """An empty cache, no torch cache, no pauses; resnet18's hash is that of BODY."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NPRESNET_CACHE", str(folder))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(transfer, "PAUSE_S", 0.001)
    monkeypatch.setattr(transfer, "TIMEOUT_S", 5.0)
    monkeypatch.setattr(transfer, "_LOCK_POLL_S", 0.01)
    monkeypatch.setattr(download, "_verified", set())
    digest = hashlib.sha256(BODY).hexdigest()[:8]
    true = names.resolve("resnet18")
    monkeypatch.setattr(download, "resolve", lambda name: {
        "resnet18": dataclasses.replace(true, sha256_prefix=digest)}.get(name))  # fmt: skip
    if "server" in request.fixturenames:
        monkeypatch.setenv("NPRESNET_WEIGHTS_URL", request.getfixturevalue("server").url)
    return folder


def fetched(cache) -> bytes:
    path = download.fetch("resnet18")
    assert path == cache / FILE
    assert sorted(os.listdir(cache)) == [f".{FILE}.verified", FILE], "neither part nor lock remains"
    return path.read_bytes()


def ranges(server) -> list[str | None]:
    return [asked for _, asked in server.requests]


def test_a_file_is_downloaded_once(server, cache, capsys):
    assert fetched(cache) == BODY
    assert fetched(cache) == BODY
    assert ranges(server) == [None]
    out, err = capsys.readouterr()
    assert (out, err) == ("", ""), "no bar if stderr is not a terminal"


def test_the_bar_is_for_terminals_and_can_be_disabled(server, cache, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    download.fetch("resnet18", progress=False)
    assert capsys.readouterr().err == ""
    (cache / FILE).unlink()
    download.fetch("resnet18")
    out, err = capsys.readouterr()
    assert out == ""
    assert FILE in err
    assert "100%" in err


def test_a_broken_connection_is_resumed(server, cache):
    server.cuts = [1000, 500_000, 0]
    assert fetched(cache) == BODY
    assert ranges(server) == [None, "bytes=1000-", "bytes=501000-", "bytes=501000-"]


def test_many_broken_connections_are_tolerated_while_bytes_arrive(server, cache):
    server.cuts = [40_000] * 25
    assert fetched(cache) == BODY


def test_a_connection_that_always_breaks_fails_and_is_resumed_next_time(server, cache):
    server.cuts = [300_000, *[0] * 100]
    with pytest.raises(CheckpointError, match="300,000 of 1,024,000") as caught:
        download.fetch("resnet18")
    assert str(cache / FILE) in str(caught.value), "the way out"
    assert (cache / f"{FILE}.part").read_bytes() == BODY[:300_000]
    assert not (cache / FILE).exists()
    server.cuts, server.requests = [], []
    assert fetched(cache) == BODY
    assert ranges(server) == ["bytes=300000-"]


def test_a_server_without_ranges_starts_again(server, cache):
    server.ranges = False
    server.cuts = [100_000]
    assert fetched(cache) == BODY
    assert ranges(server) == [None, "bytes=100000-"]


def test_two_versions_of_a_file_are_never_mixed(server, cache):
    server.cuts = [100_000, *[0] * 100]
    server.files[f"/{FILE}"] = b"old" * 300_000
    with pytest.raises(CheckpointError):
        download.fetch("resnet18")
    server.cuts, server.etag, server.files[f"/{FILE}"] = [], '"two"', BODY
    assert fetched(cache) == BODY


@pytest.mark.parametrize("etag", ['"one"', None, 'W/"weak"'])
def test_a_part_of_another_file_is_replaced(server, cache, etag):
    """Detected by the hash if not by the server; the whole file is downloaded again."""
    server.etag = etag
    cache.mkdir()
    (cache / f"{FILE}.part").write_bytes(b"not the beginning of this file")
    assert fetched(cache) == BODY


@pytest.mark.parametrize("size_bytes", [len(BODY), len(BODY) + 1, len(BODY) * 2])
def test_a_part_that_is_complete_or_too_long(server, cache, size_bytes):
    cache.mkdir()
    (cache / f"{FILE}.part").write_bytes((BODY * 2)[:size_bytes])
    assert fetched(cache) == BODY


def test_a_wrong_hash_is_reported_and_the_file_deleted(server, cache):
    server.files[f"/{FILE}"] = BODY[:-1] + b"x"
    with pytest.raises(CheckpointError, match=r"SHA-256 begins with .* instead of .*deleted"):
        download.fetch("resnet18")
    assert not any(name == FILE or name.endswith((".part", ".verified")) for name in os.listdir(cache))
    server.files[f"/{FILE}"] = BODY
    assert fetched(cache) == BODY


def test_a_login_page_with_status_200(server, cache):
    server.files[f"/{FILE}"] = b"<!DOCTYPE html><title>Sign in</title>"
    with pytest.raises(CheckpointError, match="a web page"):
        download.fetch("resnet18")
    assert not (cache / FILE).exists()


def test_an_empty_file_with_status_200(server, cache):
    server.files[f"/{FILE}"] = b""
    with pytest.raises(CheckpointError, match=f"{FILE} returned an empty file; try again"):
        download.fetch("resnet18")
    assert not any(name.startswith(FILE) and not name.endswith(".lock") for name in os.listdir(cache))


@pytest.mark.parametrize("status", [403, 404, 410])
def test_refusals_are_final(server, status):
    server.statuses = [status] * 10
    with pytest.raises(CheckpointError, match=str(status)):
        download.fetch("resnet18")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, cache, status):
    server.statuses = [status, status]
    assert fetched(cache) == BODY
    assert len(server.requests) == 3
    (cache / FILE).unlink()
    server.statuses = [status] * 100
    with pytest.raises(CheckpointError, match=str(status)):
        download.fetch("resnet18")


def test_offline(monkeypatch, cache):
    monkeypatch.setenv("NPRESNET_WEIGHTS_URL", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError) as caught:
        download.fetch("resnet18")
    message = str(caught.value)
    assert "could not be downloaded" in message
    assert "refused" in message
    assert str(cache / FILE) in message
    assert message.count(". ") == 0, "one sentence"


@pytest.mark.parametrize("base", ["not a url", "ftp://127.0.0.1:9", "http://host name/", "http://127.0.0.1:port"])
def test_an_invalid_mirror_address(monkeypatch, base):
    monkeypatch.setenv("NPRESNET_WEIGHTS_URL", base)
    with pytest.raises(CheckpointError, match="could not be downloaded"):
        download.fetch("resnet18")


def test_a_server_that_hangs(server, monkeypatch, cache):
    monkeypatch.setattr(transfer, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(transfer, "RETRIES", 2)
    server.delay_s = 1.0
    with pytest.raises(CheckpointError, match="timed out"):
        download.fetch("resnet18")


def test_torchs_cache_is_used_if_the_hash_matches(server, cache, tmp_path):
    theirs = tmp_path / "torch" / "hub" / "checkpoints" / FILE
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(BODY)
    assert download.fetch("resnet18") == theirs
    assert server.requests == []
    theirs.write_bytes(BODY[:-5])
    assert download.fetch("resnet18") == cache / FILE


def test_torchs_cache_follows_xdg(server, monkeypatch, tmp_path):
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    theirs = tmp_path / "xdg" / "torch" / "hub" / "checkpoints" / FILE
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(BODY)
    assert download.fetch("resnet18") == theirs


def test_the_default_cache_is_the_users(monkeypatch):
    import platformdirs

    monkeypatch.delenv("NPRESNET_CACHE")
    assert str(download.cache_folder()) == platformdirs.user_cache_dir("npresnet", appauthor=False)


def test_a_cache_that_cannot_be_written(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CheckpointError, match=r"cannot be stored.*NPRESNET_CACHE"):
        download.fetch("resnet18")


def test_a_full_disk(server, monkeypatch, cache):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transfer.Transfer, "_copy", full)
    with pytest.raises(CheckpointError, match=r"No space left.*Free some space"):
        download.fetch("resnet18")


def test_two_processes_download_once(server, cache, capsys):
    server.delay_s = 0.5
    found: list = []
    threads = [threading.Thread(target=lambda: found.append(download.fetch("resnet18"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / FILE] * 4
    assert (cache / FILE).read_bytes() == BODY
    assert len(server.requests) == 1
    assert "waiting for it" in capsys.readouterr().err


def test_an_unknown_name():
    with pytest.raises(CheckpointError, match=r"no published weights are called 'resnet51'\. Did you mean resnet50"):
        download.fetch("resnet51")


def test_a_file_put_there_by_another_process_is_verified_once(server, cache, monkeypatch):
    hashed = []
    whole = download.sha256
    monkeypatch.setattr(download, "sha256", lambda path: hashed.append(path) or whole(path))
    cache.mkdir()
    (cache / FILE).write_bytes(BODY)
    for _ in range(3):
        assert fetched(cache) == BODY
        download._verified.clear()  # as in a new process
    assert hashed == [cache / FILE]
    assert server.requests == []
    (cache / FILE).write_bytes(BODY[:-1] + b"x")  # the same size
    assert fetched(cache) == BODY
    assert len(server.requests) == 1


def test_a_damaged_file_without_a_connection(monkeypatch, cache):
    monkeypatch.setenv("NPRESNET_WEIGHTS_URL", "http://127.0.0.1:9")
    cache.mkdir()
    (cache / FILE).write_bytes(BODY[:1000])
    with pytest.raises(CheckpointError, match=r"the file in .* is damaged or incomplete"):
        download.fetch("resnet18")


def test_a_cache_that_can_only_be_read_is_verified_once_a_process(monkeypatch, cache):
    hashed = []
    whole = download.sha256
    monkeypatch.setattr(download, "sha256", lambda path: hashed.append(path) or whole(path))

    def refused(_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(download, "replacing", refused)
    cache.mkdir()
    (cache / FILE).write_bytes(BODY)
    assert [download.fetch("resnet18") for _ in range(3)] == [cache / FILE] * 3
    assert hashed == [cache / FILE]


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_server_that_sends_a_byte_now_and_then(server, monkeypatch, cache, where):
    """Each byte comes in time for the socket; together they are too slow."""
    monkeypatch.setattr(pace, "WINDOW_S", 0.1)
    monkeypatch.setattr(transfer, "RETRIES", 2)
    server.trickles = where
    with pytest.raises(CheckpointError, match=r"too slow: only \d+ bytes came in 0 s, expected 1,000 a second"):
        download.fetch("resnet18")
    assert len(server.requests) == 2
    server.trickles = ""
    assert fetched(cache) == BODY


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_download_has_a_total_time(server, monkeypatch, cache, where):
    monkeypatch.setattr(pace, "TOTAL_S", 0.2)
    server.trickles = where
    with pytest.raises(CheckpointError, match=r"not complete after .* hours; the next attempt continues it"):
        download.fetch("resnet18")
    server.trickles = ""
    monkeypatch.setattr(pace, "TOTAL_S", 60.0)
    assert fetched(cache) == BODY


def test_a_lock_whose_holder_was_stopped_is_not_waited_for_without_end(server, monkeypatch, cache):
    monkeypatch.setattr(transfer, "STALLED_S", 0.3)
    cache.mkdir()
    with (
        transfer.locked(cache / f"{FILE}.lock", cache / f"{FILE}.part"),
        pytest.raises(CheckpointError, match=r"another process holds .*lock.* received nothing.*End it, or delete"),
    ):
        download.fetch("resnet18")
    assert fetched(cache) == BODY


def test_a_lock_whose_holder_goes_on_is_waited_for(monkeypatch, tmp_path, capsys):
    part, clock = tmp_path / "a.part", [0.0]
    monkeypatch.setattr(transfer.time, "monotonic", lambda: clock[0])
    waiting = transfer.Waiting(tmp_path / "a.lock", part)
    for count in range(50):
        part.write_bytes(bytes(count))
        clock[0] += 0.9 * transfer.STALLED_S
        waiting.look()
    clock[0] += transfer.STALLED_S
    with pytest.raises(CheckpointError, match="stopped"):
        waiting.look()
    assert capsys.readouterr().err.count("waiting for it") == 1


@pytest.fixture
def homeless(monkeypatch):
    """No HOME, and no entry for this user: what `expanduser` does there."""
    for name in ("HOME", "XDG_CACHE_HOME", "TORCH_HOME", "NPRESNET_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


def test_a_user_without_a_home(homeless, monkeypatch):
    with pytest.raises(CheckpointError, match=r"no home folder.*set NPRESNET_CACHE"):
        download.fetch("resnet18")


def test_a_user_without_a_home_who_names_a_cache(server, homeless, monkeypatch, cache):
    monkeypatch.setenv("NPRESNET_CACHE", str(cache))
    assert fetched(cache) == BODY


def test_a_time_limit_of_the_caller_is_no_broken_connection(server, monkeypatch):
    import signal

    if not hasattr(signal, "SIGUSR1"):
        pytest.skip("this system has no such signals")

    def too_late(signum, frame):
        raise TimeoutError("the caller's limit")

    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGUSR1)
        sum(range(1000))

    before = signal.signal(signal.SIGUSR1, too_late)
    monkeypatch.setattr(transfer.Transfer, "_receive", interrupted)
    try:
        with pytest.raises(TimeoutError, match="the caller's limit"):
            download.fetch("resnet18")
    finally:
        signal.signal(signal.SIGUSR1, before)
