"""Which pictures have a row: the same picture, spelled otherwise."""

from __future__ import annotations

import os

import pytest

from npresnet.ray.known import Known
from npresnet.ray.output import Output
from npresnet.ray.sources import resolve
from tests.ray.test_resume import RUN, found, rows
from tests.support.small import write_pictures


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two pictures in in/photos, known to an output that was begun in in/ as "photos"."""
    write_pictures(tmp_path / "in" / "photos", 2)
    os.symlink(tmp_path / "in", tmp_path / "link")
    monkeypatch.chdir(tmp_path / "in")
    return tmp_path


SPELLINGS = {
    "in": ["photos", "photos/", "./photos", "photos/*", "{}/in/photos", "file://{}/in/photos/", "{}/link/photos"],
    ".": ["in/photos", "link/photos/", "{}/in/../in/photos", "file://{}/link/photos"],
}


@pytest.mark.parametrize("begun", ["photos", "{}/link/photos", "file://{}/in/photos"])
@pytest.mark.parametrize("where", SPELLINGS)
def test_pictures_are_known_however_they_are_spelled(begun, where, folder, monkeypatch):
    first = Output(folder / "rows.parquet", RUN, resume=False)
    (files,) = first.known().new([resolve(begun.format(folder))])
    first.add(rows(*(file.shown for file in files)))
    first.complete()
    monkeypatch.chdir(folder / where)
    write_pictures(folder / "in" / "photos", 3)
    for spelling in SPELLINGS[where]:
        second = Output(folder / "rows.parquet", RUN, resume=True)
        known = second.known()
        (files,) = known.new([resolve(spelling.format(folder))])
        assert (len(files), known.skipped) == (1, 2), spelling
        second.close()


def test_a_row_of_another_spelling_is_replaced(folder):
    first = Output(folder / "rows", RUN, resume=False)
    (files,) = first.known().new([resolve("photos")])
    first.add(rows(*(file.shown for file in files), lost=files[0].shown))
    first.complete()
    second = Output(folder / "rows", RUN, resume=True)
    known = second.known()
    (again,) = known.new([resolve(f"file://{folder}/link/photos")])
    assert [os.path.basename(file.path) for file in again] == [os.path.basename(files[0].path)]
    second.replace(known.replaced)
    second.add(rows(again[0].shown))
    second.complete()
    assert found(folder / "rows") == {files[1].shown: None, again[0].shown: None}


def test_the_same_relative_path_in_another_folder_is_another_picture(folder, monkeypatch):
    first = Output(folder / "rows.parquet", RUN, resume=False)
    (files,) = first.known().new([resolve("photos")])
    first.add(rows(*(file.shown for file in files)))
    first.complete()
    write_pictures(folder / "else" / "photos", 2)
    monkeypatch.chdir(folder / "else")
    second = Output(folder / "rows.parquet", RUN, resume=True)
    (others,) = second.known().new([resolve("photos")])
    assert [file.shown for file in others] == [str(folder / "else" / file.shown) for file in files]
    second.add(rows(*(file.shown for file in others)))
    second.complete()
    again = Output(folder / "rows.parquet", RUN, resume=True).known()
    assert again.new([resolve("photos"), resolve("../in/photos")]) == [[], []]


def test_sources_that_name_a_picture_twice_give_it_once(folder):
    groups = [resolve(name) for name in ("photos", f"file://{folder}/in/photos", "../link/photos")]
    known = Known([], [], os.getcwd())
    assert [len(files) for files in known.new(groups)] == [2, 0, 0]
    assert known.skipped == 0
