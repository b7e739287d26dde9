"""A file is replaced atomically, and no other file in its folder is changed."""

import errno
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from npresnet.system import files, measured
from npresnet.system.files import (
    is_special,
    read_regular,
    remove_dead_parts,
    replacing,
    replacing_own,
    require_replaceable,
)


def test_the_old_file_is_replaced(tmp_path):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with replacing(str(path)) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out.bin"]


def write_half(path: str) -> None:
    with replacing(path) as file:
        file.write(b"half")
        raise OSError(28, "planted: no space left")


def test_an_error_leaves_only_the_old_file(tmp_path):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="planted"):
        write_half(str(path))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.bin"]


def test_other_part_files_are_unchanged(tmp_path):
    (tmp_path / "out.bin.part").write_bytes(b"theirs")
    with replacing(str(tmp_path / "out.bin")) as file:
        file.write(b"new")
    assert (tmp_path / "out.bin.part").read_bytes() == b"theirs"


def test_a_missing_folder_is_named_as_given(tmp_path):
    path = str(tmp_path / "nowhere" / "out.bin")
    with pytest.raises(FileNotFoundError) as caught, replacing(path):
        pass
    assert caught.value.filename == path


WRITER = """
import sys
from npresnet.system.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"new\\n")
"""


@pytest.mark.skipif(os.name != "posix", reason="descriptors are files in POSIX")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link"])
def test_what_a_descriptor_leads_to_is_not_replaced(tmp_path, name):
    (tmp_path / "link").symlink_to("/dev/stdout")
    command = [sys.executable, "-c", WRITER, str(tmp_path / name)]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == b"new\n"
    log = tmp_path / "log"
    log.write_bytes(b"old\n")
    with log.open("ab") as file:
        subprocess.run(command, stdout=file, check=True)
    assert log.read_bytes() == b"old\nnew\n"
    with log.open("wb") as file:
        subprocess.run(command, stdout=file, check=True)
    assert log.read_bytes() == b"new\n"


@pytest.mark.skipif(os.name != "posix", reason="named pipes need POSIX")
def test_special_files_are_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with replacing(str(pipe)) as file:
            file.write(b"through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(Path(pipe).stat().st_mode)


posix = pytest.mark.skipif(os.name != "posix", reason="links, pipes and locks are POSIX's")
CONVERT = """
import os, sys, npresnet.weights.npz_write as npz_write
def stopped(*_):
    print("ready", flush=True)
    sys.stdin.read()
npz_write._write_member = stopped
npz_write.write_npz(sys.argv[1], {}, {})
"""


def parts(folder) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix == ".part"]


@posix
def test_a_killed_writers_part_goes_with_the_next_write_of_that_file(tmp_path):
    """As of `convert`; that of a living writer stays, and so does what another program calls .part."""
    target, other = tmp_path / "net.npz", tmp_path / "other.npz"
    command = [sys.executable, "-c", CONVERT]
    writers = [
        subprocess.Popen([*command, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for path in (target, target, other)
    ]
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    (tmp_path / ".net.npz.part").write_bytes(b"theirs")
    assert len(parts(tmp_path)) == 4
    for writer in (writers[0], writers[2]):
        writer.kill()
        writer.communicate()
    with replacing(str(target)) as file:
        file.write(b"whole")
    assert len(parts(tmp_path)) == 3
    writers[1].communicate(b"")
    assert len(parts(tmp_path)) == 2
    with replacing(str(other)) as file:
        file.write(b"whole")
    assert parts(tmp_path) == [".net.npz.part"]


@posix
def test_without_locks_a_part_is_dead_after_an_hour(tmp_path, monkeypatch):
    def none(*_, **__):
        raise OSError(95, "not supported")

    monkeypatch.setattr(files, "_lock", none)
    for name, age_s in ((".x.00000000.part", 4000), (".x.00000001.part", 100)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    with replacing(str(tmp_path / "x")) as file:
        file.write(b"new")
    assert sorted(os.listdir(tmp_path)) == [".x.00000001.part", "x"]


@posix
def test_a_part_that_is_a_pipe_or_a_link_is_left_alone(tmp_path):
    (tmp_path / "precious").write_bytes(b"1")
    os.mkfifo(tmp_path / ".x.00000000.part")
    (tmp_path / ".x.00000001.part").symlink_to("precious")
    remove_dead_parts(tmp_path, "x")
    assert len(os.listdir(tmp_path)) == 3


@posix
def test_a_new_file_that_was_taken_for_a_dead_one_is_made_again(tmp_path, monkeypatch):
    """Between its creation and its lock."""
    lock, late = files._lock, [True]

    def lock_too_late(descriptor, *, wait):
        if late and wait:
            late.clear()
            remove_dead_parts(tmp_path, "x")
        lock(descriptor, wait=wait)

    monkeypatch.setattr(files, "_lock", lock_too_late)
    with replacing(str(tmp_path / "x")) as file:
        file.write(b"new")
    assert not late
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"new")]


def test_a_users_file_keeps_the_permissions_of_the_umask(tmp_path):
    with replacing(str(tmp_path / "public")) as file:
        file.write(b"1")
    (tmp_path / "plain").write_bytes(b"1")
    assert (tmp_path / "public").stat().st_mode == (tmp_path / "plain").stat().st_mode


@posix
@pytest.mark.parametrize("plant", ["pipe", "link", "folder", "long"])
def test_a_table_of_choices_is_a_small_regular_file(tmp_path, monkeypatch, plant):
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path))
    path, other = tmp_path / "tuning.json", tmp_path / "other.json"
    other.write_text('{"format": 1, "here": {"layer": ["gemm"]}}')
    {
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(other),
        "folder": lambda: path.mkdir(),
        "long": lambda: path.write_bytes(other.read_bytes() + b" " * (measured.LIMIT_BYTES + 1)),
    }[plant]()
    assert measured.read_entry("tuning.json", "here") == {}
    with pytest.raises(OSError, match=r"at most|regular file|symbolic links"):
        read_regular(path, measured.LIMIT_BYTES)
    if plant != "long":
        with pytest.raises(FileExistsError, match="own regular file"):
            measured.save_entry("tuning.json", "here", {})
    path.rmdir() if plant == "folder" else path.unlink()
    other.rename(path)
    assert measured.read_entry("tuning.json", "here") == {"layer": ["gemm"]}


@posix
def test_an_own_file_is_private_and_replaces_its_like(tmp_path):
    for content in (b"1", b"2"):
        with replacing_own(tmp_path / "own") as file:
            file.write(content)
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "own").read_bytes() == b"2"
    assert os.listdir(tmp_path) == ["own"]


@pytest.mark.skipif(os.name == "nt", reason="no locks of parts there")
def test_a_finished_part_is_nobody_s_prey(tmp_path, monkeypatch):
    """Another writer of the same file looks for dead parts between the last byte and the rename."""
    replace = os.replace

    def late(part, destination):
        remove_dead_parts(str(tmp_path), "net.npz")
        replace(part, destination)

    monkeypatch.setattr(files.os, "replace", late)
    with replacing(str(tmp_path / "net.npz")) as file:
        file.write(b"whole")
    assert (tmp_path / "net.npz").read_bytes() == b"whole"
    assert parts(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="no such permissions there")
def test_a_replaced_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "net.npz"
    path.write_bytes(b"old")
    path.chmod(0o600)
    with replacing(str(path)) as file:
        file.write(b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)


def test_a_deleted_current_folder_is_named(deleted_folder, tmp_path):
    with pytest.raises(OSError, match=r"current folder was deleted.*page\.html"), replacing("page.html"):
        pass
    with replacing(str(tmp_path / "page.html")) as file:
        file.write(b"a")


def unwritable(path: str) -> OSError:
    """The error of asking, which is that of writing."""
    with pytest.raises(OSError) as asked:
        require_replaceable(path)
    with pytest.raises(OSError) as written, replacing(path):
        pass
    assert (asked.value.errno, asked.value.filename) == (written.value.errno, written.value.filename) != (None, None)
    return asked.value


@posix
def test_what_can_be_written_is_asked_without_a_trace(tmp_path):
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "read-only").write_bytes(b"old")
    (tmp_path / "link").symlink_to("old")
    (tmp_path / "dangling").symlink_to("new")
    (tmp_path / "read-only").chmod(0o444)
    before = {path: os.lstat(path) for path in tmp_path.iterdir()}
    for name in ("new", "old", "read-only", "link", "dangling"):
        require_replaceable(str(tmp_path / name))
    assert {path: os.lstat(path) for path in tmp_path.iterdir()} == before


def test_what_cannot_be_written_is_told_as_when_it_is_written(tmp_path, no_new_files):
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "folder").mkdir()
    with no_new_files():
        for path in ("nowhere/out", "folder", "file/out", "new/", "x" * 300):
            assert unwritable(os.path.join(tmp_path, path)).strerror
        assert unwritable("").errno == errno.ENOENT


def test_a_deleted_current_folder_is_told_when_asked(deleted_folder):
    assert "the current folder was deleted" in unwritable("page.html").strerror


@posix
def test_special_files_stay_usable(tmp_path):
    """A pipe's reader sees neither a byte nor an end before something is written."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in ("/dev/null", str(pipe)):
        assert is_special(path)
        require_replaceable(path)  # would wait for a reader if it opened the pipe
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with replacing(str(pipe)) as file:
            require_replaceable(str(pipe))
            file.write(b"through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    code = "import sys; from npresnet.system.files import *; require_replaceable('/dev/stdout'); print('usable')"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout == b"usable\n"


@posix
def test_another_users_file_in_a_shared_folder_cannot_be_replaced(tmp_path, monkeypatch, no_new_files):
    """As in /tmp: everybody may make files there, and nobody may replace another's."""
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "out").write_bytes(b"theirs")
    stranger = os.getuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with no_new_files():
        require_replaceable(str(folder / "out"))
        folder.chmod(0o1777)
        require_replaceable(str(folder / "new"))
        with pytest.raises(PermissionError, match=r"not permitted.*out"):
            require_replaceable(str(folder / "out"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux mounts files")
def test_a_file_that_is_mounted_cannot_be_replaced_and_one_on_another_device_than_its_folder_can(tmp_path, monkeypatch):
    path = tmp_path / "a \\b"
    path.write_bytes(b"old")
    monkeypatch.setattr(os.path, "ismount", lambda path: True)  # as it says of files in overlayfs
    require_replaceable(str(path))
    code = f'mount --bind {shlex.quote(str(path))} {shlex.quote(str(path))} && exec {sys.executable} -c "$0" "$1"'
    ask = "import sys; from npresnet.system.files import *; require_replaceable(sys.argv[1])"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*command, "mount -t tmpfs none /mnt"], check=False).returncode:
        pytest.skip("this user may not mount")
    done = subprocess.run([*command, code, ask, str(path)], stderr=subprocess.PIPE, check=False, text=True)
    assert "OSError: [Errno 16]" in done.stderr


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may become another user")
def test_a_folder_that_may_not_be_written_to():
    code = """
import os, sys
from npresnet.system.files import *
os.setuid(65534)
for path in sys.argv[1:]:
    try:
        require_replaceable(path)
    except PermissionError as error:
        print(error.filename)
"""
    with tempfile.TemporaryDirectory() as name:  # every folder above tmp_path is closed to others
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "out").write_bytes(b"1")
        (folder / "device").symlink_to("/dev/null")
        paths = [str(folder / name) for name in ("new", "out", "device")]
        done = subprocess.run([sys.executable, "-c", code, *paths], stdout=subprocess.PIPE, check=True, text=True)
        assert done.stdout.splitlines() == paths[:2]
        assert sorted(os.listdir(folder)) == ["device", "out"]
