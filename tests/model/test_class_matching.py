"""Names of class folders and tables against a model's labels: by rule, or refused with both lists."""

from __future__ import annotations

import csv

import pytest

from npresnet.errors import ArchitectureError
from npresnet.model import class_spelling, labels
from npresnet.model.class_matching import lookup, match
from npresnet.model.class_spelling import some_of

ANIMALS = ["tench, Tinca tinca", "hot dog", "Saint Bernard, St Bernard", "dog"]


def matched(names, model_labels=ANIMALS, classes=None, kind="folders", count=None):
    return match(names, model_labels, len(model_labels) if count is None else count, classes, kind)


def test_exact_names_win():
    assert matched(["Dog", "dog"], ["dog", "Dog"]) == [1, 0]
    assert matched(["dog", "hot dog"]) == [3, 1]


@pytest.mark.parametrize("name", ["hot dog", "Hot_Dog", "hot-dog", "HOTDOG", "hot  dog"])
def test_case_spaces_and_hyphens_do_not_count(name):
    assert matched([name]) == [1]


def test_names_that_the_mac_has_taken_apart():
    assert matched(["Ba\u0308r"], ["Wolf", "B\u00e4r"]) == [1]


@pytest.mark.parametrize("name", ["Tinca_tinca", "tench", "tench, Tinca tinca", "Tench,carp"])
def test_synonyms(name):
    assert matched([name]) == [0]


@pytest.mark.parametrize("name", ["-1", "1-0", "1 0", "2,11", "v -2"])
def test_signs_and_what_separates_digits_are_no_spelling(name):
    with pytest.raises(ArchitectureError, match=r"match(es)? no class"):
        matched([name], ["1", "10", "211", "v2"], kind="labels")


def test_numbers_in_names_are_spelled_in_several_ways():
    assert matched(["Class_1", "class-12", "1_0"], ["class 12", "class1", "1-0"]) == [1, 0, 2]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("Cardigan", ["ant", "Cardigan, Welsh corgi", "cardigan"]),
        ("maillot, tank suit", ["ant", "maillot", "maillot tank suit"]),
    ],
)
def test_a_name_that_is_nearly_one_label_and_a_synonym_of_another_is_refused(name, labels):
    with pytest.raises(ArchitectureError, match=r"may be any of the classes \[1, 2\] of the model"):
        matched([name], labels)


def test_several_classes_are_refused():
    with pytest.raises(ArchitectureError, match=r"'Crane' may be any of the classes \[1, 2\] of the model"):
        matched(["Crane"], ["ant", "crane, bird", "crane, machine"])


def test_two_folders_for_one_class_are_refused_and_two_spellings_of_a_table_are_not():
    with pytest.raises(ArchitectureError, match=r"'hot dog', 'hot_dog' match the same class, 'hot dog'"):
        matched(["hot dog", "hot_dog"])
    assert matched(["hot dog", "hot_dog"], kind="labels") == [1, 1]
    assert matched(["hot dog", "hot_dog"], classes={"hot dog": 1, "hot_dog": 1}) == [1, 1]


def test_a_mismatch_shows_both_lists_shortened():
    names = [f"class-{i}" for i in range(30)] + ["n" * 3000]
    with pytest.raises(ArchitectureError) as caught:
        matched(names, list(labels.IMAGENET))
    text = str(caught.value)
    assert "31 folders match no class" in text
    assert "'class-0', 'class-1'" in text
    assert "'tench', 'goldfish'" in text
    assert "(31)" in text
    assert "(1,000)" in text
    assert "mapping" in text
    assert len(text) < 1000


def test_the_names_that_match_none_are_told():
    with pytest.raises(ArchitectureError, match="1 of 2 folders match no class of the model: 'cat'"):
        matched(["cat", "dog"])
    with pytest.raises(ArchitectureError, match="1 folder matches no class of the model: 'Katze'"):
        matched(["Katze"])
    with pytest.raises(ArchitectureError, match="1 label matches no class of the model: 'Katze'"):
        matched(["Katze"], kind="labels")


# --- ImageNet's WordNet ids ------------------------------------------------------------------------------------------


def test_wordnet_ids_are_imagenet_s(data_dir):
    with open(data_dir / "photos" / "labels.csv", encoding="utf-8", newline="") as file:
        rows = [(row["file"][:9], int(row["imagenet_index"])) for row in csv.DictReader(file)]
    assert len(rows) == 51
    names = sorted({name for name, _ in rows})
    assert dict(zip(names, matched(names, list(labels.IMAGENET)), strict=True)) == dict(rows)


def test_wordnet_ids_are_in_torchvision_s_order():
    ids = list(class_spelling._wordnet_ids())
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    assert matched(ids, list(labels.IMAGENET)) == list(range(1000))


def test_wordnet_ids_with_names_and_other_words_for_the_same_classes():
    long_names = [f"{name}, another word" for name in labels.IMAGENET]
    assert matched(["n02110341-dalmatian", "n01440764_tench"], long_names) == [251, 0]


def test_wordnet_ids_mean_nothing_to_other_classes():
    for others in (list(reversed(labels.IMAGENET)), list(labels.IMAGENET[:500])):
        with pytest.raises(ArchitectureError, match=r"match(es)? no class"):
            matched(["n01440764"], others)


# --- order and numbers -----------------------------------------------------------------------------------------------


def test_sorted_when_asked():
    assert matched(["a", "b", "c", "d"], classes="sorted") == [0, 1, 2, 3]
    with pytest.raises(ArchitectureError, match="as many folders as the model has classes, 4; got 3"):
        matched(["a", "b", "c"], classes="sorted")


def test_sorted_without_labels_where_the_number_is_right():
    assert matched(["a", "b", "c"], None, count=3) == [0, 1, 2]
    with pytest.raises(ArchitectureError, match="has 4 classes and no labels, and the folders are 3: 'a', 'b', 'c'"):
        matched(["a", "b", "c"], None, count=4)


def test_folders_called_by_numbers():
    names = sorted(map(str, range(12)))  # "0", "1", "10", "11", "2", ...
    assert matched(names[:3], None, count=12) == [0, 1, 10]
    with pytest.raises(ArchitectureError, match=r"classes='index'.*classes='sorted'"):
        matched(names, None, count=12)
    assert matched(names, None, "sorted", count=12) == list(range(12))
    assert matched(names, None, "index", count=12) == [int(name) for name in names]
    assert matched(["0", "1", "2"], None, count=3) == [0, 1, 2]  # the same either way
    with pytest.raises(ArchitectureError, match=r"match(es)? no class"):
        matched(["0", "1", "2", "3"])  # not by number: the folders have no names of the model's


def test_numbers_in_a_table_are_the_classes():
    assert matched(["0", "3"], kind="labels") == [0, 3]
    assert matched(["0", "11"], None, kind="labels", count=12) == [0, 11]
    with pytest.raises(ArchitectureError, match=r"match(es)? no class"):
        matched(["0", "4"], kind="labels")


def test_numbers_that_no_class_has_are_told_with_those_there_are():
    with pytest.raises(ArchitectureError, match=r"'4'; the model's labels, numbered from 0 to 3: 'tench, "):
        matched(["1", "4"], kind="labels")
    with pytest.raises(ArchitectureError, match="'4'; the model has no labels, only numbers from 0 to 3"):
        matched(["1", "4"], None, kind="labels", count=4)


def test_numbers_that_are_also_names_are_asked():
    digits = ["3", "2", "1", "0"]
    with pytest.raises(ArchitectureError, match="say which is meant"):
        matched(["0", "1"], digits, kind="labels")
    assert matched(["0", "1"], digits, "names", "labels") == [3, 2]
    assert matched(["0", "1"], digits, "index", "labels") == [0, 1]
    assert matched(["0", "1"], ["0", "1", "2"], kind="labels") == [0, 1]  # the same either way


def test_one_by_one():
    find = lookup(ANIMALS, 4, None)
    assert [find("Dog"), find(2), find(True + 1)] == [3, 2, 2]
    for wrong in (4, -1, "2", "wolf", None, True):
        with pytest.raises(ArchitectureError):
            find(wrong)
    assert lookup(ANIMALS, 4, "index")("2") == 2
    assert lookup(ANIMALS, 4, {"perro": "dog", 7: 1})("perro") == 3
    assert lookup(None, 4, None)("3") == 3
    with pytest.raises(ArchitectureError, match="all names at once"):
        lookup(ANIMALS, 4, "sorted")


def test_lists_in_messages():
    assert some_of([]) == "none"
    assert some_of(["a", "b"]) == "'a', 'b'"
    assert some_of(map(str, range(7)), most=2) == "'0', '1', ... (7)"
