from __future__ import annotations

import json

import pytest

from benchmarks import determinism as script
from benchmarks.kit import determinism
from npresnet.bench.engines import ENGINES, OURS
from tests.bench import fake_engines
from tests.support.children import no_torch_in_children

__all__ = ["no_torch_in_children"]


def silent(*_: object) -> None:
    pass


@pytest.fixture(autouse=True)
def few(monkeypatch, no_torch_in_children) -> None:
    monkeypatch.setattr(determinism, "THREADS", (1, 2))
    monkeypatch.setattr(determinism, "BATCHES", (1, 3))


def test_npresnet_gives_the_same_bits_and_the_table_counts_them(tmp_path, capsys):
    output = tmp_path / "bits.json"
    assert script.main(["--models", "cifar_resnet20", "--size", "32", "--output", str(output)]) == 0
    entry = json.loads(output.read_text())
    assert entry["kind"] == "determinism"
    assert entry["command"].startswith("python benchmarks/determinism.py --models cifar_resnet20")
    assert entry["cases"] == [
        {"model": "cifar_resnet20", "kernel": "default", "images": 8, "processes": 4, "different": 0}
    ]
    assert capsys.readouterr().out.split()[-4:] == ["cifar_resnet20", "default", "32", "0"]
    assert determinism.conditions(entry).startswith(entry["machine"]["cpu"])


def test_an_engine_whose_bits_depend_on_the_batch_is_found():
    engine = fake_engines.engine("depends_on_batch")
    entry = determinism.run(["cifar_resnet20"], [None], size=32, command="", say=silent, keep=silent, engine=engine)
    (case,) = entry["cases"]
    assert case["different"] == 2 * 8  # batch 3 at each number of threads, all eight images
    assert ENGINES[OURS].loader != engine.loader
