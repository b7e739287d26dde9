"""Downloads from a local server that drops connections, sends wrong data and disappears."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
import threading

import pytest

from npresnet.errors import CheckpointError
from npresnet.weights import download, names, transfer

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
    assert os.listdir(cache) == [FILE], "neither part nor lock remains"
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
    assert not any(name == FILE or name.endswith(".part") for name in os.listdir(cache))
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
