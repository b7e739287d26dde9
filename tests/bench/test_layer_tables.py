from __future__ import annotations

import pytest

from npresnet.bench import layer_tables
from tests.bench.entries import MACHINE, layers_case


@pytest.fixture
def case() -> dict:
    return layers_case()


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


def test_a_gpu_has_neither_floor_nor_peak(case):
    """Its own ceilings are the GPU report's to measure; of the CPU's BLAS nothing is said."""
    on_gpu = {**case, "device": "NVIDIA Emulated (cuda:0), float16", "gemm_peak_gflops": None}
    assert layer_tables.steps_table(on_gpu).rows[0][2:] == ["4.000", "40.0%", "50.0", "", "direct, gemm"]
    assert layer_tables.rest_table(on_gpu).rows[-1] == ["whole call", "4", "11.000", "", ""]
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
