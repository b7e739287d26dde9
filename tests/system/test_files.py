"""A file is replaced atomically, and no other file in its folder is changed."""

import os
import stat
from pathlib import Path

import pytest

from npresnet.system.files import replacing


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
