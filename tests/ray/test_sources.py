"""Which pictures a source means, on file systems of this machine and of pyarrow's own."""

from __future__ import annotations

import os
from datetime import datetime
from types import SimpleNamespace

import pytest
from pyarrow import fs

from npresnet.errors import ImageError
from npresnet.ray import addresses, sources
from npresnet.ray.known import Known
from npresnet.ray.sources import Picture, Pictures, opener, resolve, unreadable
from npresnet.ray.worker import ahead

TREE = (
    "bucket/a.jpg",
    "bucket/b c.PNG",
    "bucket/notes.txt",
    "bucket/.hidden.jpg",
    "bucket/x/d.webp",
    "bucket/x/y/e.tif",
)


@pytest.fixture
def local(tmp_path):
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


@pytest.fixture
def mock():
    made = fs._MockFileSystem(datetime(2026, 1, 1))
    for name in TREE:
        made.create_dir(os.path.dirname(name), recursive=True)
        with made.open_output_stream(name) as stream:
            stream.write(name.encode())
    return made


# what stands after the bucket's folder -> what is found in it
PATTERNS = {
    "": ["a.jpg", "b c.PNG"],
    "/": ["a.jpg", "b c.PNG"],
    "/notes.txt": ["notes.txt"],  # a file that is named
    "/*.jpg": ["a.jpg"],
    "/[!a]*": ["b c.PNG", "notes.txt"],
    "/[a-b]*": ["a.jpg", "b c.PNG"],
    "/*/*": ["x/d.webp"],
    "/**/*.tif": ["x/y/e.tif"],
    "/**": ["a.jpg", "b c.PNG", "notes.txt", "x/d.webp", "x/y/e.tif"],
    "/**/[de].*": ["x/d.webp", "x/y/e.tif"],
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_on_any_file_system(pattern, mock):
    found = resolve("bucket" + pattern, filesystem=mock)
    assert [picture.path for picture in found.files] == [f"bucket/{name}" for name in PATTERNS[pattern]]
    assert [picture.shown for picture in found.files] == [picture.path for picture in found.files]
    read = opener(found.filesystem)
    assert [read(picture.path) for picture in found.files] == [picture.path.encode() for picture in found.files]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_addresses_are_shown_whole(pattern, local):
    found = resolve(f"file://{local}/bucket{pattern}")
    assert [picture.shown for picture in found.files] == [f"file://{local}/bucket/{n}" for n in PATTERNS[pattern]]
    assert [opener(found.filesystem)(picture.path) for picture in found.files] == [
        f"bucket/{name}".encode() for name in PATTERNS[pattern]
    ]


def test_local_paths_are_shown_as_given_and_read_from_anywhere(local, monkeypatch):
    monkeypatch.chdir(local)
    found = resolve("bucket")
    assert found.filesystem is None
    assert [picture.shown for picture in found.files] == ["bucket/a.jpg", "bucket/b c.PNG"]
    monkeypatch.chdir("/")
    assert opener(None)(found.files[1].path) == b"bucket/b c.PNG"


def test_a_subtree(mock):
    found = resolve("x", filesystem=fs.SubTreeFileSystem("bucket", mock), recursive=True)
    assert [picture.path for picture in found.files] == ["x/d.webp", "x/y/e.tif"]


@pytest.mark.parametrize("kind", ["path", "address", "filesystem"])
def test_recursive(kind, local, mock):
    named = {"path": (str(local / "bucket"), None), "address": (f"file://{local}/bucket", None)}
    source, filesystem = named.get(kind, ("bucket", mock))
    names = [
        picture.path.rpartition("bucket/")[2]
        for picture in resolve(source, filesystem=filesystem, recursive=True).files
    ]
    assert sorted(names) == ["a.jpg", "b c.PNG", "x/d.webp", "x/y/e.tif"]


@pytest.mark.parametrize("bucket", ["s3://photos/2026/*.jpg?region=eu-central-1", "s3://photos/2026/%5B1%5D"])
def test_options_of_an_address_are_no_part_of_its_paths(bucket, monkeypatch):
    asked = []

    def from_uri(address):
        asked.append(address)
        made = fs._MockFileSystem(datetime(2026, 1, 1))
        made.create_dir("photos/2026")
        made.open_output_stream("photos/2026/one.jpg").close()
        return made, "photos/2026"

    opens = SimpleNamespace(FileSystem=SimpleNamespace(from_uri=from_uri), FileType=fs.FileType)
    opens.FileSelector = fs.FileSelector
    for module in (sources, addresses):
        monkeypatch.setattr(module, "arrow", lambda: SimpleNamespace(fs=opens))
    found = resolve(bucket)
    assert [picture.shown for picture in found.files] == ["s3://photos/2026/one.jpg"]
    assert asked == [bucket.replace("/*.jpg", "")]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "no such file or folder: 'nowhere'"),
        ("bucket/x/y/*.jpg", "holds no image files"),
        ("empty", "recursive=True"),
    ],
)
def test_nothing_found(source, words, mock):
    mock.create_dir("empty")
    with pytest.raises(ImageError, match=words.replace("(", r"\(")):
        resolve(source, filesystem=mock)


@pytest.mark.parametrize("pattern", ["bucket/[!].jpg", "bucket/[z-a].jpg"])
def test_patterns_that_cannot_be_read(pattern, mock):
    with pytest.raises(ImageError, match=r"the pattern 'bucket/.*' cannot be read: .*check its brackets"):
        resolve(pattern, filesystem=mock)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match=r"pipe\.jpg is a pipe or device"):
        opener(None)(str(tmp_path / "pipe.jpg"))


def test_what_a_file_system_raises_costs_one_picture():
    class RefusedError(Exception):
        """As of gcsfs, which is no OSError."""

    def read(path: str) -> bytes:
        if path == "b":
            raise RefusedError("429, rate limit")
        return path.encode()

    first, second, third = ahead([Picture(name, name) for name in "abc"], read, 2)
    assert (first, third) == (b"a", b"c")
    assert isinstance(second, ImageError)
    assert str(second) == "b could not be fetched: 429, rate limit. --resume (resume=True) tries it again"


def test_an_unknown_kind_of_address():
    with pytest.raises(ImageError, match=r"'ftpx://host/a.jpg' cannot be read: .*s3://"):
        resolve("ftpx://host/a.jpg")


def test_a_file_that_is_gone_is_named():
    error = unreadable(Picture("photos/gone.jpg", "/far/gone.jpg"), FileNotFoundError(2, "No such file"))
    assert str(error) == "photos/gone.jpg does not exist; check the spelling and the current directory"


def test_pictures_that_are_new():
    """Of two sources a picture once; names that are shown alike are two: the byte E9, and the text that shows it."""
    names = ["a", "b\udce9", "b\\udce9"]
    groups = [Pictures(None, [Picture(name, name) for name in names])] * 2
    assert [[file.shown for file in files] for files in Known([], [], os.getcwd()).new(groups)] == [names, []]
    assert [[file.shown for file in files] for files in Known(["b\\udce9"], [], os.getcwd()).new(groups)] == [["a"], []]
