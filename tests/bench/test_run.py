from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

import npresnet
from npresnet import arch
from npresnet.bench import results
from npresnet.bench.compare import Settings
from npresnet.bench.engines import ENGINES, FAST, OURS, Engine, Job, installed
from npresnet.bench.random_weights import BRANCH_SCALE, randomise_batch_norms
from npresnet.bench.run import Race, has_failed, report_text, run
from tests.bench import fake_engines
from tests.support.children import no_torch_in_children

__all__ = ["no_torch_in_children"]

QUICK = Settings(threads=1, rounds=1, seconds=0.0, pause_s=0.0)


def silent(*_: object) -> None:
    pass


def test_our_engine_is_always_there_and_first():
    assert [engine.name for engine in Race(["resnet18"], [1], ["torch"]).chosen()] == ["npresnet", "torch"]
    assert [engine.name for engine in Race(["resnet18"], [1]).chosen()] == list(ENGINES)


def test_fast_is_chosen_only_where_it_is_asked_for():
    registry = {name: Engine(name, name, needs, "") for name, needs in [(OURS, ()), (FAST, ()), ("x", ("no_such",))]}
    assert installed(registry) == [OURS]
    assert installed(registry, fast=True) == [OURS, FAST]


def test_fast_is_the_same_engine_with_one_option_more(monkeypatch, tmp_path):
    loads = []
    monkeypatch.setattr(npresnet, "load", lambda path, **options: loads.append(options))
    module, _, function = ENGINES[FAST].loader.partition(":")
    job = Job(tmp_path, tmp_path / "m.npz", 1, 2, {"stride_on": "1x1"})
    getattr(importlib.import_module(module), function)(job)
    assert loads == [{"threads": 2, "stride_on": "1x1", "fast": True}]


def test_random_batch_norms_have_work_to_do_and_tame_each_branch():
    tensors = arch.random_tensors("resnet50", seed=0)
    changed = randomise_batch_norms(tensors, seed=1)
    assert changed.keys() == tensors.keys()
    assert all(changed[name].shape == tensors[name].shape for name in tensors)
    assert np.ptp(changed["bn1.running_mean"]) > 0
    assert changed["bn1.running_var"].min() > 0
    assert changed["layer1.0.bn3.weight"].max() < 2 * BRANCH_SCALE < changed["layer1.0.bn2.weight"].min()
    assert changed["conv1.weight"] is tensors["conv1.weight"]


def test_a_real_model_against_pytorch_from_start_to_json(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    kept: list[str] = []

    def keep(entry):
        results.write(tmp_path / "found.json", entry)
        kept.append((tmp_path / "found.json").read_text())

    race = Race(["resnet18"], [1, 3], ["torch"], size=32, onnx="npresnet")
    entry = run(race, QUICK, command="python benchmarks/vs_peers.py", say=silent, keep=keep)
    assert entry["skipped"] == []
    assert [case["batch"] for case in entry["cases"]] == [1, 3]
    for case in entry["cases"]:
        assert {name: found["status"] for name, found in case["engines"].items()} == {
            "npresnet": "ok",
            "torch": "ok",
        }
        assert set(case["ratios"]) == {"torch"}
        assert case["engines"][OURS]["blas"]
        # resnet18 has 1,814,073,344 multiply-adds at 224x224; at 32x32 each convolution has a 49th of its places
        assert case["macs"] == (1_814_073_344 - 512_000) // 49 + 512_000
    assert entry["gemm_peak_gflops"] > 0
    assert len(kept) == 2
    assert json.loads(kept[-1]) == json.loads(json.dumps(entry))
    assert str(tmp_path) not in kept[-1]
    assert "npresnet-bench-" not in kept[-1]  # the folder of the prepared files
    assert "PyTorch eager, NCHW" in report_text(entry)


def test_a_weight_file_of_ones_own_and_one_that_cannot_be_read(tmp_path, no_torch_in_children):
    (tmp_path / "broken.npz").write_bytes(b"no weights")
    with npresnet.build("resnet18", num_classes=3) as model:
        model.save(tmp_path / "mine.npz")
    registry = {OURS: ENGINES[OURS], "wrong": fake_engines.engine("wrong")}
    race = Race([str(tmp_path / "broken.npz"), str(tmp_path / "mine.npz")], [2], ["wrong"], 32, onnx="npresnet")
    entry = run(race, QUICK, command="", say=silent, keep=silent, registry=registry)
    assert [case["model"] for case in entry["cases"]] == ["mine.npz"]
    assert entry["cases"][0]["engines"]["npresnet"]["status"] == "ok"
    assert entry["cases"][0]["engines"]["wrong"]["status"] == "wrong"
    (skipped,) = entry["skipped"]
    assert skipped["model"] == "broken.npz"
    assert "CheckpointError" in skipped["reason"]


def test_a_run_that_was_cut_goes_on_where_it_was(no_torch_in_children):
    race = Race(["cifar_resnet20"], [1], [], 32, onnx="npresnet")
    registry = {OURS: ENGINES[OURS]}

    def again(batches: list[int], earlier: dict | None, settings: Settings = QUICK) -> dict:
        wanted = Race(race.models, batches, [], 32, onnx="npresnet")
        return run(wanted, settings, command="", say=silent, keep=silent, registry=registry, earlier=earlier)

    cut = again([1], None)
    cut["cases"][0]["engines"][OURS]["median_ms"] = 123.0  # to know it again
    cut["machine"]["load_average"] = 9.0
    whole = again([1, 2], cut)
    assert [case["batch"] for case in whole["cases"]] == [1, 2]
    assert whole["cases"][0] == cut["cases"][0]
    other_settings = again([1], cut, Settings(threads=1, rounds=2, seconds=0.0, pause_s=0.0))
    assert other_settings["cases"][0]["engines"][OURS]["median_ms"] != 123.0
    cut["machine"]["cpu"] = "another"
    assert again([1], cut)["cases"][0]["engines"][OURS]["median_ms"] != 123.0


def test_two_files_of_one_name_are_two_cases(tmp_path, no_torch_in_children):
    for number, name in enumerate(("one", "other")):
        (tmp_path / name).mkdir()
        with npresnet.build("cifar_resnet20", seed=number) as model:
            model.save(tmp_path / name / "model.npz")
    race = Race([str(tmp_path / name / "model.npz") for name in ("one", "other")], [1], [OURS], 32, onnx="npresnet")
    entry = run(race, QUICK, command="c", say=silent, keep=silent)
    assert [case["model"] for case in entry["cases"]] == ["model.npz"] * 2


def test_no_prepared_weights_are_left_behind(tmp_path, monkeypatch, no_torch_in_children):
    """Nor read: a second load of the same weights would store them, and be timed with them from then on."""
    monkeypatch.setenv("NPRESNET_PREPARED", "1")
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path))
    race = Race(["cifar_resnet20"], [1, 2, 3], [OURS], 32, onnx="npresnet")
    entry = run(race, QUICK, command="c", say=silent, keep=silent)
    assert [case["engines"][OURS]["status"] for case in entry["cases"]] == ["ok"] * 3
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_left_out_is_kept_and_no_folder_told(tmp_path, no_torch_in_children):
    kept = []
    missing = str(tmp_path / "my clients" / "model.pth")
    run(Race([missing], [1], [OURS], 32), QUICK, command="c", say=silent, keep=lambda entry: kept.append(dict(entry)))
    assert kept[-1]["skipped"][0]["model"] == "model.pth"
    assert "clients" not in json.dumps(kept[-1])


def test_nothing_measured_is_said():
    assert report_text({"cases": []}) == "nothing was measured"


@pytest.mark.parametrize(
    ("statuses", "skipped", "failed"),
    [(["ok", "absent"], [], False), (["ok", "wrong"], [], True), (["failed"], [], True), (["ok"], ["a model"], True)],
)
def test_what_counts_as_failed(statuses, skipped, failed):
    engines = {str(place): {"status": status} for place, status in enumerate(statuses)}
    assert has_failed({"cases": [{"engines": engines}], "skipped": skipped}) is failed


def test_a_result_is_written_whole(tmp_path):
    path = tmp_path / "new" / "found.json"
    results.write(path, {"date": "2026-01-31"})
    assert json.loads(path.read_text()) == {"date": "2026-01-31"}
    assert [found.name for found in path.parent.iterdir()] == [path.name]
