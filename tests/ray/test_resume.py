"""What a resumed run does again, and what it does not: rows that are replaced, and runs that were not dead."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

import npresnet
from npresnet.errors import ImageError, NpresnetError
from npresnet.ray.output import Output
from npresnet.ray.sources import Picture, Pictures, resolve
from npresnet.ray.table import table, unread_in
from npresnet.ray.worker import classified
from tests.support.small import write_pictures

RUN = {"model": "c3"}


def rows(*names: str, lost: str = ""):
    """A row for each letter; those of `lost` could not be fetched, and "!" is no picture."""
    bad = {"!": {"error": "is empty (0 bytes)"}}
    return table(
        {"path": name, **({"error": "503", "unread": True} if lost and name in lost else bad.get(name, {"index": 1}))}
        for name in names
    )


def found(place) -> dict[str, str | None]:
    """{path: its error}; no path may be there twice."""
    read = parquet.read_table(place).to_pylist()
    made = {row["path"]: row["error"] for row in read}
    assert len(made) == len(read)
    return made


def new(output: Output, names: str) -> list[str]:
    """The pictures of these names that are to be done, with the output told so."""
    known = output.known()
    (files,) = known.new([Pictures(object(), [Picture(name, name) for name in names])])
    output.replace(known.replaced)
    return [file.shown for file in files]


PLACES = pytest.mark.parametrize("name", ["rows.parquet", "rows"])


@PLACES
@pytest.mark.parametrize("cut", [False, True])
def test_what_the_storage_did_not_give_is_tried_again(name, cut, tmp_path):
    place = tmp_path / name
    first = Output(place, RUN, resume=False)
    first.add(rows("a", "!", "b", lost="b"))
    first.flush()
    first.add(rows("c", "d", lost="cd"))
    first.flush() if cut else first.complete()
    second = Output(place, RUN, resume=True)
    assert (second.done, second.unread) == ({"a", "!"}, {"b", "c", "d"})
    assert new(second, "ab!ce") == ["b", "c", "e"]  # d is no longer asked for
    second.add(rows("b", "c", "e", lost="c"))
    second.complete()
    assert found(place) == {"a": None, "!": "is empty (0 bytes)", "b": None, "c": "503", "d": "503", "e": None}
    third = Output(place, RUN, resume=True)
    assert (third.done, third.unread) == ({"a", "!", "b", "e"}, {"c", "d"})
    assert new(third, "abcde!") == ["c", "d"]
    third.add(rows("c", "d"))
    third.complete()
    assert found(place) == {"a": None, "!": "is empty (0 bytes)", **dict.fromkeys("bcde")}
    assert Output(place, RUN, resume=True).unread == set()


@PLACES
def test_a_run_that_does_nothing_leaves_the_rows_of_pictures_that_could_not_be_fetched(name, tmp_path):
    first = Output(tmp_path / name, RUN, resume=False)
    first.add(rows("a", "b", lost="b"))
    first.complete()
    second = Output(tmp_path / name, RUN, resume=True)
    assert new(second, "ab") == ["b"]
    second.close()  # as if no cluster answered
    assert found(tmp_path / name) == {"a": None, "b": "503"}


def test_a_worker_says_which_pictures_it_could_not_fetch(tmp_path):
    (photo,) = write_pictures(tmp_path, 1)
    contents = {"good": Path(photo).read_bytes(), "broken": b"<html>503</html>"}

    def read(path: str) -> bytes:
        if path == "slow":
            raise OSError("AWS Error SLOW_DOWN during GetObject operation")
        if path == "pipe":
            raise ImageError("pipe is a pipe")
        return contents[path]

    pictures = [Picture(name, name) for name in ("slow", "good", "broken", "pipe")]
    with npresnet.load("demo") as model:
        made = table(classified(model, pictures, read, 1, 2))
    assert [bool(row["error"]) for row in made.to_pylist()] == [True, False, True, True]
    assert unread_in(made) == ["slow"]


# --- a run that was not dead -----------------------------------------------------------------------------------------


class Copying:
    """A file system that renames as object stores do: what it has read appears later, whatever happened meanwhile."""

    def __init__(self, filesystem, meanwhile):
        self._filesystem, self._meanwhile = filesystem, [meanwhile]

    def __getattr__(self, name):
        return getattr(self._filesystem, name)

    def move(self, source, target):
        content = Path(source).read_bytes()
        if self._meanwhile:
            self._meanwhile.pop()()
        Path(target).parent.mkdir(exist_ok=True)
        Path(target).write_bytes(content)
        Path(source).unlink(missing_ok=True)


@PLACES
@pytest.mark.parametrize("ends", ["before", "after"])
def test_a_part_that_comes_late_doubles_nothing(name, ends, tmp_path):
    """A run renames its part while another takes over, which ends before or after the part appears."""
    others = []

    def take_over():
        second = Output(tmp_path / name, RUN, resume=True)
        assert second.done == set()
        second.add(rows("b", "c"))
        others.append(second)
        if ends == "before":
            second.complete()

    first = Output(tmp_path / name, RUN, resume=False)
    first._fs = Copying(first._fs, take_over)
    first.add(rows("a", "b"))
    with pytest.raises(NpresnetError, match="another run has begun to write"):
        first.flush()
    if ends == "after":
        others[0].complete()
    assert set(found(tmp_path / name)) >= {"b", "c"}
    assert not list(tmp_path.rglob(".*"))
    last = Output(tmp_path / name, RUN, resume=True)
    assert last.done == {"a", "b", "c"}
    last.complete()
    assert set(found(tmp_path / name)) == {"a", "b", "c"}


def test_a_part_that_is_renamed_after_another_run_has_begun_is_refused(tmp_path):
    """On disks: the run that begins deletes what is unfinished."""
    first = Output(tmp_path / "rows", RUN, resume=False)
    first.add(rows("a", "b"))
    check, calls, others = first._require_owner, [], []

    def taken_over_after_the_second_check():
        check()
        calls.append(1)
        if len(calls) == 2:
            others.append(Output(tmp_path / "rows", RUN, resume=True))

    first._require_owner = taken_over_after_the_second_check
    with pytest.raises(NpresnetError, match="another run has begun to write"):
        first.flush()
    assert not first._place.parts()


@PLACES
def test_rows_that_are_there_twice_leave_one_part(name, tmp_path):
    """As a store may be left where the late run was killed before it looked again."""
    first = Output(tmp_path / name, RUN, resume=False)
    first.add(rows("a", "b"))
    first.flush()
    (part,) = first._place.parts()
    shutil.copy(part, part.replace("part-", "part-0"))
    second = Output(tmp_path / name, RUN, resume=True)
    second.complete()
    assert found(tmp_path / name) == {"a": None, "b": None}


# --- addresses -------------------------------------------------------------------------------------------------------


def test_a_password_is_not_told(tmp_path):
    address = "s3://AKIA:hush+hush@bucket/photos?endpoint=1"
    for ask in (lambda: resolve(address), lambda: Output(address, RUN, resume=False)):
        with pytest.raises(NpresnetError, match=r"s3://\*\*\*@bucket/photos") as told:
            ask()
        assert "hush" not in "".join(map(str, (told.value, told.value.__cause__)))


@pytest.mark.parametrize("name", ["with space", "é漢", "100%", "50%2525", "a#b", "back\\slash", "a+b&c"])
def test_names_that_addresses_would_escape(name, tmp_path):
    shown = name.replace("%2525", "%25")  # where a % begins an escape, it is one
    write_pictures(tmp_path / shown, 1)
    (picture,) = resolve(f"file://{tmp_path}/{name}").files
    assert os.path.dirname(picture.shown) == f"file://{tmp_path}/{shown}"
    made = Output(f"file://{tmp_path}/{name}.parquet", RUN, resume=False)
    made.add(rows("a"))
    made.complete()
    assert found(tmp_path / f"{shown}.parquet") == {"a": None}
