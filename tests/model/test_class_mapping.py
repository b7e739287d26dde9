"""Mappings from names to a model's classes: dicts and files, and what is said of those that lack something."""

from __future__ import annotations

import json
import unicodedata

import pytest

from npresnet.errors import ArchitectureError
from npresnet.model.class_matching import lookup, match

ANIMALS = ["tench, Tinca tinca", "hot dog", "Saint Bernard, St Bernard", "dog"]


def mapped(names, classes, kind="folders", model_labels=ANIMALS):
    return match(names, model_labels, 4, classes, kind)


def test_mappings(tmp_path):
    mapping = {"perro": "dog", "salchicha": "Hot Dog", "tenca": 0, "unused": 2}
    names = ["perro", "salchicha", "tenca"]
    assert mapped(names, mapping) == [3, 1, 0]
    (tmp_path / "m.json").write_text(json.dumps(mapping))
    (tmp_path / "m.csv").write_text('name,label\nperro,dog\nsalchicha,"Hot Dog"\ntenca,0\n')
    (tmp_path / "n.csv").write_text("perro,dog\nsalchicha,Hot Dog\ntenca,0\n")
    for name in ("m.json", "m.csv", "n.csv"):
        assert mapped(names, str(tmp_path / name)) == [3, 1, 0]


def test_names_that_the_mac_has_taken_apart():
    taken_apart = unicodedata.normalize("NFD", "B\u00e4r")
    assert mapped([taken_apart], {"B\u00e4r": "dog"}) == mapped(["B\u00e4r"], {taken_apart: "dog"}) == [3]


def test_numbers_as_numbers_and_as_text():
    """Of `dict(enumerate(dataset.classes))`, and of the same through JSON."""
    for mapping in ({7: "dog", 8: "hot dog"}, {"7": "dog", "8": "hot dog"}):
        assert mapped(["7", "8"], mapping, "labels") == [3, 1]
        assert [lookup(ANIMALS, 4, mapping)(label) for label in (7, "8")] == [3, 1]


def test_names_without_an_entry_are_told_with_the_entries_and_the_classes():
    with pytest.raises(ArchitectureError) as caught:
        mapped(["gato", "pero"], {"perro": "dog", "gato": "hot dog"})
    assert str(caught.value) == (
        "1 of 2 folders have no entry in the mapping: 'pero'; its entries: 'perro', 'gato'; the model's labels, "
        "numbered from 0 to 3: 'tench, Tinca tinca', 'hot dog', 'Saint Bernard, St Bernard', 'dog'"
    )
    with pytest.raises(
        ArchitectureError, match=r"^2 labels have no entry in the mapping: 'a', 'b'; its entries: none; "
    ):
        mapped(["a", "b"], {}, "labels")
    with pytest.raises(ArchitectureError, match=r"^1 folder has no entry in the mapping: 'gato'; its entries: 'cat';"):
        mapped(["gato"], {"cat": 1})
    with pytest.raises(ArchitectureError, match=r"^1 label has no entry in the mapping: '9'; its entries: '7';"):
        lookup(ANIMALS, 4, {7: "dog"})(9)


@pytest.mark.parametrize("target", [4, -1, "4", "wolf", "", 1.0, True, None, ["dog"], {}])
def test_entries_that_name_no_class_are_told(target):
    with pytest.raises(ArchitectureError) as caught:
        mapped(["gato", "perro"], {"gato": target, "perro": 3, "unused": "lynx"})
    text = str(caught.value)
    assert text.startswith(
        f"1 entry of the mapping names no class of the model: 'gato': {target!r}; the model's labels, "
    )
    assert "'tench, Tinca tinca', 'hot dog'" in text
    assert "have no entry" not in text


def test_numbers_of_a_model_without_labels():
    with pytest.raises(
        ArchitectureError,
        match=r": 'gato': 'cat'; the model has no labels, only numbers from 0 to 3$",
    ):
        mapped(["gato"], {"gato": "cat"}, model_labels=None)


def test_all_that_lacks_is_told_at_once_and_shortly():
    names = [f"{'long ' * 30}{number:03d}" for number in range(200)]
    mapping = dict.fromkeys(names[:100], f"{'wolf ' * 30}")
    with pytest.raises(ArchitectureError) as caught:
        mapped(names, mapping)
    text = str(caught.value)
    assert text.startswith("100 of 200 folders have no entry in the mapping: 'long long")
    assert "; 100 entries of the mapping name no class of the model: 'long long" in text
    assert text.endswith("numbered from 0 to 3: 'tench, Tinca tinca', 'hot dog', 'Saint Bernard, St Bernard', 'dog'")
    assert len(text) < 1000
    assert "left out" not in text


def test_an_entry_that_may_mean_several_classes_is_told():
    labels = ["ant", "crane, bird", "crane, machine", "bee"]
    with pytest.raises(
        ArchitectureError, match=r"entry 'Kran': 'crane' may mean any of the classes \[1, 2\] of the model"
    ):
        mapped(["Kran"], {"Kran": "crane"}, model_labels=labels)
    assert mapped(["Kran"], {"Kran": "crane, machine"}, model_labels=labels) == [2]


def test_a_file_that_says_two_things_of_a_name(tmp_path):
    (tmp_path / "two.json").write_text('{"perro": 1, "perro": 2}')
    with pytest.raises(ArchitectureError, match="says both 1 and 2 of 'perro'"):
        mapped(["perro"], tmp_path / "two.json")


@pytest.mark.parametrize("classes", ["sort", "missing.json", 3])
def test_not_a_way(classes):
    with pytest.raises(ArchitectureError, match="'names', 'sorted', 'index'"):
        mapped(["dog"], classes)
