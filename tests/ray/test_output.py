"""Rows in Parquet: parts that are whole at any moment, the file made of them, and what a resumed run accepts."""

from __future__ import annotations

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
    (part,) = (tmp_path / "rows.parquet.parts").iterdir()
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


def test_parts_by_age_and_by_length(tmp_path, monkeypatch):
    made = Output(tmp_path / "rows", RUN, resume=False)
    made.add(rows("a"))
    assert not list(tmp_path.iterdir())  # nothing is made before there are rows
    monkeypatch.setattr(output, "PART_ROWS", 3)
    made.add(rows("b", "c"))
    assert len(list((tmp_path / "rows").iterdir())) == 1
    monkeypatch.setattr(output, "PART_S", 0.0)
    made.add(rows("d"))
    assert len(list((tmp_path / "rows").iterdir())) == 2
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
