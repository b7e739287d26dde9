"""The GPU report without a GPU: its stages through the emulator, its frame and its tables on made-up findings."""

from __future__ import annotations

import json
import sys

import pytest

from npresnet.bench import gpu_ceilings, gpu_kernels, gpu_sanitizer, gpu_stages, gpu_tables
from npresnet.bench.gpu_bench import Bench, Racer
from npresnet.bench.gpu_stages import Case, Stage
from tests.bench.scripts import script
from tests.emulator import emulator

STEPS = [
    {"step": "conv1", "kernel": "mma 64x64", "flops": 2_000_000_000, "bytes": 1_000_000, "ms": 0.01},
    {"step": "conv2", "kernel": "mma 64x64", "flops": 1_000_000, "bytes": 8_000_000, "ms": 0.01},
    {"step": "pool", "kernel": "max_pool2d", "flops": 0, "bytes": 4_000_000, "ms": 0.002},
]
TIMES = {"npresnet": {"ms": 2.0}, "torch eager": {"ms": 3.0}}
ENTRY = {
    "date": "2026-01-31",
    "command": "python benchmarks/gpu_report.py",
    "gpu": {
        "name": "NVIDIA H200",
        "capability": 90,
        "multiprocessors": 132,
        "memory_gb": 150.7,
        "emulated": False,
        "versions": {"npresnet": "0.1"},
    },
    "stages": {
        "conformance": {"mma": {"result": "as the emulator's"}, "wgmma": {"problem": "wgmma: 3 of 8 numbers differ"}},
        "parity": {"resnet18 float16": {"error": 1.234e-3, "gate": 5e-3, "top1": "8 of 8", "torch_error": 2e-3}},
        "sanitizer": {"memcheck float16": {"absent": "compute-sanitizer is not installed"}},
        "ceilings": {
            "copy": {"unit": "TB/s", "rates": {"relu kernel": 3.5, "torch copy_": 4.0}},
            "product float16": {"unit": "TFLOP/s", "rates": {"wgmma": 400.0, "torch.matmul": 500.0}},
        },
        "kernels": {"resnet18 float16 batch 1": {"dtype": "float16", "graph": {"ms": 0.02}, "steps": STEPS}},
        "peers": {
            "resnet18 float16 batch 8": {"network": "resnet18", "batch": 8, "times": TIMES, "numpy_ms": 2.5},
        },
    },
}


@emulator.needed
def test_every_stage_runs_through_the_emulator(tmp_path, capsys):
    output = tmp_path / "found.json"
    words = ["--emulator", "--dtype", "float32", "--output", str(output)]
    assert script("gpu_report").main(words) == 0
    entry = json.loads(output.read_text())
    assert set(entry["stages"]) == set(gpu_tables.TITLES)
    assert not gpu_stages.has_problems(entry)
    assert entry["stages"]["parity"]["cifar_resnet8 float32"]["error"] < 1e-6
    assert '"ms"' not in output.read_text()  # no times are claimed
    assert "nothing here is a time or a speed" in (tmp_path / "found.md").read_text()
    assert str(tmp_path) not in output.read_text()
    capsys.readouterr()
    assert script("gpu_report").main(words) == 0  # all is there: nothing is measured again
    assert capsys.readouterr().err.splitlines() == ["written: found.json and found.md"]


def test_without_a_gpu_it_says_so_and_fails(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert script("gpu_report").main([]) == 1
    assert "needs an NVIDIA GPU" in capsys.readouterr().err


def test_the_emulator_s_findings_are_no_results(capsys):
    with pytest.raises(SystemExit):
        script("gpu_report").main(["--emulator"])
    assert "--output" in capsys.readouterr().err


def test_a_command_is_published_without_folders():
    words = ["--stage", "parity", "--output", "/home/me/gpu.json"]
    told = script("gpu_report").command(words)
    assert told == "python benchmarks/gpu_report.py --stage parity --output gpu.json"


class Counting:
    """A stage of three cases that counts; `faulty` ones raise."""

    def __init__(self):
        self.measured = []
        self.faulty = set()

    def stage(self):
        return Stage("counting", "", lambda bench: [Case(name, lambda name=name: self.measure(name)) for name in "abc"])

    def measure(self, name):
        self.measured.append(name)
        if name in self.faulty:
            raise RuntimeError(f"{name} is broken")
        return {"number": len(self.measured)}


def run(counting, entry, **how):
    kept = []
    done = gpu_stages.run_stage(
        counting.stage(), None, entry, keep=lambda e: kept.append(json.dumps(e)), say=lambda line: None, **how
    )
    return done, kept


def test_each_case_is_kept_at_once_and_measured_once():
    counting, entry = Counting(), {}
    done, kept = run(counting, entry)
    assert done
    assert [len(json.loads(text)["stages"]["counting"]) for text in kept] == [1, 2, 3]
    assert run(counting, entry) == (True, [])
    assert counting.measured == ["a", "b", "c"]


def test_again_measures_anew():
    counting, entry = Counting(), {}
    run(counting, entry)
    run(counting, entry, again=True)
    assert counting.measured == ["a", "b", "c"] * 2


def test_a_case_that_failed_is_told_and_tried_again():
    counting, entry = Counting(), {}
    counting.faulty = {"b"}
    assert run(counting, entry)[0]
    assert entry["stages"]["counting"]["b"] == {"problem": "RuntimeError: b is broken"}
    assert gpu_stages.has_problems(entry)
    counting.faulty = set()
    run(counting, entry)
    assert counting.measured == ["a", "b", "c", "b"]
    assert not gpu_stages.has_problems(entry)


def test_a_stage_ends_in_time_and_goes_on_later():
    counting, entry = Counting(), {}
    assert not run(counting, entry, limit_s=-1)[0]
    assert counting.measured == []
    assert run(counting, entry)[0]


def test_rounds_are_interleaved_and_their_median_is_told():
    order = []
    racers = [Racer(name, lambda repeats, name=name: order.append(name) or {"ours": 1.0, "theirs": 3.0}[name])
              for name in ("ours", "theirs")]  # fmt: skip
    bench = Bench(gpu=None, stream=None, quick=True)
    times = bench.race(racers)
    assert times["theirs"] == {"ms": 3.0, "lowest_ms": 3.0, "highest_ms": 3.0}
    assert order[-6:] == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]


def test_ceilings_are_the_best_that_anybody_reached():
    found = gpu_ceilings.ceilings(ENTRY)
    assert found.flops == {"float16": 500e12}
    assert found.bytes_per_s == 4e12
    assert found.floor_ms("float16", 1e12, 1.0) == pytest.approx(2.0)  # bound by arithmetic
    assert found.floor_ms("float16", 1.0, 8e9) == pytest.approx(2.0)  # by memory
    assert gpu_ceilings.ceilings({"stages": {}}) is None


def test_steps_add_up_by_kernel_the_slowest_first():
    rows = gpu_kernels.by_kernel({"steps": STEPS})
    assert [row["kernel"] for row in rows] == ["mma 64x64", "max_pool2d"]
    assert rows[0] == {"kernel": "mma 64x64", "steps": 2, "flops": 2_001_000_000, "bytes": 9_000_000, "ms": 0.02}


def test_report_holds_every_table_and_every_trouble():
    text = gpu_tables.report(ENTRY)
    for words in (
        "# NVIDIA H200, 2026-01-31",
        "1 of 2 pass.",
        "wgmma: problem: wgmma: 3 of 8 numbers differ",
        "absent: compute-sanitizer is not installed",
        "| resnet18 float16 | 0.0012 | 0.005 | 8 of 8 | 0.002 |",
        "| product float16 | torch.matmul | 500 TFLOP/s |",
        # 4 us of arithmetic and 2 us of memory of 20; 1 us of 2
        "| mma 64x64 | 2 | 20.0 | 100.0 | 0.450 | 30% |",
        "| max_pool2d | 1 | 2.0 | 0.0 | 2.000 | 50% |",
        "| resnet18 float16 batch 8 | 4,000 (2) | 2,667 (3) | 1.50 | 2.5 |",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("told", "finding"),
    [
        ("the logits are finite\n========= ERROR SUMMARY: 0 errors\n", {"errors": 0}),
        ("the logits are finite\n========= RACECHECK SUMMARY: 0 hazards displayed\n", {"errors": 0}),
        ("========= Error: no device\nPermission denied\n", {"absent": "it does not work here: Permission denied"}),
        ("", {"absent": "it does not work here: it said nothing"}),
    ],
)
def test_sanitizer_s_last_words(told, finding):
    assert gpu_sanitizer.verdict(told) == finding


def test_sanitizer_s_errors_are_a_problem():
    told = "========= Invalid __global__ read of size 4\nthe logits are finite\n========= ERROR SUMMARY: 2 errors\n"
    found = gpu_sanitizer.verdict(told)
    assert found["errors"] == 2
    assert "Invalid __global__ read" in found["problem"]
