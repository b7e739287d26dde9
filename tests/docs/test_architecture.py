"""The architecture page and its drawing say what the import contract and the code say."""

from __future__ import annotations

import dataclasses
import re
import sys
import xml.etree.ElementTree as ET

import pytest

from npresnet.cpu.compiler.program import Program
from npresnet.network import Network, Node
from npresnet.plan.steps import Step
from npresnet.window import Window
from tests.support.checkout import REPOSITORY
from tools import draw_architecture as drawing

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
LAYERS = drawing.read_layers()
CORE = {"Window": Window, "Node": Node, "Network": Network, "Step": Step, "Program": Program}


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    cells = [line.strip("|").split(" | ") for line in text.splitlines() if re.match(r"\| (?!---)", line)]
    return [[cell.strip() for cell in row] for row in cells[1:]]


def test_drawing_and_table_are_those_of_the_contract():
    assert drawing.main(["--check"]) == 0, "run python tools/draw_architecture.py"


def test_layers_are_those_of_the_contract():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [c for c in settings["tool"]["importlinter"]["contracts"] if c["name"] == drawing.CONTRACT]
    drawn = [layer for layer in contract["layers"] if "(_" not in layer]  # not `__main__` and the like
    assert [set(layer.rooms) for layer in LAYERS] == [set(re.findall(r"\w+", layer)) for layer in drawn]
    assert [layer.independent for layer in LAYERS] == ["|" in layer for layer in drawn]
    listed = [set(re.findall(r"`(\w+)`", row[0])) for row in rows(section("Layers"))]
    assert listed == [set(layer.rooms) for layer in LAYERS]


def test_every_room_is_drawn_and_named_as_a_package():
    svg = ET.parse(drawing.PICTURE)
    names = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text") if element.get("class") == "name"]
    assert sorted(names) == sorted(room for layer in LAYERS for room in layer.rooms)
    package = REPOSITORY / "npresnet"
    assert [name for name in names if not any((package / f"{name}{end}").exists() for end in ("", ".py"))] == []


def test_those_that_may_not_import_each_other():
    independent = [set(layer.rooms) for layer in LAYERS if layer.independent]
    said = re.search(r"may import each other, except (.*?)\. `lint", section("Layers").replace("\n", " "))[1]
    assert set(re.findall(r"`(\w+)`", said)) == set().union(*independent)


def test_the_data_s_way_climbs_the_layers():
    levels = [drawing.level_of(room, LAYERS) for room, _ in drawing.WAY]
    assert levels == sorted(set(levels))
    listed = [re.findall(r"`(\w+)`", row[3])[0] for row in rows(section("The data's way"))]
    assert listed == [room for room, _ in drawing.WAY]


def test_what_the_seams_name_exists():
    named = set(re.findall(r"`((?:npresnet|kernels)/[\w/.]*)`", section("Five seams")))
    assert len(named) >= 7
    assert [name for name in named if not (REPOSITORY / name).exists()] == []
    assert len(rows(section("Five seams"))) == 5


def test_core_types_have_these_fields():
    table = {row[0].strip("`"): row[1] for row in rows(section("Core types"))}
    assert table.keys() == CORE.keys()
    for name, kind in CORE.items():
        fields = kind._fields if issubclass(kind, tuple) else [field.name for field in dataclasses.fields(kind)]
        assert set(re.findall(r"`(\w+)`", table[name])) <= set(fields), name
        assert issubclass(kind, tuple) or kind.__dataclass_params__.frozen


def test_a_stale_drawing_is_told(tmp_path, monkeypatch, capsys):
    for name in ("PICTURE", "PAGE"):
        path = tmp_path / getattr(drawing, name).name
        path.write_text(getattr(drawing, name).read_text(encoding="utf-8").replace("plan", "plane"), encoding="utf-8")
        monkeypatch.setattr(drawing, name, path)
    monkeypatch.setattr(drawing, "REPOSITORY", tmp_path)
    monkeypatch.setattr(drawing, "read_layers", lambda: LAYERS)
    assert drawing.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().out
    assert drawing.main([]) == 0
    assert drawing.main(["--check"]) == 0
