"""Evaluation: counts from predictions that are known, whatever the source; failures counted and named."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image

import npresnet
from npresnet.errors import ArchitectureError, ImageError
from npresnet.model.class_folders import Samples
from tests.support.small import picture, write_pictures

COUNT = 23


@pytest.fixture(scope="module")
def known(model, tmp_path_factory):
    """Paths, and for each the model's own prediction; batches of 7 are ragged."""
    paths = write_pictures(tmp_path_factory.mktemp("known"), COUNT)
    return list(zip(paths, model.predict(paths, top=10), strict=True))


def ranked(prediction, rank: int) -> int:
    return prediction.top[rank].index


def rank_of(position: int) -> int:
    """The true class is the model's first, second, ... so many times each."""
    return (0, 0, 1, 4, 5, 9)[position % 6]


@pytest.fixture
def pairs(known):
    return [(path, ranked(prediction, rank_of(i))) for i, (path, prediction) in enumerate(known)]


def check(found: npresnet.Evaluation, known, pairs, labels) -> None:
    guesses = [prediction.index for _, prediction in known]
    confusion = np.zeros((10, 10), np.int64)
    for (_, true), guess in zip(pairs, guesses, strict=True):
        confusion[true, guess] += 1
    np.testing.assert_array_equal(found.confusion, confusion)
    assert (found.images, found.errors, found.failed) == (COUNT, 0, [])
    ranks = [rank_of(i) for i in range(COUNT)]
    assert found.top1 == pytest.approx(100 * ranks.count(0) / COUNT)
    assert found.top5 == pytest.approx(100 * sum(rank < 5 for rank in ranks) / COUNT)
    assert found.top1 < found.top5 < 100
    assert [row.label for row in found.per_class] == labels
    for row, counts in zip(found.per_class, confusion, strict=True):
        assert (row.images, row.correct) == (counts.sum(), counts[row.index])
        assert row.top1 == (pytest.approx(100 * row.correct / row.images) if row.images else None)
    assert found.images_per_s > 0


def as_folder(root: Path, pairs, labels) -> Path:
    for path, true in pairs:
        folder = root / labels[true]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / Path(path).name).symlink_to(path)
    return root


def by_class(known, pairs):
    """In the order of class folders."""
    order = sorted(range(COUNT), key=lambda i: (pairs[i][1], i))
    return [known[i] for i in order], [pairs[i] for i in order]


def test_a_folder(model, known, pairs, tmp_path):
    found = model.evaluate(as_folder(tmp_path, pairs, model.labels), batch_size=7)
    check(found, known, pairs, model.labels)
    assert found.notes == []
    assert "top-1" in repr(found)
    assert f"{COUNT} images, 0 errors" in repr(found)


@pytest.mark.parametrize("use_names", [False, True])
def test_a_table(model, known, pairs, tmp_path, use_names):
    with open(tmp_path / "set.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows((path, model.labels[true] if use_names else true) for path, true in pairs)
    found = model.evaluate(tmp_path / "set.csv", batch_size=5)
    check(found, known, pairs, model.labels)
    told = "the labels are numbers, which are taken as those of the classes"
    none_of_0 = "; the first class is 0, and none is of it" * all(true for _, true in pairs)
    assert found.notes == ([] if use_names else [told + none_of_0])


def test_an_iterable_of_pairs(model, known, pairs):
    check(model.evaluate(iter(pairs), batch_size=4), known, pairs, model.labels)
    opened = ((np.asarray(Image.open(path)), np.int64(true)) for path, true in pairs)
    check(model.evaluate(opened), known, pairs, model.labels)
    check(model.evaluate([(path, model.labels[true]) for path, true in pairs]), known, pairs, model.labels)


def test_as_json_types(model, pairs):
    found = model.evaluate(pairs).to_dict()
    assert (found["images"], found["errors"], len(found["per_class"])) == (COUNT, 0, 10)
    assert found["per_class"][3].keys() == {"index", "label", "images", "correct", "top1"}


def test_what_fails_is_counted_and_named(model, pairs, tmp_path):
    folder = as_folder(tmp_path / "set", pairs, model.labels)
    (folder / model.labels[2] / "cut.png").write_bytes(Path(pairs[0][0]).read_bytes()[:60])
    (folder / model.labels[7]).mkdir(exist_ok=True)
    (folder / model.labels[7] / "gone.JPG").symlink_to(tmp_path / "nowhere.jpg")
    found = model.evaluate(folder, batch_size=3)
    assert (found.images, found.errors) == (COUNT, 2)
    assert [Path(path).name for path, _ in found.failed] == ["cut.png", "gone.JPG"]
    assert found.confusion.sum() == COUNT  # failures are of no class
    assert found.to_dict()["failed"][1]["error"] == found.failed[1][1]


def test_labels_stay_with_their_images_after_failures(model, known, pairs):
    broken = [(b"no image", 9), *pairs[:11], ("missing.png", 1), *pairs[11:]]
    found = model.evaluate(broken, batch_size=4)
    assert [name for name, _ in found.failed] == ["image 0", "missing.png"]
    np.testing.assert_array_equal(found.confusion, model.evaluate(pairs).confusion)


def test_a_folder_as_an_image_is_a_failure(model, pairs, tmp_path):
    write_pictures(tmp_path / "inside", 3)
    found = model.evaluate([(str(tmp_path / "inside"), 0), *pairs])
    assert (found.images, found.errors) == (COUNT, 1)


def test_nan_logits_are_no_class(tmp_path, model):
    """argsort would put class 0 first."""
    tensors = {name: np.array(array) for name, array in model._tensors.items()}
    tensors = {name: np.full_like(array, np.nan) if array.ndim == 2 else array for name, array in tensors.items()}
    np.savez(tmp_path / "nan.npz", **tensors)
    with npresnet.load(tmp_path / "nan.npz", shortcut="A") as broken:
        found = broken.evaluate([(picture(), 0)])
    assert (found.images, found.errors, found.top1) == (0, 1, None)
    assert "NaN" in found.failed[0][1]


def test_fewer_than_five_classes_have_no_top_five():
    with npresnet.build("cifar_resnet20", num_classes=4, labels=list("abcd"), seed=1) as model:
        found = model.evaluate([(picture(), "b")])
    assert found.top5 is None
    assert found.to_dict()["top5"] is None
    assert "top-5 none" in repr(found)


@pytest.mark.parametrize("labels", [["real", "fake"], None])
def test_one_logit_decides_between_two_classes(labels):
    with npresnet.build("cifar_resnet20", num_classes=1, labels=labels, seed=2) as model:
        guesses = [model.predict(picture(seed)).index for seed in range(6)]
        true = [0, 1, 0, 1, 1, 0]
        found = model.evaluate([(picture(seed), true[seed]) for seed in range(6)])
    assert [row.label for row in found.per_class] == (labels or ["0", "1"])
    assert found.correct == sum(guess == wanted for guess, wanted in zip(guesses, true, strict=True))
    assert found.confusion.sum() == 6
    assert found.top5 is None


def test_one_label_for_one_logit_is_refused():
    with (
        npresnet.build("cifar_resnet20", num_classes=1, labels=["fake"], seed=2) as model,
        pytest.raises(ArchitectureError, match=r"name below 0\.5"),
    ):
        model.evaluate([(picture(), 0)])


def test_a_model_without_labels_takes_folders_in_sorted_order(tmp_path):
    for name in ("zebra", "Ant", "bee"):
        write_pictures(tmp_path / name, 1)
    with npresnet.build("cifar_resnet20", num_classes=3, seed=3) as model:
        assert model.labels is None
        found = model.evaluate(tmp_path)
        guess = model.predict(str(tmp_path / "bee" / "000.png")).index
    assert found.confusion[:, guess].tolist() == [1, 1, 1]  # the picture is the same in each
    assert found.notes == [
        "the model has no labels: the 3 folders in sorted order are its classes, as torchvision numbers them"
    ]


class DataSet(list):
    """As torchvision's: pairs (image, number), and the names of its classes in their order."""

    def __init__(self, pairs, classes):
        super().__init__(pairs)
        self.classes = classes


def test_a_data_set_that_numbers_its_classes_in_its_own_way(model, known, pairs):
    names = sorted(model.labels, reverse=True)
    shuffled = DataSet([(path, names.index(model.labels[true])) for path, true in pairs], names)
    assert names != model.labels
    with pytest.raises(ArchitectureError, match=r"the data set numbers its classes as .*dict\(enumerate"):
        model.evaluate(shuffled)
    check(model.evaluate(shuffled, classes=dict(enumerate(shuffled.classes))), known, pairs, model.labels)
    part = DataSet(shuffled[:2], None)  # as torch's Subset
    part.dataset = shuffled
    with pytest.raises(ArchitectureError, match="the data set numbers its classes as"):
        model.evaluate(part)
    some = DataSet([], model.labels[1:3])
    with pytest.raises(ArchitectureError, match="the data set numbers its classes as"):
        model.evaluate(some)
    for classes in (list(model.labels), ["wolf", "lynx"], [("a", "b")], None):
        check(model.evaluate(DataSet(pairs, classes)), known, pairs, model.labels)
    check(model.evaluate(DataSet(pairs, names), classes="index"), known, pairs, model.labels)


@pytest.mark.parametrize("use_labels", [False, True])
def test_numbers_that_may_count_from_1_are_told(tmp_path, use_labels):
    for name in ("1", "2"):
        write_pictures(tmp_path / name, 1)
    (tmp_path / "set.csv").write_text("1/000.png,1\n2/000.png,2\n")
    labels = ["ant", "bee", "crane"] if use_labels else None
    with npresnet.build("cifar_resnet20", num_classes=3, labels=labels, seed=3) as model:
        for source in (tmp_path / "set.csv", *([] if use_labels else [tmp_path])):
            assert "the first class is 0, and none is of it" in " ".join(model.evaluate(source).notes)


def test_not_labelled(model, tmp_path, pairs):
    with pytest.raises(ImageError, match="not a pair"):
        model.evaluate([path for path, _ in pairs])
    for source, advice in (
        (pandas.DataFrame(pairs, columns=["path", "label"]), r"of a table pass zip\(table\['path'\], "),
        (dict(pairs), r"of a dict pass its items\(\)"),
        ([{"image": path, "label": label} for path, label in pairs], r"of rows pass \(\(row\['image'\], "),
    ):
        with pytest.raises(ImageError, match=f"not a pair .*{advice}"):
            model.evaluate(source)
    with pytest.raises(ImageError, match="int"):
        model.evaluate(3)
    with pytest.raises(ArchitectureError, match=r"match(es)? no class"):
        model.evaluate([(picture(), 10)])
    with pytest.raises(ArchitectureError, match=r"a number or a name, got 1\.0"):
        model.evaluate([(picture(), 1.0)])


def test_an_iterable_is_read_as_it_goes(model):
    """Pictures are not gathered: never more than two batches are ahead of what was counted."""
    ahead = []
    done = 0

    def count(_: int) -> None:
        nonlocal done
        done += 1

    def images():
        for seed in range(40):
            ahead.append(seed - done)
            yield picture(seed % 3), 0

    assert model.evaluate(images(), batch_size=2, progress=count).images == 40
    assert done == 40
    assert max(ahead) <= 6


def test_samples_may_be_read_before(model, pairs, known):
    labels = model.labels
    samples = Samples("x", "labels", sorted(labels), [(path, labels[true]) for path, true in pairs])
    check(model.evaluate(samples), known, pairs, labels)
