"""The folder of prepared weights: its limit, and whatever else may lie in a shared cache."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from npresnet.cpu.compiler import prepared_folder
from npresnet.cpu.compiler.prepared import Store, checksum_of_all
from npresnet.cpu.compiler.prepared_folder import clear, kept_in, make_room, mark_loaded, size_bytes_of
from tests.support.prepared_weights import WEIGHTS, keep, wanted

posix = pytest.mark.skipif(os.name != "posix", reason="links, pipes and owners are POSIX's")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "prepared"


@pytest.fixture
def path(folder):
    """A file of prepared weights."""
    keep(Store(folder, WEIGHTS), wanted())
    (found,) = folder.glob("*.prepared")
    return found


def is_used(folder) -> bool:
    return Store(folder, WEIGHTS).fill(wanted())


def as_link(path, raw):
    other = path.with_name("other")
    other.write_bytes(raw)
    path.symlink_to(other)


PLANTED = {
    "a pipe": lambda path, raw: os.mkfifo(path),
    "a link to a pipe": lambda path, raw: (os.mkfifo(path.with_name("pipe")), path.symlink_to(path.with_name("pipe"))),
    "a link": as_link,
    "a dead link": lambda path, raw: path.symlink_to("nowhere"),
    "a folder": lambda path, raw: path.mkdir(),
    "one that a group may write": lambda path, raw: (path.write_bytes(raw), path.chmod(0o660)),
    "one that all may write": lambda path, raw: (path.write_bytes(raw), path.chmod(0o602)),
}


@posix
@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_what_this_user_did_not_write_is_neither_read_nor_replaced(folder, path, plant):
    raw = path.read_bytes()
    path.unlink()
    plant(path, raw)
    before = [
        (entry.name, entry.lstat()[:7], entry.is_file() and entry.read_bytes()) for entry in sorted(folder.iterdir())
    ]
    store, ones = Store(folder, WEIGHTS), wanted()
    assert not store.fill(ones)
    keep(store, ones)
    assert store.file is None
    assert "own regular file" in store.problem
    assert not any(store.is_due(ones) for _ in range(2))
    path.with_suffix(".loaded").unlink()
    after = [
        (entry.name, entry.lstat()[:7], entry.is_file() and entry.read_bytes()) for entry in sorted(folder.iterdir())
    ]
    assert after == before


@posix
def test_anothers_file_counts_as_none(folder, path, monkeypatch):
    raw = path.read_bytes()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert not is_used(folder)
    keep(Store(folder, WEIGHTS), wanted())
    assert path.read_bytes() == raw
    assert kept_in(folder) == []
    assert make_room(folder, prepared_folder.LIMIT_BYTES)
    assert clear(folder) == []
    assert path.exists()


@posix
def test_files_and_folder_are_private_whatever_the_umask(folder):
    before = os.umask(0)
    try:
        keep(Store(folder, WEIGHTS), wanted())
        mark_loaded(folder / "0.prepared")
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert is_used(folder)


@posix
def test_another_users_link_for_a_folder_is_not_followed(tmp_path, folder, monkeypatch):
    (tmp_path / "theirs").mkdir()
    folder.symlink_to(tmp_path / "theirs")
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        keep(Store(folder, WEIGHTS), wanted())
        assert not mark_loaded(folder / "0.prepared")
    assert list((tmp_path / "theirs").iterdir()) == []
    keep(Store(folder, WEIGHTS), wanted())  # one's own is
    assert is_used(folder)


@posix
@pytest.mark.parametrize("plant", ["a pipe", "a dead link", "a folder"])
def test_a_mark_that_is_none_counts_as_no_load(folder, plant):
    folder.mkdir()
    PLANTED[plant](folder / "0.loaded", b"")
    for _ in range(2):
        assert not mark_loaded(folder / "0.prepared")
    assert [entry.name for entry in folder.iterdir()] == ["0.loaded"]


def test_a_read_only_cache_is_read(folder, path, monkeypatch):
    """As of a container's image. Permissions do not bind root, so the calls are refused."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", refuse)
    assert is_used(folder)
    path.unlink()
    monkeypatch.setattr(os, "replace", refuse)
    store, ones = Store(folder, WEIGHTS), wanted()
    assert not store.fill(ones)
    assert not store.is_due(ones)
    keep(store, ones)
    assert store.problem == os.strerror(errno.EROFS)
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits a file's size with RLIMIT_FSIZE")
def test_a_disk_that_fills_up_leaves_nothing(folder):
    """The kernel refuses the write in its middle, as where no space is left."""
    program = """
import resource, signal, sys
from pathlib import Path
from tests.support.prepared_weights import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
ones, store = wanted(), Store(Path(sys.argv[1]), WEIGHTS)
expected = [one.filters.prepacked(one.key) for one in wanted()]
keep(store, ones)
assert all((one.filters.prepacked(one.key) == array).all() for one, array in zip(ones, expected))
print(store.problem)
"""
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == os.strerror(errno.EFBIG)
    assert list(folder.iterdir()) == []


def sized(folder, name: str, age_s: float, size_bytes: int = 1000):
    path = folder / name
    path.write_bytes(bytes(size_bytes))
    os.utime(path, (time.time() - age_s,) * 2)
    path.chmod(0o600)
    return path


def test_the_least_recently_used_are_evicted(folder, monkeypatch):
    folder.mkdir(parents=True)
    for age, name in enumerate(["new", "middle", "old"]):
        sized(folder, f"{name}.prepared", 100 * age)
    (folder / "keep.txt").write_text("not ours")
    monkeypatch.setattr(prepared_folder, "LIMIT_BYTES", 2500)
    assert make_room(folder, 1000)
    assert sorted(path.name for path in folder.iterdir()) == ["keep.txt", "new.prepared"]
    assert not make_room(folder, 2501)
    assert size_bytes_of(folder) == 1000


def test_use_makes_a_file_young_and_leaves_it_unchanged(folder, path):
    os.utime(path, (1, 1))
    for _ in range(2):
        assert is_used(folder)
        assert path.stat().st_mtime == 1
        assert kept_in(folder)[0].used_s > time.time() - 1000
        os.utime(path.with_suffix(".loaded"), (2, 2))


def test_all_files_together_stay_below_the_limit(folder, path, monkeypatch):
    monkeypatch.setattr(prepared_folder, "LIMIT_BYTES", path.stat().st_size * 5 // 2)
    for seed in range(1, 6):
        keep(Store(folder, WEIGHTS), wanted(seed))
        assert size_bytes_of(folder) <= prepared_folder.LIMIT_BYTES
    assert len(kept_in(folder)) == 2
    monkeypatch.setattr(prepared_folder, "LIMIT_BYTES", 1000)
    store = Store(folder, WEIGHTS)
    keep(store, wanted(9))
    assert store.problem == "they take 5 MB"


def test_old_marks_are_forgotten(folder, monkeypatch):
    folder.mkdir()
    monkeypatch.setattr(prepared_folder, "MARKS", 3)
    sized(folder, "0.loaded", prepared_folder.MARK_S + 10, 0)
    for number in range(1, 5):
        sized(folder, f"{number}.loaded", 100 - number, 0)
    assert not mark_loaded(folder / "5.prepared")
    assert sorted(path.name for path in folder.iterdir()) == ["3.loaded", "4.loaded", "5.loaded"]
    assert mark_loaded(folder / "5.prepared")


def test_clear_deletes_these_files_alone(folder, path):
    mark_loaded(path)
    (folder / "keep.txt").write_text("not ours")
    assert [kept.path for kept in clear(folder)] == [path]
    assert [entry.name for entry in folder.iterdir()] == ["keep.txt"]
    assert clear(folder / "nowhere") == []


WRITER = """
import sys
from pathlib import Path
from npresnet.system.files import replacing_own
with replacing_own(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("ready", flush=True)
    sys.stdin.read()
"""


@posix
def test_what_a_dead_process_left_goes_and_what_a_living_one_writes_stays(folder):
    folder.mkdir()
    command = [sys.executable, "-c", WRITER]
    dead, living = (
        subprocess.Popen([*command, folder / name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in ("dead.prepared", "beef.prepared")
    )
    for writer in (dead, living):
        assert writer.stdout.readline() == b"ready\n"
    dead.kill()
    dead.communicate()
    assert make_room(folder, 1)
    (left,) = folder.iterdir()
    assert left.name.startswith(".beef.prepared.")
    living.communicate(b"")
    assert [path.name for path in folder.iterdir()] == ["beef.prepared"]


def test_two_writers_at_once_leave_one_whole_file(folder):
    import threading

    stores = [Store(folder, WEIGHTS) for _ in range(4)]
    all_ones = [wanted() for _ in stores]
    crc = checksum_of_all(all_ones[0])
    threads = [
        threading.Thread(target=store.keep, args=(ones, crc)) for store, ones in zip(stores, all_ones, strict=True)
    ]
    for thread in threads:
        thread.start()
    reads = [is_used(folder) for _ in range(20)]
    for thread in threads:
        thread.join()
    assert reads == sorted(reads)  # none, until there is a whole one
    ones = wanted()
    assert Store(folder, WEIGHTS).fill(ones)
    np.testing.assert_array_equal(ones[0].filters.prepacked(ones[0].key), all_ones[0][0].filters.prepacked(ones[0].key))
    assert len(list(folder.iterdir())) == 2
