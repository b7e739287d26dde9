"""A stamp differs after any change of a file, and there is none where that cannot be told."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from types import SimpleNamespace

import pytest

from npresnet.system.stamp import SETTLED_NS, settle, stamp_of

NOW_NS = 1_700_000_000_123_456_789


def status(**other):
    old_ns = NOW_NS - 10**10
    usual = {"st_dev": 0, "st_ino": 7, "st_size": 5, "st_mtime_ns": old_ns, "st_ctime_ns": old_ns}
    return SimpleNamespace(**{**usual, **other})


def settled(path) -> str:
    settle(str(path))
    return stamp_of(path.stat())


@pytest.mark.skipif(os.name == "nt", reason="Windows tells no change time")
def test_every_change_changes_it(tmp_path):
    path, moment = tmp_path / "w", (10**18, 10**18)
    stamps = []

    def note():
        os.utime(path, ns=moment)
        stamps.append(settled(path))

    path.write_bytes(b"12345")
    note()
    with open(path, "r+b") as file:
        file.write(b"54321")
    note()
    (tmp_path / "new").write_bytes(b"99999")
    os.replace(tmp_path / "new", path)
    note()
    shutil.copy2(path, tmp_path / "copy")
    shutil.copy2(tmp_path / "copy", path)
    note()
    assert all(stamps)
    assert len(set(stamps)) == 4
    assert settled(path) == stamps[-1]


@pytest.mark.skipif(os.name == "nt", reason="Windows tells no change time")
def test_there_is_none_where_a_change_may_go_unnoticed():
    changed_ns = NOW_NS - 10**10
    assert stamp_of(status(), NOW_NS)
    assert not stamp_of(status(st_ctime_ns=changed_ns // 10**9 * 10**9), NOW_NS)  # a read-only image, a server
    assert not stamp_of(status(st_ctime_ns=NOW_NS - SETTLED_NS // 2), NOW_NS)  # changed just now
    assert not stamp_of(status(st_ctime_ns=NOW_NS + 10**10), NOW_NS)  # a server whose clock is ahead


def test_there_is_none_on_windows(monkeypatch):
    monkeypatch.setattr("npresnet.system.stamp.os", SimpleNamespace(name="nt"))
    assert not stamp_of(status(), NOW_NS)


def test_settle_waits_for_new_files_alone(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(b"1")
    settle(str(path))
    assert time.time_ns() - path.stat().st_ctime_ns > SETTLED_NS
    start_s = time.perf_counter()
    settle(str(path))
    assert time.perf_counter() - start_s < SETTLED_NS / 2e9


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no file system in memory")
def test_files_in_memory_have_none():
    """There a store through a mapping changes no time."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(bytes(4096))
        file.flush()
        settle(file.name)
        assert stamp_of(os.stat(file.name)) == ""
