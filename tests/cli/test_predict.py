"""npresnet predict: which images, in which form."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import sys

import pytest

import npresnet
from npresnet.model.prediction import Prediction
from npresnet.system.text import width
from tests.support.small import write_pictures


def test_text(run, expected, model_file):
    done = run("predict", "photos", "--model", model_file, "--threads", 2)
    assert done.code == 0
    rows, (device, times) = done.out.splitlines(), done.err.splitlines()
    assert len(rows) == len(expected)
    for row, (path, prediction) in zip(rows, expected.items(), strict=True):
        found = re.fullmatch(r"(\S+) +(\w+) +(\d+\.\d\d)% +(\d+\.\d) ms", row)
        assert found is not None, row
        assert found.groups()[:2] == (path, prediction.label)
        assert float(found[3]) == pytest.approx(100 * prediction.score, abs=0.006)
    assert re.fullmatch(r"npresnet: CPU: .+, 2 threads", device)
    assert re.fullmatch(r"npresnet: 5 images in \d+\.\d ms, mean \d+\.\d ms", times)


def test_text_with_more_candidates(run, expected, model_file):
    done = run("predict", "photos/000.png", "photos/001.png", "--model", model_file, "--top", 3)
    rows = [line.split() for line in done.out.splitlines()]
    assert [len(row) for row in rows] == [5, 2, 2, 5, 2, 2]
    assert [row[-4 if len(row) == 5 else 0] for row in rows[:3]] == [
        c.label for c in expected["photos/000.png"].top[:3]
    ]


def check_record(record: dict, prediction: Prediction, top: int) -> None:
    assert list(record) == ["path", "index", "label", "score", "top"]
    assert (record["index"], record["label"]) == (prediction.index, prediction.label)
    assert record["score"] == pytest.approx(prediction.score, rel=1e-6)
    assert [candidate["index"] for candidate in record["top"]] == [c.index for c in prediction.top][:top]
    assert all(list(candidate) == ["index", "label", "score"] for candidate in record["top"])


@pytest.mark.parametrize("top", [None, 2])
def test_json(run, expected, model_file, top):
    done = run("predict", "photos", "--model", model_file, "--json", *([] if top is None else ["--top", top]))
    assert (done.code, done.err) == (0, "")
    records = json.loads(done.out)
    assert [record["path"] for record in records] == list(expected)
    for record in records:
        check_record(record, expected[record["path"]], top or 5)


def test_json_lines(run, expected, model_file):
    done = run("predict", "photos", "--model", model_file, "--jsonl", "--batch-size", 2)
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [record["path"] for record in records] == list(expected)
    for record in records:
        check_record(record, expected[record["path"]], 5)


def test_csv(run, expected, model_file):
    done = run("predict", "photos", "--model", model_file, "--csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert list(rows[0]) == ["path", "index", "label", "score", "error"]
    for row in rows:
        assert row["error"] == ""
        prediction = expected[row["path"]]
        assert (int(row["index"]), row["label"]) == (prediction.index, prediction.label)
        assert float(row["score"]) == pytest.approx(prediction.score, rel=1e-6)


def test_paths_with_commas_and_quotes(run, folder, model_file):
    name = 'a "b", c.png'
    (folder / "photos" / "000.png").rename(folder / name)
    (row,) = csv.DictReader(io.StringIO(run("predict", name, "--model", model_file, "--csv").out))
    assert row["path"] == name
    (record,) = json.loads(run("predict", name, "--model", model_file, "--json").out)
    assert record["path"] == name


def test_files_globs_and_folders_in_order(run, folder, model_file):
    done = run("predict", "photos/003.png", "photos/*1.png", "photos", "--model", model_file, "--csv")
    paths = [row["path"] for row in csv.DictReader(io.StringIO(done.out))]
    assert paths == ["photos/003.png", "photos/001.png", *(f"photos/{number:03d}.png" for number in range(5))]


def test_labels_cannot_control_the_terminal(run, folder, model_file):
    labels = folder / "labels.json"
    labels.write_text(json.dumps([f"\x1b[31m{number}\n" for number in range(10)]))
    done = run("predict", "photos/000.png", "--model", model_file, "--labels", labels)
    assert done.code == 0
    assert "\\x1b[31m" in done.out
    assert "\x1b" not in done.out


def test_line_ends_in_names(run, folder, model_file):
    name = "a\nb\r.png"
    (folder / "photos" / "000.png").rename(folder / name)
    (row,) = csv.DictReader(io.StringIO(run("predict", name, "--model", model_file, "--csv").out, newline=""))
    assert row["path"] == r"a\nb\r.png"


def test_stdin(run, folder, model_file):
    done = run(
        "predict", "-", "--model", model_file, "--csv", stdin="photos/002.png\n\n  \t\nphotos/000.png\r\nphotos/001.png"
    )
    assert [row["path"] for row in csv.DictReader(io.StringIO(done.out))] == [
        "photos/002.png",
        "photos/000.png",
        "photos/001.png",
    ]
    assert done.code == 0


@pytest.mark.parametrize(("asked", "candidates"), [(1, 1), (3, 3), (99, 10)])
def test_csv_with_more_candidates(run, expected, model_file, asked, candidates):
    done = run("predict", "photos", "broken.png", "--model", model_file, "--csv", "--top", asked)
    *rows, broken = csv.DictReader(io.StringIO(done.out))
    ranks = ["", *range(2, candidates + 1)]
    columns = [f"{name}{rank}" for rank in ranks for name in ("index", "label", "score")]
    assert list(rows[0]) == ["path", *columns, "error"]
    for row in rows:
        for rank, candidate in zip(ranks, expected[row["path"]].top, strict=False):
            assert (int(row[f"index{rank}"]), row[f"label{rank}"]) == (candidate.index, candidate.label)
            assert float(row[f"score{rank}"]) == pytest.approx(candidate.score, rel=1e-6)
    assert "broken.png" in broken.pop("error")
    assert set(broken.values()) == {"broken.png", ""}


WITH_FAILURES = ["photos/000.png", "broken.png", "missing.png", "photos/001.png", "empty", "photos/*.xyz"]


def records_of(text: str, form: str) -> list[dict]:
    if form == "json":
        return json.loads(text)
    if form == "jsonl":
        return [json.loads(line) for line in text.splitlines()]
    rows = csv.DictReader(io.StringIO(text))
    return [{name: cell for name, cell in row.items() if cell != ""} for row in rows]


def check_failures(records: list[dict], err: str) -> None:
    """Each argument has its record at its place; a failure has its error there and on stderr, once."""
    assert [record["path"] for record in records] == WITH_FAILURES
    for record in records:
        if record["path"].endswith(("000.png", "001.png")):
            assert "error" not in record
            assert record["label"]
        else:
            assert list(record) == ["path", "error"]
            assert record["error"] in err
            assert sum(record["path"] in line for line in err.splitlines()) == 1


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
@pytest.mark.parametrize("batch_size", [1, 32])
def test_failures_are_records_at_their_place(run, folder, model_file, form, batch_size):
    (folder / "empty").mkdir()
    done = run("predict", *WITH_FAILURES, "--model", model_file, f"--{form}", "--batch-size", batch_size)
    assert done.code == 1
    check_failures(records_of(done.out, form), done.err)
    assert all(line.startswith("npresnet: ") for line in done.err.splitlines())


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_nothing_to_predict(run, folder, model_file, form):
    done = run("predict", "missing.png", "absent/", "--model", model_file, f"--{form}")
    assert done.code == 1
    assert [record["path"] for record in records_of(done.out, form)] == ["missing.png", "absent/"]
    assert [record["error"] in done.err for record in records_of(done.out, form)] == [True, True]
    done = run("predict", "-", "--model", model_file, f"--{form}")
    assert (done.code, records_of(done.out, form)) == (1, [])
    assert done.err.count("\n") == 1
    assert "- expects paths, one a line" in done.err


def test_text_has_failures_on_stderr_alone(run, folder, model_file):
    done = run("predict", *WITH_FAILURES[:4], "--model", model_file)
    assert [line.split()[0] for line in done.out.splitlines()] == ["photos/000.png", "photos/001.png"]
    assert "broken.png" in done.err
    assert "'missing.png'" in done.err


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.json", "out.jsonl", "out.NDJSON", "out.csv"])
def test_a_file_by_its_suffix(run, folder, model_file, name):
    (folder / "empty").mkdir()
    done = run("predict", *WITH_FAILURES, "--model", model_file, "-o", name)
    assert (done.code, done.out) == (1, "")
    form = name.lower().rpartition(".")[2].replace("ndjson", "jsonl")
    check_failures(records_of((folder / name).read_text(), form), done.err.rpartition("npresnet: wrote")[0])
    assert done.err.splitlines()[-1] == f"npresnet: wrote {name}: 6 images, 4 of them failed"


def test_parquet(run, folder, model_file, expected, monkeypatch):
    from npresnet.cli import output

    (folder / "empty").mkdir()
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(output.Parquet, "ROWS", 4)  # groups of rows
    done = run("predict", *WITH_FAILURES, "--model", model_file, "-o", "out.parquet", "--top", 3)
    assert done.code == 1
    table = pq.read_table("out.parquet")
    assert table.column_names == ["path", "index", "label", "score", "top", "error"]
    rows = table.to_pylist()
    check_failures([{name: cell for name, cell in row.items() if cell is not None} for row in rows], done.err)
    best = expected["photos/001.png"].top
    assert [candidate["label"] for candidate in rows[3]["top"]] == [candidate.label for candidate in best[:3]]
    assert rows[3]["score"] == pytest.approx(best[0].score, rel=1e-6)


def test_parquet_without_pyarrow_is_told_before_any_image_is_read(run, folder, model_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = run("predict", "photos", "--model", model_file, "-o", "out.parquet")
    assert (done.code, done.out) == (1, "")
    assert "the package pyarrow, which is not installed: python -m pip install 'npresnet[parquet]'; or" in done.err
    assert not (folder / "out.parquet").exists()


@pytest.mark.parametrize("name", ["out.json", "out.csv", "out.parquet"])
def test_after_an_error_a_file_is_as_it_was(run, folder, model_file, monkeypatch, name):
    (folder / name).write_bytes(b"precious")
    stream = npresnet.Model.stream

    def failing(self, *args, **options):
        yield from itertools.islice(stream(self, *args, **options), 2)
        raise npresnet.DeviceError("out of luck")

    monkeypatch.setattr(npresnet.Model, "stream", failing)
    done = run("predict", "photos", "--model", model_file, "-o", name)
    assert (done.code, done.out) == (1, "")
    assert "wrote" not in done.err
    assert (folder / name).read_bytes() == b"precious"
    assert sorted(path.name for path in folder.iterdir()) == sorted(["broken.png", "photos", name])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-o", "out.txt"], ".parquet"),
        (["-o", "out"], ".parquet"),
        (["-o", "out.csv", "--json"], "--json contradicts the name out.csv"),
        (["--jsonl", "-o", "out.json"], "--jsonl contradicts the name out.json"),
    ],
)
def test_forms_that_contradict_each_other(run, folder, model_file, words, told):
    done = run("predict", "photos", "--model", model_file, *words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert not list(folder.glob("out*"))


def test_any_name_where_the_form_is_said_and_stdout(run, folder, model_file):
    assert run("predict", "photos", "--model", model_file, "--csv", "-o", "table.txt").code == 0
    assert len((folder / "table.txt").read_text().splitlines()) == 6
    assert len(json.loads(run("predict", "photos", "--model", model_file, "--json", "-o", "-").out)) == 5
    done = run("predict", "photos", "--model", model_file, "-o", "absent/out.csv")
    assert (done.code, done.out) == (1, "")
    assert "absent/out.csv" in done.err


def test_recursive(run, folder, model_file):
    write_pictures(folder / "photos" / "sub" / "deep", 2)
    write_pictures(folder / "photos" / "also", 1)
    own = [f"photos/{number:03d}.png" for number in range(5)]
    below = ["photos/also/000.png", "photos/sub/deep/000.png", "photos/sub/deep/001.png"]
    words = ("predict", "photos", "--model", model_file, "--csv")
    assert [row["path"] for row in records_of(run(*words).out, "csv")] == own
    done = run(*words, "--recursive")
    assert (done.code, [row["path"] for row in records_of(done.out, "csv")]) == (0, own + below)


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_a_bad_link_costs_its_own_entry(run, folder, model_file):
    os.symlink("nowhere.png", "photos/002b.png")
    os.symlink("circle.png", "photos/circle.png")
    done = run("predict", "photos", "--model", model_file, "--jsonl")
    assert done.code == 1
    records = records_of(done.out, "jsonl")
    assert [record["path"] for record in records if "error" in record] == ["photos/002b.png", "photos/circle.png"]
    assert [record["path"] for record in records][2:4] == ["photos/002.png", "photos/002b.png"]
    assert len(records) == 7


def test_wide_letters_align(run, folder, model_file):
    names = ["a.png", "猫.png", "ねこの写真.png", "e\u0301.png", "👩\u200d👧.png", "고양이.png"]
    for number, name in enumerate(names):
        write_pictures(folder / f"p{number}", 1)
        (folder / f"p{number}" / "000.png").rename(folder / name)
    (folder / "labels.json").write_text(json.dumps([f"{'犬' * (n % 4)}{n}" for n in range(10)]))
    done = run("predict", *names, "--model", model_file, "--labels", "labels.json", "--top", 10)
    ends = {width(line[: line.index("%")]) for line in done.out.splitlines()}
    assert len(ends) == 1
    starts = {width(line[: re.search(r"犬*\d ", line).start()]) for line in done.out.splitlines() if "png" in line}
    assert len(starts) == 1


def test_without_a_model_the_demo_model_is_used_and_named(run, folder):
    done = run("predict", "photos/000.png", "--json")
    assert done.code == 0
    assert "demo model" in done.err
    assert "--model resnet18" in done.err
    (record,) = json.loads(done.out)
    assert record["label"] in ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
