from __future__ import annotations

import dataclasses
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from npresnet.bench import results
from npresnet.bench.compare import Settings, compare_case
from npresnet.bench.prepare import Prepared
from tests.bench.fake_engines import engine, mean

REPOSITORY = Path(__file__).resolve().parents[2]
ERROR = 1e-7  # what the fakes' float32 may differ from float64, relative


@pytest.fixture
def prepared(tmp_path, monkeypatch) -> Prepared:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    images = np.random.default_rng(0).standard_normal((8, 3, 16, 16), dtype=np.float32)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "logits.npy", mean(images.astype(np.float64)))
    return Prepared("a.pth", str(tmp_path), 3, 16, "NumPy, float64", ERROR, "nobody")


def compare(prepared: Prepared, *engines, batch=2, **settings):
    chosen = Settings(**{"threads": 1, "rounds": 1, "seconds": 0.0, "pause_s": 0.0, "call_timeout_s": 20.0, **settings})
    lines: list[str] = []
    case = compare_case(prepared, "a", batch, engines, chosen, lines.append)
    return case, lines


def test_engines_take_turns_and_another_goes_first_each_round(prepared, tmp_path):
    diary = tmp_path / "diary"
    names = ["npresnet", "honest", "slow"]
    case, _ = compare(prepared, *map(engine, names), rounds=3, options={"diary": str(diary)})
    calls = [line.split()[0] for line in diary.read_text().splitlines()]
    checks, timed = calls[: 3 * 4], calls[3 * 4 :]  # eight images in batches of two
    assert [name for name, _ in groupby(checks)] == names
    turns = [(name, len(list(group))) for name, group in groupby(timed) if name]
    # the last of one round is not the first of the next, so each turn is one group: one warm-up, three that count
    assert turns == [(name, 4) for name in [*names, "honest", "slow", "npresnet", "slow", "npresnet", "honest"]]
    assert all(len(result.rounds_ms) == 3 for result in case.engines.values())


def test_every_call_gets_the_batch_that_is_timed(prepared, tmp_path):
    diary = tmp_path / "diary"
    compare(prepared, engine("npresnet"), batch=3, options={"diary": str(diary)})
    assert {line.split()[1] for line in diary.read_text().splitlines()} == {"3"}


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("wrong", "wrong", "RMS error 1.0e-03"),
        ("nan", "wrong", "RMS error nan"),
        ("misshapen", "wrong", "(8, 1)"),
        ("raises", "failed", "OSError"),
        ("dies_loading", "failed", "exit code 3"),
        ("dies_later", "failed", ""),
    ],
)
def test_a_bad_engine_shows_no_time_and_the_others_go_on(prepared, name, status, reason):
    case, lines = compare(prepared, engine("npresnet"), engine(name), engine("honest"), rounds=2)
    bad = case.engines[name]
    assert bad.status == status
    assert reason in bad.reason
    assert bad.stats is None
    assert case.engines["npresnet"].stats
    assert case.engines["honest"].stats
    assert set(case.to_dict()["ratios"]) == {"honest"}
    assert any(line.startswith("a batch 2: npresnet ok") for line in lines)


def test_a_stuck_engine_is_given_up(prepared):
    case, _ = compare(prepared, engine("npresnet"), engine("hangs"), call_timeout_s=1.0)
    assert case.engines["hangs"].status == "failed"
    assert "no answer" in case.engines["hangs"].reason
    assert case.engines["npresnet"].stats


def test_an_engine_that_is_not_installed_is_left_out_and_said_so(prepared):
    case, lines = compare(prepared, engine("npresnet"), engine("honest", "surely_not_installed"))
    assert case.engines["honest"].status == "absent"
    assert "a batch 2: honest absent needs surely_not_installed" in lines


def test_an_engine_that_is_held_is_asked_whether_it_obeyed(prepared):
    free = dataclasses.replace(engine("honest"), name="free", free="nothing holds it")
    engines = [engine("npresnet", loader="obeys"), engine("obeys"), engine("disobeys"), engine("honest"), free]
    case, lines = compare(prepared, *engines, isa="avx2")
    found = case.engines
    assert {name: result.status for name, result in found.items()} == {
        "npresnet": "ok",
        "obeys": "ok",
        "disobeys": "failed",
        "honest": "failed",
        "free": "free",
    }
    assert found["obeys"].instructions == {"kernels": "jit_avx2"}
    assert found["obeys"].independent == {"pooling": "x_avx512"}
    assert "kernels says 'jit_avx2, jit_avx512_core'" in found["disobeys"].reason
    assert "does not say" in found["honest"].reason, "silence is not obedience"
    assert set(case.to_dict()["ratios"]) == {"obeys"}
    assert "a batch 2: free free nothing holds it" in lines


def test_nobody_is_asked_where_nobody_was_held(prepared):
    free = dataclasses.replace(engine("honest"), name="free", free="nothing holds it")
    case, _ = compare(prepared, engine("npresnet"), engine("disobeys"), free)
    assert {result.status for result in case.engines.values()} == {"ok"}
    assert "instructions" not in case.to_dict()["engines"]["disobeys"]


def test_without_ours_there_are_times_but_no_ratios(prepared):
    case, _ = compare(prepared, engine("npresnet", loader="wrong"), engine("honest"))
    assert case.to_dict()["ratios"] == {}
    assert case.engines["honest"].stats


def test_a_slow_peer_has_a_ratio_above_one(prepared):
    case, _ = compare(prepared, engine("npresnet"), engine("slow"))
    ratio = case.to_dict()["ratios"]["slow"]
    assert ratio["ratio"] > 1  # it sleeps for 20 ms in every call
    assert ratio["lowest"] <= ratio["ratio"] <= ratio["highest"]


def test_a_result_holds_memory_versions_and_error(prepared):
    case, _ = compare(prepared, engine("npresnet"))
    entry = case.to_dict()["engines"]["npresnet"]
    assert entry["versions"] == {"fake": "1.0"}
    assert entry["error"] <= 10 * ERROR
    assert {"median_ms", "p25_ms", "p75_ms", "calls", "round_medians_ms"} <= set(entry)
    assert "rounds_ms" not in entry


def test_ratios_from_medians_with_their_range_over_the_rounds():
    entries = {
        "npresnet": {"median_ms": 2.0, "round_medians_ms": [2.0, 4.0]},
        "peer": {"median_ms": 5.0, "round_medians_ms": [6.0, 4.0]},
        "broken": {"status": "failed"},
    }
    assert results.ratios(entries) == {"peer": {"ratio": 2.5, "lowest": 1.0, "highest": 3.0}}


def test_geometric_means_over_the_cases_that_have_the_peer():
    cases = [{"ratios": {"a": {"ratio": 2.0}, "b": {"ratio": 3.0}}}, {"ratios": {"a": {"ratio": 0.5}}}]
    assert results.geometric_means(cases) == {"a": 1.0, "b": 3.0}
