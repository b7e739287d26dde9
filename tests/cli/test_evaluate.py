"""npresnet eval: figures on stdout, everything else on stderr, 1 where an image failed."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from npresnet.cli.evaluate import to_text
from npresnet.model.evaluation import Evaluation
from npresnet.system.text import width
from tests.support.small import shared_model, write_pictures

COUNT = 12


@pytest.fixture
def labelled(tmp_path, monkeypatch) -> tuple[Path, list[int], list[int]]:
    """A folder of class folders, and the true and the predicted class of each image in its order."""
    monkeypatch.chdir(tmp_path)
    model = shared_model()
    paths = write_pictures(tmp_path / "pictures", COUNT)
    guesses = [prediction.index for prediction in model.predict(paths)]
    true = sorted((guess if i % 3 else (guess + 1) % 10) for i, guess in enumerate(guesses))
    order = sorted(range(COUNT), key=lambda i: (guesses[i] if i % 3 else (guesses[i] + 1) % 10, i))
    for position, i in enumerate(order):
        folder = tmp_path / "set" / model.labels[true[position]]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{position:02d}.png").write_bytes(Path(paths[i]).read_bytes())
    return tmp_path / "set", true, [guesses[i] for i in order]


def confusion(true, guesses) -> np.ndarray:
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (true, guesses), 1)
    return counts


def test_json(run, labelled, model_file):
    folder, true, guesses = labelled
    done = run("eval", folder, "--model", model_file, "--json", "--batch-size", 5)
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    right = sum(a == b for a, b in zip(true, guesses, strict=True))
    assert 0 < right < COUNT
    assert found["top1"] == pytest.approx(100 * right / COUNT)
    assert (found["images"], found["errors"]) == (COUNT, 0)
    assert [row["images"] for row in found["per_class"]] == confusion(true, guesses).sum(1).tolist()
    assert [row["correct"] for row in found["per_class"]] == confusion(true, guesses).diagonal().tolist()


def test_text(run, labelled, model_file):
    folder, true, guesses = labelled
    done = run("eval", folder, "--model", model_file)
    right = sum(a == b for a, b in zip(true, guesses, strict=True))
    first, *lines = done.out.splitlines()
    assert first == f"top-1   {100 * right / COUNT:.2f} %  {right} of {COUNT}"
    assert lines[1].startswith(f"images  {COUNT}, errors 0, ")
    labels = [shared_model().labels[index] for index in sorted(set(true))]
    assert [line.split()[0] for line in lines[4 : 4 + len(labels)]] == labels
    absent = 10 - len(labels)
    assert lines[-1] == f"{absent} class{'es' * (absent > 1)} without images"


def test_confusion_as_csv_and_as_a_picture(run, labelled, model_file):
    folder, true, guesses = labelled
    done = run("eval", folder, "--model", model_file, "--confusion", "out.csv")
    assert "wrote out.csv" in done.err
    with open("out.csv", newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head[1:] == [row[0] for row in rows] == shared_model().labels
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], int), confusion(true, guesses))
    assert run("eval", folder, "--model", model_file, "--confusion", "out.PNG").code == 0
    with Image.open("out.PNG") as picture:
        assert min(picture.size) > 560


def test_images_that_fail(run, labelled, model_file):
    folder, *_ = labelled
    class_folder = next(folder.iterdir())
    (class_folder / "cut\x1b.png").write_bytes(next(class_folder.glob("*.png")).read_bytes()[:50])
    (class_folder / "Thumbs.db").write_bytes(b"")
    done = run("eval", folder, "--model", model_file, "--json")
    found = json.loads(done.out)
    assert (done.code, found["images"], found["errors"]) == (1, COUNT, 1)
    assert "cut\\x1b.png" in done.err
    assert "cut\\x1b.png" in found["failed"][0]["path"]
    assert "1 file without the extension of an image ignored" in done.err
    assert "errors 1" in run("eval", folder, "--model", model_file).out


def test_a_mapping(run, labelled, model_file):
    folder, true, guesses = labelled
    names = {f"klasse {index}": shared_model().labels[index] for index in sorted(set(true))}
    for new, old in names.items():
        (folder / old).rename(folder / new)
    done = run("eval", folder, "--model", model_file)
    assert (done.code, done.out) == (1, "")
    assert "'klasse " in done.err
    assert "'airplane', 'automobile'" in done.err
    Path("map.json").write_text(json.dumps(names))
    done = run("eval", folder, "--model", model_file, "--classes", "map.json", "--json")
    right = sum(a == b for a, b in zip(true, guesses, strict=True))
    assert json.loads(done.out)["top1"] == pytest.approx(100 * right / COUNT)


@pytest.mark.parametrize("name", ["nowhere/out.csv", "nowhere/out.png", "folder.csv"])
def test_a_place_that_cannot_be_written_ends_at_once(run, labelled, model_file, name):
    folder, *_ = labelled
    os.makedirs("folder.csv", exist_ok=True)
    done = run("eval", folder, "--model", model_file, "--confusion", name)
    assert (done.code, done.out) == (1, "")
    assert f"--confusion {name}: " in done.err


@pytest.mark.parametrize("name", ["out", "out.xyz", "out.blp", "out.xbm", "out.hdf"])
def test_a_wrong_name_of_the_output_ends_at_once(run, labelled, model_file, name):
    folder, *_ = labelled
    done = run("eval", folder, "--model", model_file, "--confusion", name)
    assert (done.code, done.out) == (1, "")
    assert f"--confusion {name}: expected" in done.err


def test_labels_of_wide_letters_are_aligned(run, labelled, model_file):
    folder, true, _ = labelled
    names = [("\u732b" * (index % 4) or "e\u0301") + str(index) for index in range(10)]
    Path("labels.json").write_text(json.dumps(names))
    for old, new in zip(shared_model().labels, names, strict=True):
        if (folder / old).exists():
            (folder / old).rename(folder / new)
    done = run("eval", folder, "--model", model_file, "--labels", "labels.json")
    head, *rows = done.out.split("\n\n")[1].splitlines()
    assert len(set(true)) > 1
    for row in rows[: len(set(true))]:
        count = row.split()[1]
        assert width(row[: row.index(f" {count} ")]) + len(count) + 1 == head.index("images") + len("images")


def test_no_images(run, tmp_path, model_file):
    done = run("eval", tmp_path, "--model", model_file)
    assert (done.code, done.out) == (1, "")
    assert "a folder a class" in done.err


def test_columns_align_where_letters_are_wide():
    names = ["猫", "größer", "dog", "e\u0301", "犬の子"]
    pairs = {(true, (true + 1) % 5): 1 for true in range(5)}
    _, *lines = to_text(Evaluation(names, 5, 0, 5, 0, [], pairs, 1.0, [])).split("\n\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == names
    assert {width(line.split("%")[0]) for line in lines} == {6 + 2 + 7 + 2 + 7}
