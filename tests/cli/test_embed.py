"""npresnet embed."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import npresnet
from tests.support.small import shared_model


def test_embed_prints_json(run, folder, model_file):
    done = run("embed", "photos", "--model", model_file)
    assert (done.code, done.err) == (0, "")
    records = json.loads(done.out)
    assert [record["path"] for record in records] == [f"photos/{number:03d}.png" for number in range(5)]
    expected = shared_model().embed([record["path"] for record in records])
    np.testing.assert_array_equal(np.array([record["embedding"] for record in records], np.float32), expected)


def test_embed_writes_npy(run, folder, model_file):
    done = run("embed", "photos/003.png", "photos/001.png", "--model", model_file, "-o", "out.npy")
    assert (done.code, done.out) == (0, "")
    assert "wrote out.npy: 2 images" in done.err
    found = np.load("out.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, shared_model().embed(["photos/003.png", "photos/001.png"]))


def test_embed_continues_after_an_invalid_image(run, folder, model_file):
    done = run("embed", "broken.png", "missing.png", "photos/000.png", "--model", model_file)
    assert done.code == 1
    records = json.loads(done.out)
    assert [record["path"] for record in records] == ["broken.png", "missing.png", "photos/000.png"]
    for record in records[:2]:
        assert list(record) == ["path", "error"]
        assert record["error"] in done.err
    assert list(records[2]) == ["path", "embedding"]


def test_embed_writes_no_empty_file(run, folder, model_file):
    assert run("embed", "missing.png", "--model", model_file, "-o", "out.npy").code == 1
    assert not (folder / "out.npy").exists()


IMAGES = ["photos/000.png", "broken.png", "photos/001.png", "missing.png", "photos/002.png"]
GOOD, BAD = [0, 2, 4], [1, 3]


def rows_of(name: str) -> tuple[list[str], np.ndarray, list[str]]:
    """(paths, embeddings (N, D) with NaN, errors) of any form; an .npy has only the second."""
    if name.endswith(".npy"):
        return IMAGES, np.load(name), []
    if name.endswith(".npz"):
        with np.load(name) as found:
            assert sorted(found) == ["embeddings", "errors", "paths"]
            return list(found["paths"]), found["embeddings"], list(found["errors"])
    if name.endswith(".parquet"):
        table = pytest.importorskip("pyarrow.parquet").read_table(name)
        assert table.column_names == ["path", "embedding", "error"]
        records = table.to_pylist()
    elif name.endswith(".csv"):
        with open(name, newline="") as file:
            records = [
                {
                    "path": row.pop("path"),
                    "error": row.pop("error"),
                    "embedding": [float(v or "nan") for v in row.values()],
                }
                for row in csv.DictReader(file)
            ]
    else:
        with open(name) as file:
            text = file.read()
        records = json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines()]
    nothing = [np.nan] * 64
    values = np.array([record.get("embedding") or nothing for record in records], np.float32)
    return [record["path"] for record in records], values, [record.get("error") or "" for record in records]


@pytest.mark.parametrize("batch_size", [1, 2, 32])
@pytest.mark.parametrize("suffix", ["npy", "npz", "json", "jsonl", "csv", "parquet"])
def test_failures_never_shift_rows(run, folder, model_file, suffix, batch_size):
    name = f"out.{suffix}"
    done = run("embed", *IMAGES, "--model", model_file, "-o", name, "--batch-size", batch_size)
    assert (done.code, done.out) == (1, "")
    paths, values, errors = rows_of(name)
    assert paths == IMAGES
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values[GOOD], shared_model().embed([IMAGES[number] for number in GOOD]))
    assert np.isnan(values[BAD]).all()
    assert [bool(error) for error in errors] == ([] if suffix == "npy" else [n in BAD for n in range(5)])
    assert all(done.err.count(IMAGES[number]) >= 1 for number in BAD)
    assert "wrote out" in done.err.splitlines()[-1]
    if suffix in ("npy", "npz"):
        assert "NaN stands in row 1 (broken.png), row 3 (missing.png)" in done.err


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_an_array_without_a_row_is_not_written(run, folder, model_file, suffix):
    (folder / "photos" / "bad.png").write_bytes(b"bad")
    done = run("embed", "photos/bad.png", "--model", model_file, "-o", f"out.{suffix}")
    assert done.code == 1
    assert f"out.{suffix} was not written" in done.err
    assert not (folder / f"out.{suffix}").exists()


def test_other_forms_keep_the_errors_where_all_failed(run, folder, model_file):
    for names in (["missing.png"], ["broken.png", "missing.png"]):
        assert run("embed", *names, "--model", model_file, "-o", "out.jsonl").code == 1
        records = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
        assert [record["path"] for record in records] == names


def test_suffixes_and_stdout(run, folder, model_file):
    done = run("embed", "photos", "--model", model_file, "-o", "out.pickle")
    assert (done.code, done.out) == (2, "")
    for suffix in (".npy", ".npz", ".json", ".csv", ".parquet"):
        assert suffix in done.err
    assert len(json.loads(run("embed", "photos", "--model", model_file, "-o", "-").out)) == 5


def test_a_failure_of_the_whole_leaves_the_file(run, folder, model_file, monkeypatch):
    (folder / "out.npz").write_bytes(b"precious")

    def fail(*_, **__):
        raise npresnet.DeviceError("out of luck")

    monkeypatch.setattr(npresnet.Model, "embed", fail)
    assert run("embed", "photos", "--model", model_file, "-o", "out.npz").code == 1
    assert (folder / "out.npz").read_bytes() == b"precious"


def test_recursive(run, folder, model_file):
    (folder / "photos" / "sub").mkdir()
    (folder / "photos" / "004.png").rename(folder / "photos" / "sub" / "x.png")
    done = run("embed", "photos", "--model", model_file, "--recursive")
    assert [record["path"] for record in json.loads(done.out)][-1] == "photos/sub/x.png"
