"""Rows in Parquet: parts that are whole at any moment, the file made of them, and what a resumed run accepts."""

from __future__ import annotations

import os

import pyarrow.parquet as parquet
import pytest

from npresnet.errors import NpresnetError
from npresnet.ray import output
from npresnet.ray.output import Output
from npresnet.ray.table import COLUMNS, table

RUN = {"model": "a1", "top": 2, "dtype": "float32"}


def rows(*names: str):
    top = [{"index": 1, "label": "één", "score": 0.5}]
    good = [{"path": name, "index": 1, "label": "één", "score": 0.5, "top": top} for name in names if name != "bad"]
    return table([*good, *({"path": name, "error": "is empty (0 bytes)"} for name in names if name == "bad")])


def paths(file) -> list[str]:
    return parquet.read_table(file)["path"].to_pylist()


def test_columns_and_nulls(tmp_path):
    made = Output(tmp_path / "rows.parquet", RUN, resume=False)
    made.add(rows("x.png", "bad"))
    made.complete()
    good, bad = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert tuple(good) == COLUMNS
    assert good == {
        "path": "x.png",
        **good["top"][0],
        "top": [{"index": 1, "label": "één", "score": 0.5}],
        "error": None,
    }
    assert bad == {**dict.fromkeys(COLUMNS), "path": "bad", "error": "is empty (0 bytes)"}
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]  # the parts are gone


def test_an_output_that_exists_is_refused(tmp_path):
    first = Output(tmp_path / "rows.parquet", RUN, resume=False)
    first.add(rows("x"))
    first.flush()
    with pytest.raises(NpresnetError, match=r"rows.parquet exists, unfinished; --resume"):
        Output(tmp_path / "rows.parquet", RUN, resume=False)
    first.complete()
    with pytest.raises(NpresnetError, match=r"rows.parquet exists; --resume"):
        Output(tmp_path / "rows.parquet", RUN, resume=False)


@pytest.mark.parametrize("name", ["rows.parquet", "rows"])
@pytest.mark.parametrize("how", ["path", "address"])
def test_a_cut_run_goes_on(name, how, tmp_path):
    place = tmp_path / name if how == "path" else f"file://{tmp_path}/{name}"
    cut = Output(place, RUN, resume=False)
    cut.add(rows("a", "bad"))
    cut.flush()
    cut.add(rows("lost"))  # not flushed: as if killed here
    folder = tmp_path / (f"{name}.parts" if name.endswith(".parquet") else name)
    (folder / ".part-0-0.parquet.unfinished").write_bytes(b"PAR1 half a file")
    assert sorted(paths(folder)) == ["a", "bad"]  # readable as it is
    resumed = Output(place, RUN, resume=True)
    assert resumed.done == {"a", "bad"}
    resumed.add(rows("b"))
    resumed.complete()
    assert sorted(paths(tmp_path / name)) == ["a", "b", "bad"]
    again = Output(place, RUN, resume=True)
    assert again.done == {"a", "b", "bad"}
    again.add(rows("c"))
    again.complete()
    assert sorted(paths(tmp_path / name)) == ["a", "b", "bad", "c"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not list(tmp_path.rglob("*.unfinished"))


def test_a_cut_between_the_file_and_the_end_of_its_parts_doubles_nothing(tmp_path, monkeypatch):
    place = tmp_path / "rows.parquet"
    cut = Output(place, RUN, resume=False)
    cut.add(rows("a", "b"))
    cut.flush()
    (part,) = (tmp_path / "rows.parquet.parts").glob("part-*")
    content = part.read_bytes()
    cut.complete()
    part.parent.mkdir()
    part.write_bytes(content)
    resumed = Output(place, RUN, resume=True)
    resumed.add(rows("c"))
    resumed.complete()
    assert sorted(paths(place)) == ["a", "b", "c"]


@pytest.mark.parametrize("change", [{"model": "b2"}, {"top": 3}, {"dtype": "float16"}])
def test_rows_of_two_models_are_not_mixed(change, tmp_path):
    first = Output(tmp_path / "rows", RUN, resume=False)
    first.add(rows("x"))
    first.complete()
    (name,) = change
    with pytest.raises(NpresnetError, match=f"another {name} .*use another -o"):
        Output(tmp_path / "rows", {**RUN, **change}, resume=True)


def test_a_file_of_another_program_is_not_resumed(tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"not Parquet")
    with pytest.raises(NpresnetError, match=r"rows.parquet cannot be read, so it cannot be resumed"):
        Output(tmp_path / "rows.parquet", RUN, resume=True)


@pytest.mark.parametrize("name", ["rows.parquet", "rows/part-0.parquet"])
def test_a_copy_that_lost_the_note_is_not_resumed(name, tmp_path):
    """As pandas writes it."""
    (tmp_path / "rows").mkdir()
    parquet.write_table(table([{"path": "a", "index": 1}]), tmp_path / name)
    with pytest.raises(NpresnetError, match=f"{name} lacks npresnet's note of how it was made"):
        Output(tmp_path / name.split("/")[0], RUN, resume=True)


def test_parts_by_age_and_by_length(tmp_path, monkeypatch):
    made = Output(tmp_path / "rows", RUN, resume=False)
    made.add(rows("a"))
    assert not list((tmp_path / "rows").glob("part-*"))
    monkeypatch.setattr(output, "PART_ROWS", 3)
    made.add(rows("b", "c"))
    assert len(list((tmp_path / "rows").glob("part-*"))) == 1
    monkeypatch.setattr(output, "PART_S", 0.0)
    made.add(rows("d"))
    assert len(list((tmp_path / "rows").glob("part-*"))) == 2
    assert sorted(paths(tmp_path / "rows")) == ["a", "b", "c", "d"]


def test_many_parts_become_row_groups_of_a_useful_size(tmp_path, monkeypatch):
    made = Output(tmp_path / "rows.parquet", RUN, resume=False)
    monkeypatch.setattr(output, "PART_S", 0.0)
    for name in "abcdefg":
        made.add(rows(name))
    monkeypatch.setattr(output, "PART_ROWS", 3)
    made.complete()
    assert parquet.ParquetFile(tmp_path / "rows.parquet").num_row_groups == 3
    assert paths(tmp_path / "rows.parquet") == list("abcdefg")


# --- two runs, and what else cuts one --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows.parquet", "rows"])
def test_two_runs_that_start_together(name, tmp_path):
    first = Output(tmp_path / name, RUN, resume=False)
    with pytest.raises(NpresnetError, match=r"exists.*; --resume"):
        Output(tmp_path / name, RUN, resume=False)
    first.add(rows("a"))
    first.complete()
    assert paths(tmp_path / name) == ["a"]
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("name", ["rows.parquet", "rows"])
@pytest.mark.parametrize("late", ["flush", "complete"])
def test_a_run_that_was_not_dead_stops_when_it_is_resumed(name, late, tmp_path):
    first = Output(tmp_path / name, RUN, resume=False)
    first.add(rows("a"))
    first.flush()
    first.add(rows("b"))
    second = Output(tmp_path / name, RUN, resume=True)
    assert second.done == {"a"}
    second.add(rows("b"))
    second.flush()
    with pytest.raises(NpresnetError, match=f"another run has begun to write .*{name}, so this one stops"):
        getattr(first, late)()
    first.close()  # not the second's
    second.add(rows("c"))
    second.complete()
    assert sorted(paths(tmp_path / name)) == ["a", "b", "c"]
    assert not list(tmp_path.rglob(".*"))


def test_a_run_that_is_resumed_while_it_merges_doubles_nothing(tmp_path, monkeypatch):
    place = tmp_path / "rows.parquet"
    first = Output(place, RUN, resume=False)
    first.add(rows("a"))
    first.flush()
    others: list[Output] = []
    check = first._require_owner

    def taken_over_after_the_check():
        check()
        if not others:
            others.append(Output(place, RUN, resume=True))

    monkeypatch.setattr(first, "_require_owner", taken_over_after_the_check)
    with pytest.raises(NpresnetError, match="another run has begun"):
        first.complete()
    (second,) = others
    second.add(rows("b"))
    second.complete()
    assert sorted(paths(place)) == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


def test_a_run_that_fails_before_its_first_row_leaves_nothing(tmp_path):
    Output(tmp_path / "rows.parquet", RUN, resume=False).close()
    assert not list(tmp_path.iterdir())
    Output(tmp_path / "rows.parquet", RUN, resume=False).close()


def test_a_refused_resume_is_not_the_owner(tmp_path):
    first = Output(tmp_path / "rows.parquet", RUN, resume=False)
    first.add(rows("a"))
    first.flush()
    first.close()
    with pytest.raises(NpresnetError, match="another top"):
        Output(tmp_path / "rows.parquet", {**RUN, "top": 9}, resume=True)
    assert not list(tmp_path.rglob(".*"))


def test_a_part_that_is_cut_short_names_the_way_out(tmp_path):
    cut = Output(tmp_path / "rows", RUN, resume=False)
    for name in "ab":
        cut.add(rows(name))
        cut.flush()
    broken = min((tmp_path / "rows").glob("part-*"))
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(NpresnetError, match=f"{broken.name} cannot be read.*delete it, so that its pictures are done"):
        Output(tmp_path / "rows", RUN, resume=True)
    broken.unlink()
    assert Output(tmp_path / "rows", RUN, resume=True).done == {"b"}


def test_rows_are_on_the_disk_before_they_have_their_name(tmp_path, monkeypatch):
    """Or a power cut after the parts are deleted may leave the one file empty."""
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append([p.name for p in tmp_path.iterdir()]), fsync(file)))
    made = Output(tmp_path / "rows.parquet", RUN, resume=False)
    made.add(rows("a"))
    made.complete()
    assert len(synced) == 2
    assert "rows.parquet" not in synced[1]


def test_an_address_with_options_is_a_file_too(tmp_path):
    made = Output(f"file://{tmp_path}/rows.parquet?", RUN, resume=False)
    made.add(rows("a"))
    made.complete()
    assert paths(tmp_path / "rows.parquet") == ["a"]
    assert (tmp_path / "rows.parquet").is_file()
