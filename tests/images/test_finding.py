"""Paths, folders and patterns: which files they refer to."""

from __future__ import annotations

import base64
import glob
import os

import pytest

from npresnet.errors import ImageError
from npresnet.images import find, read
from tests.images.pictures import encoded, picture

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
    assert "./broken.jpg" in find("."), "reading it says what is wrong with it, at its place"
    with pytest.raises(ImageError, match=r"no such file or folder: 'broken.jpg', a link to 'nowhere.jpg'"):
        find("broken.jpg")
    with pytest.raises(ImageError, match=r"broken.jpg is a link to nowhere.jpg, which does not exist"):
        read("broken.jpg")


# --- links and folders that cannot be followed ----------------------------------------------------------------------

links = pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")


def closed(monkeypatch, *names):
    """Folders of these names cannot be listed, and links into them not followed; root ignores permissions."""
    scandir = os.scandir

    def refuse(path="."):
        if os.path.basename(os.path.normpath(path)) in names:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


@links
def test_a_bad_link_leaves_the_rest_of_its_folder(folder):
    """The others are found; the bad one as well, so that reading it says what is wrong with it, at its place."""
    os.symlink("again.jpg", "sub/again.jpg")
    os.symlink("two.png", "sub/one.png")
    os.symlink("one.png", "sub/two.png")
    assert slashes(find("sub")) == ["sub/again.jpg", "sub/e.jpg", "sub/one.png", "sub/two.png"]
    assert slashes(find("sub/e*")) == ["sub/e.jpg"]
    with pytest.raises(ImageError, match=r"again.jpg cannot be read.*symbolic links"):
        read("sub/again.jpg")


def test_a_link_into_a_closed_folder(folder, monkeypatch):
    class Entry:
        """What os.scandir gives for a link into a folder without permission."""

        name = "secret.jpg"

        def is_file(self):
            raise PermissionError(13, "Permission denied", "sub/secret.jpg")

    scandir = os.scandir

    class Listing:
        def __init__(self, path):
            self.entries = scandir(path)

        def __enter__(self):
            return [Entry(), *self.entries]

        def __exit__(self, *_):
            self.entries.close()

    monkeypatch.setattr(os, "scandir", Listing)
    assert slashes(find("sub")) == ["sub/e.jpg", "sub/secret.jpg"]


def test_a_closed_folder_among_the_matches_of_a_pattern(folder, monkeypatch):
    closed(monkeypatch, "sub")
    found = slashes(find(["*.jpg", "*b*"]))
    assert found == ["[x].jpg", "b.jpg", "b.jpg", "sub"]
    with pytest.raises(ImageError, match="sub is a folder that this user may not list; check its permissions"):
        read("sub")


@links
def test_patterns_of_any_depth_leave_loops(folder):
    os.symlink(".", "sub/self")
    os.symlink("..", "sub/deep/up")
    os.symlink("../../sub", "sub/deep/to_sub")
    assert slashes(find("**/*.webp")) == ["sub/deep/f.webp"]
    assert slashes(find("sub/**/*.jpg")) == ["sub/e.jpg"]


@links
def test_patterns_of_any_depth_follow_links_to_other_folders(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "g.jpg").write_bytes(b"")
    os.symlink(other, "sub/link")
    os.symlink(other, "also")
    assert slashes(find("**/g.jpg")) == ["also/g.jpg", "sub/link/g.jpg"]


DEEP = ["**", "**/", "**/*", "*/**/*.webp", "**/deep/**", "sub/**/**/f.webp", "**/[ef].*", "s*/**", "./**/e.jpg"]
DEEP += ["**/.hidden.jpg", "sub/**/", "**/sub/**/*.jpg", "[s]ub/**/deep/*"]


@pytest.mark.parametrize("pattern", DEEP)
def test_patterns_of_any_depth_match_as_glob_does(folder, pattern):
    matches = sorted(glob.glob(pattern, recursive=True))
    expected = {match for match in matches if os.path.isfile(match)}
    for match in filter(os.path.isdir, matches):
        expected |= set(find_or_none(match))
    assert {os.path.normpath(path) for path in find(pattern)} == {os.path.normpath(path) for path in expected}


def find_or_none(folder):
    try:
        return find(folder)
    except ImageError:
        return []


# --- recursive ------------------------------------------------------------------------------------------------------


def test_recursive(folder):
    for name in ("sub/deep/a.png", "sub/deep/.secret/x.png", "also/z.jpg", "sub/b.png", "sub/deep/notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    below = ["also/z.jpg", "sub/b.png", "sub/e.jpg", "sub/deep/a.png", "sub/deep/f.webp"]
    assert slashes(find(".", recursive=True)) == ["./[x].jpg", "./a.JPEG", "./b.jpg", "./c.png"] + [
        f"./{name}" for name in below
    ]
    assert slashes(find(["sub", "c.png"], recursive=True)) == [*below[1:], "c.png"]
    assert slashes(find("s?b", recursive=True)) == below[1:]
    assert slashes(find("sub/", recursive=True)) == below[1:]
    assert slashes(find("sub")) == ["sub/b.png", "sub/e.jpg"]


def test_recursive_where_only_folders_below_hold_images(folder):
    (folder / "empty" / "one" / "two").mkdir(parents=True)
    with pytest.raises(ImageError, match="nor do the folders below it"):
        find("empty", recursive=True)
    (folder / "empty" / "one" / "two" / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match="--recursive"):
        find("empty")
    assert slashes(find("empty", recursive=True)) == ["empty/one/two/a.png"]


@links
def test_recursive_ends_in_spite_of_links(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "g.jpg").write_bytes(b"")
    os.symlink(".", "sub/self")
    os.symlink("../..", "sub/deep/up")
    os.symlink(other, "sub/link")
    os.symlink("nowhere", "sub/nowhere.png")
    os.symlink("nowhere", "sub/nofolder")
    os.symlink("circle", "sub/circle")
    expected = ["sub/e.jpg", "sub/nowhere.png", "sub/deep/f.webp", "sub/link/g.jpg"]
    assert slashes(find("sub", recursive=True)) == expected


def test_recursive_costs_a_closed_folder_alone(folder, monkeypatch):
    (folder / "sub" / "zoo").mkdir()
    (folder / "sub" / "zoo" / "z.png").write_bytes(b"")
    closed(monkeypatch, "deep")
    assert slashes(find("sub", recursive=True)) == ["sub/e.jpg", "sub/deep", "sub/zoo/z.png"]
    closed(monkeypatch, "sub")
    with pytest.raises(ImageError, match="cannot be listed"):
        find("sub", recursive=True)


# --- texts that are no paths ----------------------------------------------------------------------------------------


def base64_of(kind):
    return base64.b64encode(encoded(picture("RGB", 60, 60), kind)).decode()


BASE64_KINDS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "PPM")
SMALL = base64.b64encode(encoded(picture("RGB", 2, 2), "PNG")).decode()
WRAPPED = base64.encodebytes(encoded(picture("RGB", 9, 9), "JPEG")).decode()
TEXTS = [
    ("small", SMALL, "is base64 text; pass the bytes of base64"),
    ("AVIF", base64.b64encode(b"\0\0\0\x20ftypavif\0\0\0\0avifmif1").decode(), "is base64 text"),
    ("wrapped", WRAPPED, "is base64 text"),
    ("quoted", f'"{SMALL}"', "is base64 text"),
    ("printed", str(SMALL.encode()), "is base64 text"),
    ("for URLs", WRAPPED.translate(str.maketrans("+/", "-_", "\n")), r"is base64 text for URLs; .*urlsafe_b64decode"),
    ("URL with a *", "https://example.org/*.jpg", "is a URL, not a file"),
    ("digits", encoded(picture("RGB", 2, 2), "PNG").hex(), r"is hexadecimal text; pass the bytes of bytes\.fromhex"),
    ("data URL of no type", "data:application/octet-stream;base64,AAAA", "is a data URL"),
    ("a path", "9j/4AAQ/iVBO.png", "9j/4AAQ"),
    *((kind, base64_of(kind), "is base64 text; pass the bytes of base64") for kind in BASE64_KINDS),
    ("data URL", "data:image/png;base64," + base64_of("PNG"), "is a data URL; pass the bytes of base64"),
    ("short data URL", "data:image/gif;base64,R0lGOD", "is a data URL"),
    ("web", "https://example.org/" + "a" * 3000, "is a URL, not a file; download it first"),
    ("long", "x" * 3000, "x"),
    ("long name", "folder/" + "x" * 290 + ".jpg", "folder/x"),
]


@pytest.mark.parametrize(("text", "match"), [row[1:] for row in TEXTS], ids=[row[0] for row in TEXTS])
def test_texts_that_are_images_are_told_so_shortly(text, match):
    for function in (read, find):
        with pytest.raises(ImageError, match=match) as caught:
            function(text)
        message = str(caught.value)
        assert len(message) < 600
        start = text.splitlines()[0]
        assert start in message or (start[:60] in message and f"({len(text):,} characters)" in message)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_bytes_as_python_prints_them(kind):
    for function in (read, find):
        with pytest.raises(ImageError, match="is text of bytes as Python prints them; pass the bytes themselves"):
            function(str(encoded(picture("RGB", 9, 9), kind)))


@pytest.mark.parametrize("kind", BASE64_KINDS)
def test_bytes_and_files_of_base64(tmp_path, kind):
    data = base64_of(kind).encode()
    (tmp_path / "upload.jpg").write_bytes(data)
    for source in (data, tmp_path / "upload.jpg"):
        with pytest.raises(ImageError, match="is base64 text; pass the bytes of"):
            read(source)
    with pytest.raises(ImageError, match="is a data URL"):
        read(b"data:image/jpeg;base64," + data)


@links
def test_folders_that_all_link_to_each_other(tmp_path):
    """11 of them have 11! paths and more."""
    names = [f"{number:02d}" for number in range(11)]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_bytes(b"")
        for other in names:
            if other != name:
                os.symlink(f"../{other}", tmp_path / name / other)
    for found in (find(tmp_path, recursive=True), find(str(tmp_path / "**" / "*.jpg"))):
        ways = {os.path.relpath(os.path.dirname(path), tmp_path) for path in found}
        assert ways >= {*names, *(os.path.join(one, other) for one in names for other in names if one != other)}
        assert len(found) <= 11 + 11 * 10 + 11


@links
def test_a_folder_behind_two_links_is_found(tmp_path):
    shown, first, second = tmp_path / "shown", tmp_path / "first", tmp_path / "second" / "deep"
    for folder in (shown, first, second):
        folder.mkdir(parents=True)
    (second / "x.jpg").write_bytes(b"")
    os.symlink(first, shown / "to_first")
    os.symlink(second.parent, first / "to_second")
    assert find(shown, recursive=True) == [str(shown / "to_first" / "to_second" / "deep" / "x.jpg")]


@pytest.mark.skipif(os.name == "nt", reason="no folder in use can be deleted")
def test_below_a_deleted_current_folder_there_is_nothing(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ImageError, match="holds no image files"):
        find(".", recursive=True)
