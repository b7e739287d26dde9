"""Class names: the built-in lists equal the frameworks', files in all common forms are read, others are refused."""

from __future__ import annotations

import csv
import io
import json
import tarfile

import numpy as np
import pytest

from npresnet.errors import ArchitectureError, CheckpointError
from npresnet.model import labels
from tests.support.torchvision_import import import_torchvision

ABC = ["ant", "bee", "crane"]


def test_imagenet_is_torchvisions():
    models = import_torchvision().models
    assert list(labels.IMAGENET) == models.ResNet50_Weights.IMAGENET1K_V2.meta["categories"]


def test_imagenet_names_the_photos(data_dir):
    with open(data_dir / "photos" / "labels.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 51
    assert [labels.IMAGENET[int(row["imagenet_index"])].lower() for row in rows] == [
        row["name"].lower() for row in rows
    ]


def test_built_in_names():
    assert len(labels.IMAGENET) == 1000
    assert (labels.IMAGENET[0], labels.IMAGENET[281], labels.IMAGENET[999]) == ("tench", "tabby", "toilet tissue")
    assert all(name == name.strip() and name for name in labels.IMAGENET)
    assert labels.read("imagenet") == labels.read("ImageNet") == list(labels.IMAGENET)
    assert labels.read("cifar10") == list(labels.CIFAR10)
    assert labels.CIFAR10.index("cat") == 3


def test_callers_may_modify_the_result():
    labels.read("imagenet")[0] = "changed"
    labels.read("cifar10")[0] = "changed"
    assert labels.read("imagenet")[0] == "tench"
    assert labels.read("cifar10")[0] == "airplane"


def test_none_and_lists():
    assert labels.read(None) is None
    assert labels.read(ABC) == ABC
    assert labels.read(tuple(ABC)) == ABC
    assert labels.read(np.array(ABC)) == ABC
    assert labels.read(iter(ABC)) == ABC
    assert labels.read(range(3)) == ["0", "1", "2"]
    assert type(labels.read(np.array(ABC))[0]) is str


def test_cifar10_folders(data_dir):
    """The ten names sort like the folders of the test data."""
    with tarfile.open(data_dir / "cifar10" / "test.tar") as archive:
        folders = {member.name.split("/")[1] for member in archive if member.isfile()}
    assert sorted(folders) == list(labels.CIFAR10)


TEXTS = [
    ("plain", b"ant\nbee\ncrane\n"),
    ("no last newline", b"ant\nbee\ncrane"),
    ("Windows", b"ant\r\nbee\r\ncrane\r\n"),
    ("UTF-8 mark", b"\xef\xbb\xbfant\nbee\ncrane\n"),
    ("UTF-16", "ant\nbee\ncrane\n".encode("utf-16")),
    ("UTF-16 big", b"\xfe\xff" + "ant\r\nbee\r\ncrane".encode("utf-16-be")),
    ("empty lines at the end", b"ant\nbee\ncrane\n\n \n\r\n"),
    ("spaces", b"  ant\nbee \n\tcrane\n"),
]
PARSED = [
    ABC,
    {"0": "ant", "1": "bee", "2": "crane"},
    {"2": "crane", "0": "ant", "1": "bee"},
    {"ant": 0, "bee": 1, "crane": 2},
    {"crane": 2, "ant": 0, "bee": 1},
    {"0": ["n02219486", "ant"], "1": ["n02206856", "bee"], "2": ["n02012849", "crane"]},
    [["n02219486", "ant"], ["n02206856", "bee"], ["n02012849", "crane"]],
    {"id2label": {"0": "ant", "1": "bee", "2": "crane"}, "label2id": {"ant": 0, "bee": 1}, "num_channels": 3},
    {"class_to_idx": {"crane": 2, "ant": 0, "bee": 1}},
    {"classes": ABC, "version": 1},
    {"labels": ABC},
    [["bee", 1], ["ant", 0], ["crane", 2]],
    {"classes": [[2, "crane"], [0, "ant"], [1, "bee"]]},
    {"names": {"0": "ant", "1": "bee", "2": "crane"}},
]


@pytest.mark.parametrize("data", [row[1] for row in TEXTS], ids=[row[0] for row in TEXTS])
def test_text_files(tmp_path, data):
    (tmp_path / "labels.txt").write_bytes(data)
    assert labels.read(tmp_path / "labels.txt") == ABC
    assert labels.read(str(tmp_path / "labels.txt")) == ABC


@pytest.mark.parametrize("parsed", PARSED, ids=str)
def test_json_files_and_dicts(tmp_path, parsed):
    assert labels.read(parsed) == ABC
    for name in ("labels.json", "LABELS.JSON", "labels.txt"):
        (tmp_path / name).write_text("\n " + json.dumps(parsed), encoding="utf-8")
        assert labels.read(tmp_path / name) == ABC


def test_integer_keys():
    assert labels.read({1: "bee", 0: "ant", 2: "crane"}) == ABC


def test_classes_that_are_numbers():
    """Folders called 0, 1, 2, 10 sort as strings: torchvision's class_to_idx then gives class "10" the index 2."""
    assert labels.read({"0": 0, "1": 1, "10": 2, "2": 3}) == ["0", "1", "10", "2"]
    assert labels.read({"class_to_idx": {"1": 0, "0": 1}}) == ["1", "0"]
    assert labels.read({"1": 0, "0": 1}) == ["1", "0"]
    assert labels.read({"0": 7, "1": 8}) == ["7", "8"]


def test_names_that_are_not_english(tmp_path):
    (tmp_path / "labels.txt").write_text("蟻\nBiene – Œuvre\n", encoding="utf-8")
    assert labels.read(tmp_path / "labels.txt") == ["蟻", "Biene – Œuvre"]


def test_text_that_looks_like_json(tmp_path):
    (tmp_path / "labels.txt").write_text("[cat]\n[dog]\n", encoding="utf-8")
    assert labels.read(tmp_path / "labels.txt") == ["[cat]", "[dog]"]


def test_a_file_wins_over_the_built_in_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet").mkdir()
    assert len(labels.read("imagenet")) == 1000  # a folder of photos is not a label file
    (tmp_path / "cifar10").write_text("ant\nbee\n", encoding="utf-8")
    assert labels.read("cifar10") == ["ant", "bee"]


UNREADABLE = [
    ("latin.txt", "caf\u00e9\n".encode("latin-1"), "is not UTF-8 text"),
    ("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", "is not UTF-8 text"),
    ("cut.json", b'["ant", "bee"', "is not valid JSON"),
    ("deep.json", b"[" * 100_000, "is not valid JSON"),
    ("empty.json", b"", "is not valid JSON"),
    ("huge.txt", b"a\n" * (9 * 2**20), "larger than 16 MiB"),
]


@pytest.mark.parametrize(("name", "data", "match"), UNREADABLE, ids=[row[0] for row in UNREADABLE])
def test_unreadable_files(tmp_path, name, data, match):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=match) as caught:
        labels.read(tmp_path / name)
    assert name in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(CheckpointError, match=r"no such label file: .*absent.txt; .*'imagenet' or 'cifar10'"):
        labels.read(tmp_path / "absent.txt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        labels.read(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        labels.read("a\0b")
    with pytest.raises(CheckpointError, match="no such label file: imagenet22k"):
        labels.read("imagenet22k")


NO_NAMES = [
    ("empty.txt", b"", "there are no names"),
    ("blank.txt", b"\n \n", "there are no names"),
    ("gap.txt", b"ant\n\ncrane\n", r"line 2 of .*gap.txt is empty"),
    ("gap.json", b'{"0": "ant", "2": "crane"}', "each index from 0 to 1 once"),
    ("from1.json", b'{"1": "ant", "2": "bee"}', "each index from 0 to 1 once"),
    ("twice.json", b'{"ant": 0, "bee": 0}', "each index from 0 to 1 once"),
    ("string.json", b'"ant"', "expected an ordered list of names"),
    ("number.json", b"5", "expected an ordered list of names"),
    ("null.json", b"null", "expected an ordered list of names"),
    ("nested.json", b'[{"name": "ant"}]', "expected a class name"),
    ("nulls.json", b'["ant", null]', "expected a class name.* got None"),
    ("blank.json", b'["ant", " "]', "expected a class name.* got ' '"),
    ("pairs.json", b'[["ant", 1], ["bee", 2]]', "each index from 0 to 1 once"),
    ("pair.json", b'[["ant", 0], ["ant", 1]]', "the key 'ant' stands there twice"),
    ("both.json", b"[[1, 0], [2, 1], [0, 2]]", "all are numbers"),
    ("ids.json", b'{"0": ["n1", 5], "1": ["n2", 7]}', "expected a class name as the last item, got"),
    ("nothing.json", b"[]", "there are no names"),
    ("nothing2.json", b"{}", "there are no names"),
]


@pytest.mark.parametrize(("name", "data", "match"), NO_NAMES, ids=[row[0] for row in NO_NAMES])
def test_files_without_a_list_of_names(tmp_path, name, data, match):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ArchitectureError, match=match) as caught:
        labels.read(tmp_path / name)
    assert name in str(caught.value)


BAD = [[], {}, {"ant"}, 5, b"ant", [1.5], [None], [True], [""], [[]], {0: "ant", 2: "bee"}, {"ant": "bee"}]


@pytest.mark.parametrize("source", BAD, ids=repr)
def test_other_values(source):
    with pytest.raises(ArchitectureError):
        labels.read(source)


def test_one_name_per_class():
    labels.check(ABC, 3)
    labels.check(None, 3)
    for names, count in ((ABC, 2), (ABC, 4), (list(labels.CIFAR10), 1000)):
        with pytest.raises(ArchitectureError, match=f"expected {count} labels, .* got {len(names)}"):
            labels.check(names, count)


def test_one_sigmoid_has_one_or_two_names():
    labels.check(["fake"], 1, "sigmoid")
    labels.check(["real", "fake"], 1, "sigmoid")
    labels.check(None, 1, "sigmoid")
    with pytest.raises(ArchitectureError, match=r"expected 1 or 2 labels.* each side of 0\.5, got 3"):
        labels.check(ABC, 1, "sigmoid")
    with pytest.raises(ArchitectureError, match=r"expected 1 labels.* got 2"):
        labels.check(ABC[:2], 1, "softmax")
    with pytest.raises(ArchitectureError, match=r"expected 2 labels.* got 3"):
        labels.check(ABC, 2, "sigmoid")


def test_unknown_attributes():
    with pytest.raises(AttributeError, match="no attribute 'COCO'"):
        _ = labels.COCO


# --- classes that are numbers, and whose keys are names ------------------------------------------------------------


def sorted_as_folders(count):
    """torchvision's ImageFolder over folders 0 .. count-1: {"0": 0, "1": 1, "10": 2, ...}."""
    return {name: index for index, name in enumerate(sorted(map(str, range(count))))}


@pytest.mark.parametrize("count", [3, 11, 43, 120])
@pytest.mark.parametrize("wrapped", [None, "class_to_idx", "label2id", "classes", "names"])
def test_folders_of_numbers(tmp_path, count, wrapped):
    table = sorted_as_folders(count)
    source = table if wrapped is None else {wrapped: table}
    (tmp_path / "names.json").write_text(json.dumps(source), encoding="utf-8")
    assert labels.read(source) == labels.read(tmp_path / "names.json") == list(table)


def test_what_names_its_keys_is_taken_at_its_word():
    table = {"0": 2, "1": 0, "2": 1}
    for key in ("id2label", "idx_to_class", "idx2label", "index_to_name"):
        assert labels.read({key: table}) == ["2", "0", "1"]
    for key in ("class_to_idx", "label2id"):
        assert labels.read({key: table}) == ["1", "2", "0"]
    assert labels.read({"class_to_idx": {0: 2, 1: 0, 2: 1}}) == ["1", "2", "0"]
    with pytest.raises(ArchitectureError, match="each index from 0 to 1 once"):
        labels.read({"id2label": {"ant": 0, "bee": 1}})
    with pytest.raises(ArchitectureError, match="each index from 0 to 1 once"):
        labels.read({"class_to_idx": {"0": "ant", "1": "bee"}})


def test_several_keys_of_names_must_agree():
    assert labels.read({"classes": ABC, "names": ABC, "nc": 3}) == ABC
    assert labels.read({"id2label": dict(enumerate(ABC)), "labels": [0, 1, 1]}) == ABC
    with pytest.raises(ArchitectureError, match="any of 'classes', 'labels', which differ"):
        labels.read({"classes": ABC, "labels": [0, 1, 1, 0]})


def test_numbers_that_name_numbers():
    """Digits: {index: digit} if the values are no indices; both readings where they agree; else refused."""
    assert labels.read({0: 3, 1: 5, 2: 8}) == labels.read({"0": 3, "1": 5, "2": 8}) == ["3", "5", "8"]
    assert labels.read({0: 0, 1: 1, 2: 2}) == ["0", "1", "2"]
    assert labels.read({0: 1, 1: 0, 2: 2}) == ["1", "0", "2"]  # its own inverse
    with pytest.raises(
        ArchitectureError, match=r'can be \{index: name\} or \{name: index\}.*"class_to_idx".*"id2label"'
    ):
        labels.read({0: 1, 1: 2, 2: 0})


PYTHON = [
    "{0: 'ant',\n 1: 'bee',\n 2: 'crane'}",
    "{'ant': 0, 'bee': 1, 'crane': 2}\n",
    "['ant', 'bee', 'crane']",
    "{0: 'ant', 1: \"bee\", 2: 'crane',}",
    "{'class_to_idx': {'ant': 0, 'bee': 1, 'crane': 2}}",
]


@pytest.mark.parametrize("text", PYTHON)
def test_text_files_of_python(tmp_path, text):
    """As `print(dataset.class_to_idx)` writes it, and the lists of ImageNet's names that circulate."""
    (tmp_path / "names.txt").write_text(text, encoding="utf-8")
    assert labels.read(tmp_path / "names.txt") == ABC


@pytest.mark.parametrize("text", ["{ant}\n{bee}\n", "[ant]\n[bee]", "(ant)\n(bee)"])
def test_names_in_brackets(tmp_path, text):
    (tmp_path / "names.txt").write_text(text, encoding="utf-8")
    assert labels.read(tmp_path / "names.txt") == text.splitlines()


def test_sets_have_no_order(tmp_path):
    (tmp_path / "names.txt").write_text("{'ant', 'bee'}", encoding="utf-8")
    with pytest.raises(ArchitectureError, match="expected an ordered list"):
        labels.read(tmp_path / "names.txt")


# --- what callers pass -----------------------------------------------------------------------------------------------


def test_views_of_a_dict_have_its_order():
    table = {"ant": 0, "bee": 1, "crane": 2}
    assert labels.read(table.keys()) == labels.read(table.items()) == ABC
    assert labels.read(dict(enumerate(ABC)).values()) == labels.read(dict(enumerate(ABC)).items()) == ABC
    assert labels.read({"crane": 2, "ant": 0, "bee": 1}.items()) == ABC
    with pytest.raises(ArchitectureError, match="expected an ordered list"):
        labels.read(table.keys() | {"dog"})


def test_columns():
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    table = pandas.DataFrame({"id": [0, 1, 2], "name": ABC})
    for column in (table["name"], pandas.Index(ABC), pyarrow.array(ABC), pyarrow.table({"name": ABC})["name"]):
        assert labels.read(column) == ABC
    for whole in (table, table[["name"]], pyarrow.table({"name": ABC})):
        with pytest.raises(ArchitectureError, match=r"got a table; pass its column of names as a list"):
            labels.read(whole)


def test_files_are_passed_by_their_path(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("ant\nbee\ncrane\n", encoding="utf-8")
    for mode in ("r", "rb"):
        with (
            open(path, mode) as file,
            pytest.raises(ArchitectureError, match=r"a file object; pass its path, .*names\.txt"),
        ):
            labels.read(file)
    with pytest.raises(ArchitectureError, match="a file object; pass its path"):
        labels.read(io.StringIO("ant\nbee\n"))


OTHERS = {
    "bytes": (bytearray(b"ant\nbee"), r"got bytes, b'ant\\nbee'; pass a list of str"),
    "a view of bytes": (memoryview(b"ant"), "got bytes"),
    "no axes": (np.array("ant"), "expected an ordered list"),
    "two axes": (np.array([["0", "ant"], ["1", "bee"]]), "expected an ordered list"),
    "a function": (len, "got a function; call it"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_objects_are_named(name):
    source, match = OTHERS[name]
    with pytest.raises(ArchitectureError, match=match) as caught:
        labels.read(source)
    assert "\n" not in str(caught.value)


def test_names_in_one_text_are_no_path():
    for text in ("ant\nbee", "ant,bee", "", "ant\n" * 2000):
        with pytest.raises(CheckpointError, match="label file") as caught:
            labels.read(text)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
    with pytest.raises(CheckpointError, match="a URL, not a file; download it first"):
        labels.read("https://example.org/names.txt")
