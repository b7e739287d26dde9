"""docs/families.md shows the results of the sweep, and the registry's options and names."""

from __future__ import annotations

import json

import pytest

from benchmarks import families
from benchmarks.kit.sweep import tables


def test_the_page_shows_the_results():
    assert families.main(["--check"]) == 0, "run python benchmarks/families.py --page"


def test_nothing_is_silently_wrong():
    entry = json.loads(families.OUTPUT.read_text(encoding="utf-8"))
    assert not tables.has_failed(entry), tables.summary(entry)
    runs = [row for row in entry["resnets"] if row["library"] == "timm" and row["verdict"] in ("runs", "needs")]
    assert len(runs) >= 200


def test_another_page_is_noticed_and_rewritten(tmp_path, monkeypatch):
    page = tmp_path / "families.md"
    page.write_text(families.PAGE.read_text(encoding="utf-8").replace("silently wrong", "right"), encoding="utf-8")
    monkeypatch.setattr(families, "PAGE", page)
    assert families.main(["--check"]) == 1
    assert families.main(["--page"]) == 0
    assert families.main(["--check"]) == 0


def test_what_was_judged_is_not_judged_again(monkeypatch):
    from benchmarks.kit.sweep.names import Name

    names = [Name("timm", "resnet", "resnet18"), Name("torchvision", "resnet", "resnet18")]
    monkeypatch.setattr(families, "resnets", lambda: names)
    done = {"resnets": [{"library": "timm", "name": "resnet18"}], "homes": [], "strangers": []}
    found = families.planned(["resnets"], None, done)
    assert [job.arguments for job in found] == [(names[1],)]
    assert families.planned(["resnets"], "50", done) == []
    homes = families.planned(["homes"], "^fastai$", done)
    assert [job.unknown for job in homes] == [{"home": "fastai"}]


@pytest.mark.parametrize("record", [{"home": "a"}, {"name": "a", "library": "timm"}, {"module": "a"}])
def test_records_go_to_their_part(record):
    assert families.part_of(record) == {"home": "homes", "name": "resnets", "module": "strangers"}[next(iter(record))]
