from __future__ import annotations

import pytest

from npresnet.bench import layer_tables
from tests.bench.test_tables import MACHINE


def step(name: str, ms: float, flops: int, algorithm: str = "") -> dict:
    return {"name": name, "shape": f"{name}'s shape", "algorithm": algorithm, "ms": ms, "flops": flops}


def make_case() -> dict:
    """A machine of 100 GFLOP/s; floors of 2, 3 and 0 ms."""
    steps = [
        step("conv1", 4.0, 200_000_000, "direct, gemm"),
        step("maxpool", 1.0, 0),
        step("conv2", 2.0, 300_000_000, "winograd 4x4, panels"),
        step("conv3", 3.0, 200_000_000, "direct, gemm"),
    ]
    about = {"model": "resnet18", "batch": 8, "size": 224, "gemm_peak_gflops": 100.0, "whole_ms": 11.0, "passes": 9}
    blas = [{"internal_api": "openblas", "version": "0.3", "architecture": "Zen"}]
    return {**about, "steps": steps, "options": {}, "versions": {"npresnet": "0.1"}, "blas": blas}


@pytest.fixture
def case() -> dict:
    return make_case()


def test_a_row_a_step_with_its_share_speed_and_algorithm(case):
    rows = layer_tables.steps_table(case).rows
    assert rows[0] == ["conv1", "conv1's shape", "4.000", "40.0%", "50.0", "50%", "direct, gemm"]
    assert rows[1] == ["maxpool", "maxpool's shape", "1.000", "10.0%", "", "", ""]
    assert rows[2] == ["conv2", "conv2's shape", "2.000", "20.0%", "150.0", "150%", "winograd 4x4, panels"]
    assert rows[4] == ["sum of steps", "", "10.000", "100.0%", "70.0", "70%", "91% of the whole call"]


def test_the_rest_adds_up_to_the_whole_call(case):
    rows = layer_tables.rest_table(case).rows
    assert rows == [
        ["direct, gemm", "2", "7.000", "4.000", "+3.000"],
        ["no multiplications", "1", "1.000", "0.000", "+1.000"],
        ["winograd 4x4, panels", "1", "2.000", "3.000", "-1.000"],
        ["outside the steps", "", "1.000", "0.000", "+1.000"],
        ["whole call", "4", "11.000", "7.000", "+4.000"],
    ]
    for column in (2, 3, 4):
        assert sum(float(row[column]) for row in rows[:-1]) == pytest.approx(float(rows[-1][column]))


def test_a_row_a_model_for_the_page(case):
    fast = {**case, "options": {"fast": True}}
    rows = layer_tables.summary_table([case, fast]).rows
    assert rows[0] == ["resnet18, batch 8", "11.00", "10.00", "1.00", "7.00", "63.6", "64%"]
    assert rows[1][0] == "resnet18, batch 8, fast=True"


def test_a_gpu_has_neither_floor_nor_peak(case):
    """Its own ceilings are the GPU report's to measure; of the CPU's BLAS nothing is said."""
    on_gpu = {**case, "device": "NVIDIA Emulated (cuda:0), float16", "gemm_peak_gflops": None}
    assert layer_tables.steps_table(on_gpu).rows[0][2:] == ["4.000", "40.0%", "50.0", "", "direct, gemm"]
    assert layer_tables.rest_table(on_gpu).rows[-1] == ["whole call", "4", "11.000", "", ""]
    summary = layer_tables.summary_table([on_gpu])
    assert summary.header[0] == "ms per image, NVIDIA Emulated (cuda:0), float16"
    assert summary.rows == [["resnet18, batch 8", "11.00", "10.00", "1.00", "", "63.6", ""]]
    text = layer_tables.report_text({"machine": MACHINE, "date": "2026-01-31", "cases": [on_gpu]})
    assert "milliseconds an image, on NVIDIA Emulated (cuda:0), float16" in text
    assert "GEMM peak" not in text
    assert "openblas" not in text


def test_text_says_one_thread_where_and_when(case):
    entry = {"machine": MACHINE, "date": "2026-01-31", "cases": [case]}
    text = layer_tables.report_text(entry)
    assert "resnet18, batch 8, 224x224: milliseconds an image, on one thread" in text
    assert "Zilog Z80" in text
    assert "one thread; float32; openblas 0.3 Zen; GEMM peak 100 GFLOP/s" in text
    assert text.endswith("npresnet 0.1; 2026-01-31.")
    lines = text.splitlines()
    assert lines[2].index("algorithm") == lines[4].index("direct, gemm")  # a text column, on the left
    assert layer_tables.report_text({**entry, "cases": []}) == "nothing was measured"
