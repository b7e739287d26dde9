"""Which images class folders or a table have: those of torchvision's ImageFolder, and nothing left out silently."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from npresnet.errors import ImageError
from npresnet.model.class_folders import read_samples
from tests.support.torchvision_import import import_torchvision


def touch(root, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def relative(samples, root) -> list[tuple[str, str]]:
    return [(os.path.relpath(path, root), name) for path, name in samples.rows]


def test_the_same_images_and_classes_as_torchvision(tmp_path):
    """Folders in a class folder, extensions in capitals, links to files and folders; [ ] in a name is no pattern."""
    root = tmp_path / "set"
    touch(root, "b/2.jpg", "b/1.PNG", "b/deep/er/3.jpeg", "a [1-2]/x.webp", "C/1.tif", "b/notes.txt")
    touch(tmp_path, "elsewhere/4.jpg")
    (root / "b" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "d").symlink_to(tmp_path / "elsewhere")
    (root / "C" / "link.png").symlink_to(root / "b" / "1.PNG")
    found = read_samples(root)
    theirs = import_torchvision().datasets.ImageFolder(str(root))
    assert found.names == theirs.classes == ["C", "a [1-2]", "b", "d"]
    assert sorted(found.rows) == sorted((path, theirs.classes[index]) for path, index in theirs.samples)
    assert len(found.rows) == 8
    assert found.notes == ["1 file without the extension of an image ignored"]


def test_what_is_not_used_is_said(tmp_path):
    touch(tmp_path, "cat/1.jpg", "cat/.hidden.jpg", "cat/._1.jpg", ".ipynb_checkpoints/1.jpg", "loose.jpg", "README.md")
    touch(tmp_path, "dog/Thumbs.db", "dog/.DS_Store", "dog/list.json", "__MACOSX/cat/._1.jpg", "cat/__MACOSX/._1.jpg")
    (tmp_path / "fox").symlink_to("nowhere")
    found = read_samples(tmp_path)
    assert found.names == ["cat", "dog"]  # an empty class folder is a class: it has its place in the sorted order
    assert relative(found, tmp_path) == [("cat/1.jpg", "cat")]
    assert found.notes == [
        "3 files beside the class folders ignored: 'README.md', 'fox', 'loose.jpg'",
        "2 files without the extension of an image ignored",
        "1 class folder without images: 'dog'",
    ]


def test_a_folder_that_is_its_own_part_ends(tmp_path):
    touch(tmp_path, "cat/1.jpg")
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat")
    assert relative(read_samples(tmp_path), tmp_path) == [("cat/1.jpg", "cat")]


@pytest.mark.parametrize("target", ["set", "."])
def test_a_link_to_what_holds_the_classes_is_followed_by_none(target, tmp_path):
    """Or every class's images would be of this class, too."""
    root = tmp_path / "set"
    touch(root, "cat/1.jpg", "dog/2.jpg")
    (root / "cat" / "all").symlink_to(tmp_path / target)
    assert relative(read_samples(root), root) == [("cat/1.jpg", "cat"), ("dog/2.jpg", "dog")]


def test_folders_deeper_than_python_s_stack(tmp_path):
    depth = sys.getrecursionlimit() + 100
    made = [tmp_path / "cat", *(f"{tmp_path}/cat{'/d' * level}" for level in range(1, depth))]
    for folder in made:
        os.mkdir(folder)
    last = f"{made[-1]}/1.jpg"
    try:
        open(last, "wb").close()
        assert read_samples(tmp_path).rows == [(last, "cat")]
    finally:
        os.remove(last)
        for folder in reversed(made):
            os.rmdir(folder)


def test_dangling_links_are_images_that_fail(tmp_path):
    touch(tmp_path, "cat/1.jpg")
    (tmp_path / "cat" / "2.jpg").symlink_to(tmp_path / "nowhere")
    assert [path for path, _ in relative(read_samples(tmp_path), tmp_path)] == ["cat/1.jpg", "cat/2.jpg"]


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["1.jpg", "2.jpg"], "2 files, but no folders"),
        ([], "no folders"),
        (["cat/notes.txt", "dog/notes.txt"], "2 folders .'cat', 'dog'., but no image"),
    ],
)
def test_folders_without_class_folders(tmp_path, names, match):
    touch(tmp_path, *names)
    with pytest.raises(ImageError, match=match):
        read_samples(tmp_path)


def test_neither_folder_nor_table(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_samples(tmp_path / "missing")
    touch(tmp_path, "one.jpg")
    with pytest.raises(ImageError, match="is one image"):
        read_samples(tmp_path / "one.jpg")


TABLES = [
    ("no header", "a/1.jpg,cat\nb.png,dog\n"),
    ("header", "path,label\na/1.jpg,cat\nb.png,dog\n"),
    ("header in another order, more columns", "id,Class,Score,FileName\n7,cat,.5,a/1.jpg\n8,dog,.1,b.png\n"),
    ("mark of UTF-8, Windows", "\ufeffimage,label\r\na/1.jpg,cat\r\nb.png,dog\r\n"),
    ("quotes", '"path","label"\n"a/1.jpg","cat"\n"b.png","dog"\n'),
    ("empty lines and spaces", "\n\na/1.jpg , cat\n\n  b.png,dog  \n,\n"),
    ("tabs", "path\tlabel\na/1.jpg\tcat\nb.png\tdog\n"),
    ("the first of several names for a column", "file,imagenet_index,name\na/1.jpg,9,cat\nb.png,7,dog\n"),
    ("a file's name", "name,label\na/1.jpg,cat\nb.png,dog\n"),
    ("a spreadsheet's empty cells", "id,path,label\n1,a/1.jpg,cat,,\n2,b.png,dog,,\n"),
    ("semicolons", "a/1.jpg;cat\nb.png;dog"),
    ("header of two words", "Image Path,Class Name\na/1.jpg,cat\nb.png,dog\n"),
    ("an index of the rows", "index,filename,class_id\n0,a/1.jpg,cat\n1,b.png,dog\n"),
    ("header in the plural", "filepaths,labels\na/1.jpg,cat\nb.png,dog\n"),
]


@pytest.mark.parametrize("text", [row[1] for row in TABLES], ids=[row[0] for row in TABLES])
def test_tables(tmp_path, text):
    (tmp_path / "set.csv").write_bytes(text.encode("utf-8"))
    found = read_samples(tmp_path / "set.csv")
    assert relative(found, tmp_path) == [("a/1.jpg", "cat"), ("b.png", "dog")]
    assert (found.names, found.notes) == (["cat", "dog"], [])


def test_tables_of_utf_16_and_paths_with_commas(tmp_path):
    (tmp_path / "set.csv").write_bytes('path,label\n"a, b.jpg",grüner Frosch\n'.encode("utf-16"))
    assert relative(read_samples(tmp_path / "set.csv"), tmp_path) == [("a, b.jpg", "grüner Frosch")]


def test_absolute_paths_stay_and_others_start_at_the_table(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "set.csv").write_text(f"{tmp_path / 'x.jpg'},a\n../y.jpg,b\n")
    monkeypatch.chdir(tmp_path / "deep")
    for name in ("set.csv", tmp_path / "deep" / "set.csv"):
        paths = [os.path.abspath(path) for path, _ in read_samples(name).rows]
        assert paths == [str(tmp_path / "x.jpg"), str(tmp_path / "y.jpg")]


def test_paths_from_where_the_program_runs_are_told(tmp_path, monkeypatch):
    touch(tmp_path, "photos/a.jpg", "lists/b.jpg")
    (tmp_path / "lists" / "set.csv").write_text("photos/a.jpg,cat\n")
    monkeypatch.chdir(tmp_path)
    (note,) = read_samples("lists/set.csv").notes
    assert note == (
        "relative paths start at the folder of lists/set.csv: lists/photos/a.jpg does not exist, but photos/a.jpg does"
    )
    for text in ("b.jpg,cat\n", "missing.jpg,cat\n", f"{tmp_path / 'missing.jpg'},cat\n"):
        (tmp_path / "lists" / "set.csv").write_text(text)
        assert read_samples("lists/set.csv").notes == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_through_a_pipe(tmp_path, encoding):
    """As <(...) of a shell: it cannot be read twice, and lies in no folder."""
    os.mkfifo(tmp_path / "pipe")
    data = "image\tclass\nsub/a.jpg\tcat\nb.jpg\tgrößer\n".encode(encoding)
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    found = read_samples(tmp_path / "pipe")
    writer.join()
    assert found.rows == [("sub/a.jpg", "cat"), ("b.jpg", "größer")]


@pytest.mark.parametrize("name", ["1", "image.jpg", "sub/y.jpg"])
def test_a_first_image_that_is_called_as_a_column(tmp_path, name):
    touch(tmp_path, name)
    (tmp_path / "set.csv").write_text(f"{name},y\nb.jpg,x\n")
    assert relative(read_samples(tmp_path / "set.csv"), tmp_path) == [(name, "y"), ("b.jpg", "x")]


def test_addresses_stay(tmp_path):
    """So that the error of the image says that it is one."""
    (tmp_path / "set.csv").write_text("https://example.com/a.jpg,cat\n")
    assert read_samples(tmp_path / "set.csv").rows == [("https://example.com/a.jpg", "cat")]


def test_rows_said_twice_count_twice_and_are_told(tmp_path):
    (tmp_path / "set.csv").write_text("path,label\na.jpg,cat\nb.jpg,dog\na.jpg,cat\na.jpg,dog\n")
    found = read_samples(tmp_path / "set.csv")
    assert len(found.rows) == 4
    again, two = found.notes
    assert "1 row said before, the first in line 4" in again
    assert "a.jpg has one label in line 2 and another in line 5" in two


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"a.jpg,cat\nb.jpg\n", "line 2 .* has 1 cell,"),
        (b"a.jpg,cat,0.5\n", "line 1 .* has 3 cells.*must name them"),
        (b"path,label\na, b.jpg,cat\n", "line 2 .* has 3 cells.*quotes"),
        (b"id,path,label\n1,a.jpg,cat\n2,b.jpg,dog, wild\n", "line 3 .* has 4 cells.*quotes"),
        (b"path;label;split\na;b.jpg;cat;test\n", "line 2 .* has 4 cells"),
        (b"path,label\n,cat\n", "line 2 .* an empty cell"),
        (b"path,label\na.jpg,\n", "line 2 .* an empty cell"),
        (b"path,label\n", "no rows"),
        (b"", "no rows"),
        (b'a.jpg,"cat\n', "cannot be read as a CSV"),
        (b"caf\xe9.jpg,cat\n", "not UTF-8"),
        (b"a.jpg\nb.jpg\n", "line 1 .* has 1 cell, .*; cells are separated by commas, tabs or semicolons"),
        ("a.jpg,cat\n".encode("utf-16-le"), "it is not text"),
        (
            b"filename,species\na.jpg,cat\n",
            "the first line .* looks like a header, 'filename' and 'species';",
        ),
    ],
)
def test_tables_that_are_refused(tmp_path, data, match):
    (tmp_path / "set.csv").write_bytes(data)
    with pytest.raises(ImageError, match=match) as caught:
        read_samples(tmp_path / "set.csv")
    assert "set.csv" in str(caught.value)


def test_folders_that_all_link_to_each_other_are_read_in_no_time(tmp_path):
    names = [f"part{i}" for i in range(12)]
    for name in names:
        touch(tmp_path, f"cat/{name}/{name}.png")
        for other in names:
            os.symlink(tmp_path / "cat" / other, tmp_path / "cat" / name / f"to_{other}")
    found = read_samples(tmp_path)
    assert {os.path.basename(path) for path, _ in found.rows} == {f"{name}.png" for name in names}
    assert len(found.rows) < 1_000
