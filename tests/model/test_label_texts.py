"""Label files as people write, print and download them: read by a rule, or refused with their first lines."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from npresnet.errors import ArchitectureError
from npresnet.model import labels

ABC = ["ant", "bee", "crane"]
FISH = ["tench, Tinca tinca", "goldfish, Carassius auratus", "great white shark, white shark"]

READ = [
    ("0:ant\n1:bee\n2:crane\n", ABC),
    ("0: ant\n1 : bee\n2:  crane\n", ABC),
    ("0 ant\n1 bee\n2 crane", ABC),
    ("0,ant\n1,bee\n2,crane\n", ABC),
    ("0\tant\n1\tbee\n2\tcrane\n", ABC),
    ("0;ant\n1;bee\n2;crane\n", ABC),
    ("2 crane\n0 ant\n1 bee\n", ABC),
    ("00 ant\n01 bee\n02 crane\n", ABC),
    ("ant,0\nbee,1\ncrane,2\n", ABC),
    ("crane\t2\nant\t0\nbee\t1\n", ABC),
    ("ant: 0\nbee: 1\ncrane: 2\n", ABC),
    ("index,name\n0,ant\n1,bee\n2,crane\n", ABC),
    ("class,id\ncrane,2\nant,0\nbee,1\n", ABC),
    ('0,"ant"\n1,"bee"\n2,"crane"\n', ABC),
    ('0,"tench, Tinca tinca"\n1,"goldfish, Carassius auratus"\n2,"great white shark, white shark"\n', FISH),
    ("0:tench, Tinca tinca\n1:goldfish, Carassius auratus\n2:great white shark, white shark\n", FISH),
    ("0,n02219486,ant\n1,n02206856,bee\n2,n02012849,crane\n", ABC),
    ("0 7-up\n1 3 musketeers\n2 10:30", ["7-up", "3 musketeers", "10:30"]),
    ("0 Class 1\n1 Class 2\n", ["Class 1", "Class 2"]),
    ("class,idx\n0,0\n1,1\n10,2\n2,3\n", ["0", "1", "10", "2"]),
    ("name;index\n1;0\n2;1\n0;2\n", ["1", "2", "0"]),
    ("index;name\n1;0\n2;1\n0;2\n", ["2", "0", "1"]),
    ("12,0\n7,1\n", ["12", "7"]),
    ("0 12\n1 007\n", ["12", "007"]),
    ("0: 1\n1: 0\n", ["1", "0"]),
    # one line
    ("ant,bee,crane", ABC),
    ("ant, bee, crane\n\n", ABC),
    ('"ant","bee","crane"', ABC),
    ('ant,"bee, big",crane', ["ant", "bee, big", "crane"]),
    ("ant;bee;crane", ABC),
    ("ant\tbee\tcrane\n", ABC),
    ("3,1,2", ["3", "1", "2"]),
    ("0,1,2", ["0", "1", "2"]),
    ("fake\n", ["fake"]),
    ("0 fake\n", ["fake"]),
    # printed
    (str(ABC), ABC),
    (str(tuple(ABC)), ABC),
    (str(np.array(ABC)), ABC),
    (np.array2string(np.array([f"name {i}" for i in range(40)]), threshold=100), [f"name {i}" for i in range(40)]),
    ("'ant',\n'bee',\n'crane',\n", ABC),
    ('"ant"\n"bee"\n"crane"', ABC),
    (repr(dict(enumerate(FISH))).replace(", 1", ",\n 1"), FISH),
    # names that look like more
    ("2012 Audi\n2012 BMW\n2011 Audi\n", ["2012 Audi", "2012 BMW", "2011 Audi"]),
    ("7 up\ncola\n", ["7 up", "cola"]),
    ("zone 0\nzone 1\nzone 2\n", ["zone 0", "zone 1", "zone 2"]),
    ("737-800\n737-900\n", ["737-800", "737-900"]),
    ("10\n20\n30\n", ["10", "20", "30"]),
    ("tench, Tinca tinca\ngoldfish, Carassius auratus\n", FISH[:2]),
    ("bird (2)\nsky [night]\n", ["bird (2)", "sky [night]"]),
    ("rock 'n' roll\nit's\n", ["rock 'n' roll", "it's"]),
    ("-\n+\n*\n", ["-", "+", "*"]),
    ("- 1\nplus\n", ["- 1", "plus"]),
    ("1.5 mm\n2.5 mm\n", ["1.5 mm", "2.5 mm"]),
    ("1. FC\n3. Liga\n", ["1. FC", "3. Liga"]),
    ("0_ant\n1_bee\n", ["0_ant", "1_bee"]),
    ("'quoted' ant\n'70s\n", ["'quoted' ant", "'70s"]),
    ("etc.\nand so on.\n", ["etc.", "and so on."]),
    ("n02219486 ant\nn02206856 bee, wasp\n", ["ant", "bee, wasp"]),
    ("n02219486,ant\nn02206856,bee\n", ["ant", "bee"]),
    ("n02219486\nn02206856\n", ["n02219486", "n02206856"]),
    ("n02219486 ant\nbee\n", ["n02219486 ant", "bee"]),
    ("C#\nF#\n#hashtag\n", ["C#", "F#", "#hashtag"]),
    ("#ant\n#bee\n", ["#ant", "#bee"]),
    ("type 1 diabetes\ntype 2 diabetes\n", ["type 1 diabetes", "type 2 diabetes"]),
    ("class 1\nclass 2\n", ["class 1", "class 2"]),
    ("Grade 0\nGrade 1\n", ["Grade 0", "Grade 1"]),
    ("x=1\ny\n", ["x=1", "y"]),
    ("a|b\nc\n", ["a|b", "c"]),
    ("(0-2)\n(4-6)\n", ["(0-2)", "(4-6)"]),
    ("<unk>\nant\n", ["<unk>", "ant"]),
    ("dog\nname\n", ["dog", "name"]),
    ("A: one\nB: two\n", ["A: one", "B: two"]),
    ("0 1 star\n1 2 stars\n2 3 stars\n", ["1 star", "2 stars", "3 stars"]),
    ("index,name\n0,1 star\n1,2 stars\n", ["1 star", "2 stars"]),
    ("'1 star',\n'2 stars',\n", ["1 star", "2 stars"]),
    ("T=0\nT=1\nT=2\n", ["T=0", "T=1", "T=2"]),
    ("C=O\nC=C\nN=O\n", ["C=O", "C=C", "N=O"]),
    (";)\n:(\n", [";)", ":("]),
    (";\n,\n.\n", [";", ",", "."]),
    ("\\frac{a}{b}\n\\{\n=\n|\n#\n(\n}\n", ["\\frac{a}{b}", "\\{", "=", "|", "#", "(", "}"]),
    # columns
    ('"0","ant"\n"1","bee"\n"2","crane"\n', ABC),
    ('"index"\t"name"\n"0"\t"ant"\n"1"\t"bee"\n"2"\t"crane"\n', ABC),
    ('"ant","0"\n"bee","1"\n"crane","2"\n', ABC),
    (",name\n0,ant\n1,bee\n2,crane\n", ABC),
    (",0\n0,ant\n1,bee\n2,crane\n", ABC),
    ("index,name,colour\n0,ant,red\n1,bee,brown\n2,crane,grey\n", ABC),
    ("colour;label;id\nred;ant;0\ngrey;crane;2\nbrown;bee;1\n", ABC),
    (',id,name\n0,0,"tench, Tinca tinca"\n1,1,"goldfish, Carassius auratus"\n', FISH[:2]),
]


def read(folder, text: str, name: str = "labels.txt") -> list[str]:
    (folder / name).write_text(text, encoding="utf-8")
    return labels.read(folder / name)


@pytest.mark.parametrize(("text", "expected"), READ, ids=[row[0][:30] for row in READ])
def test_texts(tmp_path, text, expected):
    assert read(tmp_path, text) == expected
    assert read(tmp_path, text.replace("\n", "\r\n")) == expected


def test_keras_s_index_and_the_dict_of_imagenet_s_names(tmp_path):
    index = {str(i): [f"n{i:08d}", name] for i, name in enumerate(labels.IMAGENET)}
    assert read(tmp_path, json.dumps(index), "imagenet_class_index.json") == list(labels.IMAGENET)
    text = "{" + ",\n ".join(f"{i}: {name!r}" for i, name in enumerate(labels.IMAGENET)) + "}"
    assert read(tmp_path, text, "imagenet1000_clsidx_to_labels.txt") == list(labels.IMAGENET)


REFUSED = [
    ("1 ant\n2 bee\n3 crane\n", "not the indices from 0 to 2"),
    ("1:ant\n2:bee\n", "not the indices from 0 to 1"),
    ("0:ant\n0:bee\n", "not the indices from 0 to 1"),
    ("0,ant\n2,crane\n", "not the indices from 0 to 1"),
    ("ant,1\nbee,2\n", "not the indices from 0 to 1"),
    ("ant,3\nbee,3\n", "not the indices from 0 to 1"),
    ("5 cats\n10 dogs\n", "not the indices from 0 to 1"),
    ("index,name\n1,ant\n2,bee\n", "not the indices from 0 to 1"),
    ("index,name\n0,ant\nbee\n", "other lines lack"),
    ("1,0\n2,1\n0,2\n", "both numbers of each line may be the index"),
    ("0 0\n1 1\n10 2\n2 3\n3 4\n4 5\n5 6\n6 7\n7 8\n8 9\n9 10\n", "both numbers of each line"),
    ("index,name\n12,0\n7,1\n", "not the indices from 0 to 1"),
    ("ant 0\nbee 1\ncrane 2\n", "its index or part of its name"),
    ("1 ant", "not the indices from 0 to 0"),
    ("1. ant\n2. bee\n", "begins with a number"),
    ("1) bee\n0) ant\n", "begins with a number"),
    ("[0] ant, wasp\n[1] bee\n", "neither JSON nor a list"),
    ("2|crane\n0|ant\n1|bee\n", "begins with a number"),
    ("0=ant\n1=bee\n", "begins with a number"),
    ("0 - ant\n1 - bee\n", "every name begins with '-'"),
    ("0 -> ant\n1 -> bee\n", "every name begins with '->'"),
    ("- ant\n- bee\n", "every name begins with '-'"),
    ("\u2022 ant\n\u2022 bee\n", "every name begins with"),
    ('"ant\n"bee\n', "every name begins with"),
    ("ant,\nbee,\ncrane\n", "every name ends in ','"),
    ("0: 'ant',\n1: 'bee',\n", "every name ends in ','"),
    ("ant;\nbee;\n", "every name ends in ';'"),
    ("| ant |\n| bee |\n", "every name begins with '|'"),
    ("0,ant", "one class or two"),
    ("ant,1", "one class or two"),
    ("['ant', 'bee' 'crane']", "without a comma"),
    ("{0: 'ant' 'bee'}", "without a comma"),
    ("['ant' 'bee' ... 'yak' 'zebra']", "neither JSON nor a list"),
    ("[ant\nbee", "neither JSON nor a list"),
    ("[ant, bee]", "neither JSON nor a list"),
    ("{0: ant}\n", "neither JSON nor a list"),
    ("[__import__('os')]", "neither JSON nor a list"),
    ("{0: 1 + 1}\n", "neither JSON nor a list"),
    ("{0: 'ant', 1: 'bee', 1: 'crane'}", "stands there twice"),
    ('{"id": 0, "name": "ant"}\n{"id": 1, "name": "bee"}\n', "neither JSON nor a list"),
    ("classes = ['ant', 'bee']\n", "code"),
    ("array(['ant', 'bee'],\n      dtype='<U3')", "code"),
    ("dict_keys(['ant', 'bee'])", "code"),
    ("CLASSES = [\n  'ant',\n  'bee',\n]\n", "code"),
    ("<!DOCTYPE html>\n<html><body>404</body></html>", "another kind of file"),
    ("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 12", "another kind of file"),
    ("'ant',\n'bee'\n'crane'\n", "commas end some lines"),
    ("'ant'\n'\\xz'\n", "no string as Python prints it"),
    ("ant\nbee\0\n", "NUL"),
    (f"ant\n{'x' * 2000}\n", "more than 1,000 characters"),
    # numbers with other marks, before and behind
    ("ant=0\nbee=1\ncrane=2\n", "every line has '='"),
    ("ant = 0\nbee = 1\n", "ends in a number"),
    ("ant -> 0\nbee -> 1\n", "ends in a number"),
    ("ant=12\nbee=7\n", "every line has '='"),
    ("ant|0\nbee|1\n", "every line has '|'"),
    ("ant (0)\nbee (1)\n", "ends in a number"),
    ("ant [1]\nbee [2]\n", "ends in a number"),
    ("\u87fb\uff1a0\n\u8702\uff1a1\n", "ends in a number"),
    ("0\uff1a\u87fb\n1\uff1a\u8702\n", "begins with a number"),
    ("class 0: ant\nclass 1: bee\n", "begins with a number"),
    ("Class 1 - ant\nClass 2 - bee\n", "begins with a number"),
    ("label 0 ant\nlabel 1 bee\n", "begins with a number"),
    ("LABEL_0: ant\nLABEL_1: bee\n", "begins with a number"),
    ("class.0=ant\nclass.1=bee\n", "begins with a number"),
    ("#0 ant\n#1 bee\n", "begins with a number"),
    ("0.0,ant\n1.0,bee\n", "begins with a number"),
    ("n02219486 1 ant\nn02206856 2 bee\n", "begins with a number"),
    # keys
    ('name: "ant"\nname: "bee"\n', "has a key before it"),
    ("name: ant\nname: bee\n", "has a key before it"),
    ("Class: ant\nClass: bee\n", "has a key before it"),
    ("id: 0\nname: ant\nid: 1\nname: bee\n", "has a key before it"),
    ("- name: ant\n  id: 0\n- name: bee\n  id: 1\n", "has a key before it"),
    ("tag: 'ant'\ntag: 'bee'\n", "has a key before it"),
    ("classes= 2\ntrain = train.txt\nnames = obj.names\n", "has a key before it"),
    ("eins=ant\nzwei=bee\n", "every line has '='"),
    ("item {\n  id: 1\n  name: 'ant'\n}\n\nitem {\n  id: 2\n  name: 'bee'\n}\n", "code, or another kind"),
    ("item { id: 1 name: 'ant' }\nitem { id: 2 name: 'bee' }\n", "code, or another kind"),
    ("enum Class {\n  ANT = 0,\n  BEE = 1,\n};\n", "code, or another kind"),
    ("enum { ANT, BEE };", "code, or another kind"),
    ("export default {0: 'ant', 1: 'bee'};", "code, or another kind"),
    ("tf.Tensor([b'ant' b'bee'], shape=(2,), dtype=string)", "code, or another kind"),
    ("<classes><class>ant</class></classes>", "code, or another kind"),
    ("{\n0 = ant\n1 = bee\n}", "neither JSON nor a list"),
    ('[labels]\n0 = "ant"\n1 = "bee"\n', "neither JSON nor a list"),
    # comments and headings
    ("# my labels\nant\nbee\n", "'# my labels' may be a comment or a name"),
    ("# my labels\n\nant\nbee\n", "may be a comment"),
    ("#my labels\nant\nbee\n", "may be a comment"),
    ("# index name\n0 ant\n1 bee\n", "may be a comment"),
    ("// my labels\nant\nbee\n", "may be a comment"),
    ("; my labels\nant\nbee\n", "may be a comment"),
    ("ant\nbee\n# the end\n", "'# the end' may be a comment"),
    ("# ant", "may be a comment"),
    ("# ant\n# bee\n", "every name begins with '#'"),
    ("ant # small\nbee # loud\n", "every line has '#'"),
    ("name\nant\nbee\n", "names' heading or a name"),
    ('"Label"\n"ant"\n"bee"\n', "names' heading or a name"),
    ("label,category\nant,insect\nbee,insect\n", "names' heading or a name"),
    ("Animals:\nant\nbee\n", "may be a heading"),
    ("label:\n  - ant\n  - bee\n", "may be a heading"),
    ("2\nant\nbee\n", "the number of names or a name"),
    ("index,name", "name columns"),
    ("nr,nom\n0,ant\n1,bee\n", "every line but the first has a number"),
    ("    name\n0    ant\n1    bee\n", "names' heading or a name"),
    ("0    ant\n1    bee\ndtype: object\n", "code, or another kind"),
    ("index,name,colour\n0,ant,red\n1,bee\n", "other lines lack"),
    ("'ant' 'bee'\n", "without a comma"),
]


@pytest.mark.parametrize(("text", "match"), REFUSED, ids=[row[0][:30] for row in REFUSED])
def test_texts_that_are_refused(tmp_path, text, match):
    with pytest.raises(ArchitectureError, match=match) as caught:
        read(tmp_path, text)
    shown = str(caught.value)
    assert "labels.txt" in shown
    assert f"It begins: {text.splitlines()[0][:60].strip()}" in shown
    assert "one name a line" in shown
    assert len(shown) < 1000


def test_a_key_that_json_says_twice(tmp_path):
    for name in ("labels.json", "labels.txt"):
        with pytest.raises(ArchitectureError, match="'1' stands there twice"):
            read(tmp_path, '{"0": "ant", "1": "bee", "1": "crane"}', name)


def test_numbers_that_are_names(tmp_path):
    """The rule: items of a list are names; of a dict the numbers that are no text are indices."""
    assert read(tmp_path, "[5, 3, 0]") == ["5", "3", "0"]
    assert read(tmp_path, '{"0": "7", "1": "3"}') == ["7", "3"]
    assert read(tmp_path, '{"0": 0, "1": 1, "10": 2}') == ["0", "1", "10"]


@pytest.mark.parametrize(
    "text",
    [
        "'" + "\\'" * 400_000,
        "1" + "\t" * 900 + "x\n" * 3,
        "(" * 200_000,
        "a" + "\t" * 10**6,
        ("a" + "\t" * 900 + "1x\n") * 4000,
    ],
)
def test_hostile_texts_take_no_time(tmp_path, text):
    start = time.process_time()
    with pytest.raises(ArchitectureError):
        labels.check(read(tmp_path, text), 1000)
    assert time.process_time() - start < 5


# --- YAML ------------------------------------------------------------------------------------------------------------

YAML = [
    "names: [ant, bee, crane]\n",
    "names: ['ant', \"bee\", crane]  # animals\n",
    "names:\n  - ant\n  - bee\n  - crane\n",
    "names:\n- ant\n- 'bee'\n- crane\n",
    "names:\n  0: ant\n  1: bee\n  2: crane\n",
    "names:\n  2: crane\n  0: ant\n  1: bee\n",
    "names: {0: ant, 1: bee, 2: crane}\n",
    "names: {ant: 0, crane: 2, bee: 1}\n",
    "names:\n  ant: 0\n  bee: 1\n  crane: 2\n",
    "# COCO\npath: ../set  # root\ntrain: images\nnc: 3\n\nnames:\n  0: ant\n  # the second\n  1: bee\n\n  2: crane\n\n"
    "download: |\n  import os\n  names = []\n",
    "names: [ant,\n  bee,\n  crane,\n]\nnc: 3\n",
    "---\nclasses: [ant, bee, crane]\n...\n",
    "- ant\n- bee\n- crane\n",
    "\ufeffnames: [ant, bee, crane]",
    "0: ant\n1: 'bee'\n'2': crane\n",
]


@pytest.mark.parametrize("text", YAML)
def test_yaml(tmp_path, text):
    assert read(tmp_path, text, "data.yaml") == ABC
    if "names:" in text or "classes:" in text:
        assert read(tmp_path, text, "data.txt") == ABC


def test_yaml_s_words_quotes_and_numbers(tmp_path):
    text = "names: [no, 'it''s', \"a, b\", 'x # y', 12, traffic light, c#, -5 is no name of a list]\n"
    names = ["no", "it's", "a, b", "x # y", "12", "traffic light", "c#"]
    assert read(tmp_path, text.replace(", -5 is no name of a list", ""), "data.yml") == names
    with pytest.raises(ArchitectureError, match="in quotes"):
        read(tmp_path, text, "data.yml")


NOT_YAML = [
    ("nc: 3\n", "found 0"),
    ("names: [a, b]\nclasses: [c, d]\n", "found 2"),
    ("names: &n [ant, bee]\n", "expected .names."),
    ("names: ant\n", "expected .names."),
    ("names:\n  - ant\n  - bee: 2\n", "in quotes"),
    ("names:\n  - [ant]\n", "in quotes"),
    ("names:\n  - !!str ant\n", "in quotes"),
    ("names:\n  0: ant\n    1: bee\n", "same indentation"),
    ("names:\n  0: ant\n  0: bee\n", "stands there twice"),
    ("names:\n  - 'ant\n  - bee\n", "in quotes"),
    ("names: ['ant, bee]\n", "not closed"),
    ("names: [ant, , bee]\n", "in quotes"),
    ("names: [ant, bee\nnc: 2\n", "expected .names."),
    ('names: ["a\\nb", bee]\n', "in quotes"),
    ("names: |\n  ant\n  bee\n", "expected .names."),
    ("names:\nnc: 2\n", "line 1: 'names:': expected names under the key"),
    ("names:\n\t- ant\n\t- bee\n", "line 2: '- ant': expected names under the key"),
    ("0: ant\nname: bee\n", "found 0"),
]


@pytest.mark.parametrize(("text", "match"), NOT_YAML, ids=[row[0] for row in NOT_YAML])
def test_other_yaml_is_refused(tmp_path, text, match):
    with pytest.raises(ArchitectureError, match=match) as caught:
        read(tmp_path, text, "data.yaml")
    assert "data.yaml, line " in str(caught.value)


def test_gaps_in_yaml_are_gaps(tmp_path):
    with pytest.raises(ArchitectureError, match="each index from 0 to 1 once"):
        read(tmp_path, "names:\n  1: ant\n  2: bee\n", "data.yaml")


def test_yaml_as_pyyaml_reads_it(tmp_path):
    """Where PyYAML is there, it agrees on what it writes itself."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    names = ["ant", "it's", "a, b", "x: y", "#1", "- dash", "no", "12", "", "naïve 蟻"]
    names.remove("")
    for shape in (names, dict(enumerate(names))):
        how = {"allow_unicode": True, "width": 10**6}
        assert read(tmp_path, yaml.safe_dump({"nc": 9, "names": shape}, **how), "d.yaml") == names
        flow = yaml.safe_dump(shape, default_flow_style=True, **how)
        assert read(tmp_path, f"nc: 9\nnames: {flow}", "d.yaml") == names
