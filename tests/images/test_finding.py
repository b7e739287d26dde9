"""Paths, folders and patterns: which files they refer to."""

from __future__ import annotations

import os

import pytest

from npresnet.errors import ImageError
from npresnet.images import find

FILES = ["b.jpg", "a.JPEG", "c.png", ".hidden.jpg", "notes.txt", "d.xyz", "sub/e.jpg", "sub/deep/f.webp", "[x].jpg"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def slashes(paths):
    return [path.replace(os.sep, "/") for path in paths]


CASES = [
    ("b.jpg", ["b.jpg"]),
    (["c.png", "b.jpg", "c.png"], ["c.png", "b.jpg", "c.png"]),  # order and duplicates are kept
    ("d.xyz", ["d.xyz"]),  # a file given by its path may have any extension
    ("notes.txt", ["notes.txt"]),
    (".hidden.jpg", [".hidden.jpg"]),
    (".", ["./[x].jpg", "./a.JPEG", "./b.jpg", "./c.png"]),
    ("sub", ["sub/e.jpg"]),
    ("sub/", ["sub/e.jpg"]),
    (["c.png", "sub", "b.jpg"], ["c.png", "sub/e.jpg", "b.jpg"]),
    ("*.jpg", ["[x].jpg", "b.jpg"]),
    ("?.???", ["b.jpg", "c.png", "d.xyz"]),
    ("[ab].*", ["a.JPEG", "b.jpg"]),
    ("s*", ["sub/e.jpg"]),
    ("**/*.jpg", ["[x].jpg", "b.jpg", "sub/e.jpg"]),
    ("sub/**", ["sub/e.jpg", "sub/deep/f.webp"]),
    ("[x].jpg", ["[x].jpg"]),  # an existing file wins over the pattern, which would mean x.jpg
    ([], []),
    ((), []),
]


@pytest.mark.parametrize(("paths", "expected"), CASES, ids=str)
def test_found(folder, paths, expected):
    assert slashes(find(paths)) == expected


def test_path_objects_and_iterators(folder):
    assert find(folder / "b.jpg") == [str(folder / "b.jpg")]
    assert find(iter([folder / "b.jpg", str(folder / "sub")])) == [str(folder / "b.jpg"), str(folder / "sub" / "e.jpg")]


BAD = [
    ("absent.jpg", "no such file or folder: 'absent.jpg'"),
    (["b.jpg", "absent/c.jpg"], "no such file or folder: 'absent/c.jpg'"),
    ("*.bmp", r"the pattern '\*.bmp' matches no file"),
    ("[y].jpg", "the pattern .* matches no file"),
    ("empty", "the folder 'empty' holds no image files"),
    ("empt*", "matches no file"),
    ("", "is not a path"),
    ("a\0b", "is not a path"),
    ([3], "3 is not a path"),
    ([None], "None is not a path"),
    ([b"b.jpg"], "is not a path"),
]


@pytest.mark.parametrize(("paths", "match"), BAD, ids=str)
def test_refused(folder, paths, match):
    with pytest.raises(ImageError, match=match):
        find(paths)


def test_a_folder_that_cannot_be_listed(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ImageError, match="the folder 'sub' cannot be listed: Permission denied"):
        find("sub")


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_links(folder):
    os.symlink("b.jpg", "link.png")
    os.symlink("nowhere.jpg", "broken.jpg")
    assert "./link.png" in find(".")
    assert "./broken.jpg" not in find(".")
    with pytest.raises(ImageError, match="no such file"):
        find("broken.jpg")
