"""What lies behind a closed folder may exist or not: it is never said to be missing, and the folder is named."""

from __future__ import annotations

import os

import pytest

import npresnet
from npresnet.errors import ArchitectureError, CheckpointError, ImageError
from npresnet.images import find, read
from npresnet.images.reach import may_list, unreachable
from tests.images.pictures import picture
from tests.support.permissions import closed, needs_permissions

pytestmark = needs_permissions


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """open/a.png, open/link.png -> shut/a.png, shut/a.png, shut/deep/a.png."""
    monkeypatch.chdir(tmp_path)
    for name in ("open", "shut/deep"):
        os.makedirs(name)
        picture("RGB", 8, 8).save(f"{name}/a.png")
    picture("RGB", 8, 8).save("shut/a.png")
    os.symlink("../shut/a.png", "open/link.png")
    return tmp_path


BEHIND = ["shut/a.png", "shut/absent.png", "shut/deep", "shut/deep/a.png", "shut/deep/", "open/link.png"]


@pytest.mark.parametrize("path", BEHIND)
def test_what_lies_behind_a_closed_folder(folder, path):
    assert unreachable(path) == ""
    with closed("shut"):
        for use in (find, read):
            with pytest.raises(
                ImageError, match=r"cannot be reached by this user: the folder '.*shut' may not be sea"
            ) as e:
                use(path)
            assert "exist" not in str(e.value)
            assert "no such" not in str(e.value)


def test_a_closed_folder_itself(folder):
    with closed("shut"):
        with pytest.raises(ImageError, match="the folder 'shut' cannot be listed: Permission denied"):
            find("shut")
        with pytest.raises(ImageError, match="shut is a folder that this user may not list; check its permissions"):
            read("shut")


def test_a_closed_file(folder):
    with closed("open/a.png"), pytest.raises(ImageError, match=r"a\.png is not readable by this user"):
        read("open/a.png")


@pytest.mark.parametrize("pattern", ["shut/*.png", "s*/*.png", "s*/d*/*.png", "shut/deep/*.png", "shut/d*/**/*.png"])
def test_patterns_that_match_nothing_else(folder, pattern):
    with closed("shut"), pytest.raises(ImageError, match=r"matches no file; the folder 'shut.* by this user"):
        find(pattern)


def test_a_pattern_of_any_depth_gives_the_folder_itself(folder):
    with closed("shut"):
        assert find("**/*.png") == ["open/a.png", "open/link.png", "shut"]
        assert find(".", recursive=True) == ["./open/a.png", "./open/link.png", "./shut"]
        assert find("*/*.png") == ["open/a.png", "open/link.png"], "as in a shell"


def test_a_pattern_of_any_depth_without_a_match_is_looked_for_once(folder, monkeypatch):
    looked = []
    monkeypatch.setattr("npresnet.images.finding.may_list", lambda path: looked.append(path) or may_list(path))
    with pytest.raises(ImageError, match="matches no file; check"):
        find("**/*.bmp")
    assert len(looked) == len(set(looked)) == 4


def test_a_file_is_no_folder(folder):
    with pytest.raises(ImageError, match=r"b\.png does not exist: a part of its path is a file"):
        read("open/a.png/b.png")


def test_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir("shut")
    with closed("../shut"), pytest.raises(ImageError, match="the current folder may not be searched"):
        read("a.png")


def test_tables_labels_and_weights(folder):
    (folder / "shut/names.txt").write_text("ant\nbee\n", encoding="utf-8")
    model = npresnet.load("demo")
    with closed("shut"):
        for source in ("shut/t.csv", "shut/deep"):
            with pytest.raises(ImageError, match="cannot be reached by this user: the folder 'shut'"):
                model.evaluate(source)
        with pytest.raises(ArchitectureError, match="cannot be reached by this user"):
            model.evaluate([("open/a.png", "cat")], classes="shut/names.txt")
        with pytest.raises(CheckpointError, match=r"names\.txt cannot be reached by this user: the folder 'shut'"):
            npresnet.labels.read("shut/names.txt")
        with pytest.raises(CheckpointError, match="a folder that this user may not search"):
            npresnet.load("shut")
        assert [str(result)[:6] for _, result in model.stream(["shut/a.png", "open/a.png"])] == ["shut/a", "<Predi"]
