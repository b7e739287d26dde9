from __future__ import annotations

import copy

import pytest

from benchmarks.kit import plots
from npresnet.bench.engines import ENGINES
from tests.bench.entries import engine, layers_case

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture
def race() -> dict:
    engines = {name: engine(10.0 + place) for place, name in enumerate(ENGINES)}
    cases = [
        {"model": model, "batch": batch, "macs": 10**9, "threads": 2, "engines": copy.deepcopy(engines)}
        for model in ("resnet18", "resnet34", "resnet50", "mine.npz")
        for batch in (1, 8)
    ]
    cases[0]["engines"]["torch"] = {"status": "failed"}
    return {"threads": 2, "gemm_peak_gflops": 100.0, "cases": cases}


@pytest.fixture
def case() -> dict:
    return layers_case()


def drawn(drawer, entry, path) -> str:
    drawer(entry, path)
    return path.read_text(encoding="utf-8")


def test_every_engine_has_a_colour_of_its_own():
    assert set(plots.ENGINE_STYLES) == set(ENGINES)
    assert len({colour for colour, _ in plots.ENGINE_STYLES.values()}) == len(ENGINES)


def test_throughput_shows_every_engine_on_white_and_no_date(race, tmp_path):
    text = drawn(plots.throughput, race, tmp_path / "docs" / "a.svg").lower()
    assert all(colour.lower() in text for colour, _ in plots.ENGINE_STYLES.values())
    assert "fill: #ffffff" in text
    assert "dc:date" not in text
    assert "matplotlib v" not in text


def test_the_same_results_give_the_same_bytes_and_others_do_not(race, case, tmp_path):
    for drawer, entry, changed in (
        (plots.throughput, race, race["cases"][1]["engines"]["npresnet"] | {"median_ms": 5.0}),
        (plots.layers, {"cases": [case]}, case["steps"][0] | {"ms": 5.0}),
    ):
        once = drawn(drawer, entry, tmp_path / "a.svg")
        assert drawn(drawer, entry, tmp_path / "b.svg") == once
        (race["cases"][1]["engines"]["npresnet"] if drawer is plots.throughput else case["steps"][0]).update(changed)
        assert drawn(drawer, entry, tmp_path / "c.svg") != once


def test_a_bar_a_step_of_the_largest_batch(case, tmp_path):
    small = copy.deepcopy({**case, "batch": 1})
    small["steps"][0]["algorithm"] = "an algorithm of batch 1 alone"
    text = drawn(plots.layers, {"cases": [small, case]}, tmp_path / "a.svg")
    assert text == drawn(plots.layers, {"cases": [case]}, tmp_path / "b.svg")
    used = plots.ALGORITHM_COLOURS[:3]  # direct, none, winograd
    assert all(colour.lower() in text for colour in used)
    assert plots.ALGORITHM_COLOURS[3].lower() not in text
