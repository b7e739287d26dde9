from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from npresnet import cpu
from npresnet.bench import layers
from npresnet.bench.compare import Settings
from npresnet.bench.layers import Request, run_passes, shapes_in_words, step_times, time_layers
from npresnet.bench.run import Race, run_layers
from npresnet.cpu.compiler import split
from npresnet.plan import infer_shapes
from npresnet.plan.steps import Step
from tests.bench.networks import small_network


class Clock:
    """A clock that is set forward by what is timed, and a diary of who did."""

    def __init__(self):
        self.now_ns = 0
        self.diary: list[str] = []

    def perf_counter_ns(self) -> int:
        return self.now_ns

    def perf_counter(self) -> float:
        return self.now_ns / 1e9

    def spend(self, who: str, ms: float) -> None:
        self.now_ns += round(ms * 1e6)
        self.diary.append(who)


@dataclass
class Watch:
    """A stopwatch of a fixed dial: (name, images of a run, ms of all runs, flops of a run)."""

    clock: Clock
    dial: Sequence[tuple[str, int, float, int]]

    @property
    def steps(self) -> list[Step]:
        return [Step(name, (), flops, 0, f"{name}'s algorithm") for name, _, _, flops in self.dial]

    @property
    def images(self) -> list[int]:
        return [images for _, images, _, _ in self.dial]

    def lap(self) -> list[float]:
        for name, _, ms, _ in self.dial:
            self.clock.spend(name, ms)
        return [ms for _, _, ms, _ in self.dial]


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(layers, "time", clock)
    return clock


def test_laps_take_turns_with_the_model_and_times_are_of_one_image(clock):
    """Of three images: two steps run one image at a time, the last all three at once."""
    watch = Watch(clock, [("a", 1, 18.0, 0), ("b", 1, 3.0, 0), ("c", 3, 9.0, 300)])
    passes, whole_ms = run_passes(watch, 3, lambda: clock.spend("model", 30.0), seconds=0.0)
    assert clock.diary == [*"abc", "model"] * (1 + layers.MIN_PASSES)
    assert passes == [[6.0, 1.0, 3.0]] * layers.MIN_PASSES
    assert whole_ms == [30.0] * layers.MIN_PASSES
    found = step_times(watch, passes, {"a": "in words"})
    assert [(step.name, step.shape, step.ms, step.flops) for step in found] == [
        ("a", "in words", 6.0, 0),
        ("b", "", 1.0, 0),
        ("c", "", 3.0, 100),
    ]
    assert found[2].algorithm == "c's algorithm"


def test_passes_go_on_for_the_seconds_asked_for(clock):
    passes, _ = run_passes(Watch(clock, [("a", 1, 10.0, 0)]), 1, lambda: None, seconds=0.195)
    assert len(passes) == 20


def test_one_slow_pass_does_not_count():
    watch = Watch(Clock(), [("a", 1, 1.0, 0)])
    assert step_times(watch, [[1.0], [1.0], [500.0]], {})[0].ms == 1.0


def test_blas_has_one_thread_meanwhile_and_the_users_number_after(two_blas_threads):
    before = [library["num_threads"] for library in cpu.blas_info()]
    seen: list[int] = []

    def call_model() -> None:
        seen.extend(library["num_threads"] for library in cpu.blas_info())

    run_passes(Watch(Clock(), [("a", 1, 1.0, 0)]), 1, call_model, seconds=0.0)
    assert set(seen) == {1}
    assert [library["num_threads"] for library in cpu.blas_info()] == before


@pytest.mark.parametrize(("batch", "group"), [(1, 1), (3, 3), (4, 4), (5, 3), (8, 4), (9, 3)])
def test_the_largest_group_of_a_batch(batch, group, monkeypatch):
    monkeypatch.setattr(split, "GROUP", 4)
    assert layers.group_of(batch) == group


def test_shapes_in_words():
    words = shapes_in_words(small_network(), infer_shapes(small_network(), (3, 32, 32)))
    assert words["conv1"] == "convolution 3x5/2x1 3->8, 16x32"
    assert words["maxpool"] == "max pool 3x3/2 8, 8x16"
    assert words["b.conv1"] == "convolution 3x3 dilated 2 8->8, 2 groups, 8x16"
    assert words["b.conv2"] == "convolution 1x1 8->8, 8x16"
    assert words["b.add"] == "add 8, 8x16"
    assert words["pool"] == "global average pool 12, 1x1"
    assert words["fc"] == "linear layer 12->5"
    assert words["a.short"] == "option A shortcut 8->12, 3x5"


def test_a_real_network_from_start_to_json():
    found = time_layers(Request("cifar_resnet20", batch=2, size=32, seconds=0.0)).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert (found["model"], found["device"]) == ("cifar_resnet20", "one thread")
    assert found["passes"] >= layers.MIN_PASSES
    names = [step["name"] for step in found["steps"]]
    assert names[0].startswith("conv1")
    assert len(set(names)) == len(names) >= 20
    assert all(step["ms"] > 0 for step in found["steps"])
    # 40.55 M multiply-adds for 32x32 (He et al. 2015, section 4.2, give the layers), 10 classes
    assert sum(step["flops"] for step in found["steps"]) == pytest.approx(2 * 40.55e6, rel=0.02)
    assert found["gemm_peak_gflops"] > 0
    assert found["whole_ms"] > 0


def test_each_case_has_its_own_process_and_what_cannot_be_timed_is_said():
    said: list[str] = []
    kept: list[int] = []
    race = Race(["cifar_resnet20", "resnet19"], [1, 2], size=32)
    settings = Settings(threads=2, rounds=1, seconds=0.0)
    entry = run_layers(
        race, settings, command="c", say=said.append, keep=lambda entry: kept.append(len(entry["cases"]))
    )
    assert [(case["model"], case["batch"]) for case in entry["cases"]] == [("cifar_resnet20", 1), ("cifar_resnet20", 2)]
    assert [skipped["model"] for skipped in entry["skipped"]] == ["resnet19"] * 2
    assert "ArchitectureError" in entry["skipped"][0]["reason"]
    assert kept == [1, 2, 2, 2], "what is left out is kept, too"
    assert (entry["kind"], entry["threads"]) == ("layers", 1)
    assert any("resnet19 left out" in line for line in said)
