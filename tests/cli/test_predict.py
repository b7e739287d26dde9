"""npresnet predict: which images, in which form."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from npresnet.model.prediction import Prediction


def test_text(run, expected, model_file):
    done = run("predict", "photos", "--model", model_file, "--threads", 2)
    assert (done.code, done.err) == (0, "")
    *rows, device, times = done.out.splitlines()
    assert len(rows) == len(expected)
    for row, (path, prediction) in zip(rows, expected.items(), strict=True):
        found = re.fullmatch(r"(\S+) +(\w+) +(\d+\.\d\d)% +(\d+\.\d) ms", row)
        assert found is not None, row
        assert found.groups()[:2] == (path, prediction.label)
        assert float(found[3]) == pytest.approx(100 * prediction.score, abs=0.006)
    assert re.fullmatch(r"CPU: .+, 2 threads", device)
    assert re.fullmatch(r"5 images in \d+\.\d ms, mean \d+\.\d ms", times)


def test_text_with_more_candidates(run, expected, model_file):
    done = run("predict", "photos/000.png", "photos/001.png", "--model", model_file, "--top", 3)
    rows = [line.split() for line in done.out.splitlines()[:6]]
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
    assert list(rows[0]) == ["path", "index", "label", "score"]
    for row in rows:
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


def test_invalid_images_are_reported_and_skipped(run, folder, model_file):
    done = run(
        "predict", "photos/000.png", "broken.png", "missing.png", "photos/001.png", "--model", model_file, "--json"
    )
    assert done.code == 1
    assert [record["path"] for record in json.loads(done.out)] == ["photos/000.png", "photos/001.png"]
    assert [line for line in done.err.splitlines() if "broken.png" in line]
    assert [line for line in done.err.splitlines() if "'missing.png'" in line]
    assert all(line.startswith("npresnet: ") for line in done.err.splitlines())


@pytest.mark.parametrize(("form", "nothing"), [("--json", []), ("--jsonl", None), ("--csv", None)])
def test_nothing_to_predict(run, folder, model_file, form, nothing):
    done = run("predict", "missing.png", "--model", model_file, form)
    assert done.code == 1
    assert "missing.png" in done.err
    if nothing is not None:
        assert json.loads(done.out) == nothing
    assert run("predict", "-", "--model", model_file, form).code == 1


def test_without_a_model_the_demo_model_is_used_and_named(run, folder):
    done = run("predict", "photos/000.png", "--json")
    assert done.code == 0
    assert "demo model" in done.err
    assert "--model resnet18" in done.err
    (record,) = json.loads(done.out)
    assert record["label"] in ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
