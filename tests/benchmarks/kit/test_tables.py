from __future__ import annotations

from benchmarks.kit import tables
from tests.bench.entries import layers_case


def test_cold_start_table_and_its_problems():
    good = {"title": "npresnet", "status": "ok", "median_ms": 100.0, "p25_ms": 90.0, "p75_ms": 120.0, "peak_mb": 98.2}
    slow = {**good, "title": "torch", "median_ms": 950.0}
    del slow["peak_mb"]
    wrong = {"title": "other", "status": "wrong", "reason": "printed 3, the others 4"}
    absent = {"title": "nobody", "status": "absent", "reason": "needs nobody"}
    entry = {"programs": {"npresnet": good, "torch": slow, "other": wrong, "nobody": absent}}
    assert tables.cold_table(entry).rows == [
        ["npresnet", "100 (90-120)", "98", "1.00"],
        ["torch", "950 (90-120)", "", "9.50"],
        ["other", "wrong result", "", ""],
    ]
    assert tables.cold_problems(entry) == [
        "other: wrong result (printed 3, the others 4)",
        "nobody: not installed (needs nobody)",
    ]


def test_a_row_a_model_for_the_page():
    case = layers_case()
    fast = {**case, "options": {"fast": True}}
    rows = tables.layers_table([case, fast]).rows
    assert rows[0] == ["resnet18, batch 8", "11.00", "10.00", "1.00", "7.00", "63.6", "64%"]
    assert rows[1][0] == "resnet18, batch 8, fast=True"


def test_a_gpu_has_neither_floor_nor_peak():
    on_gpu = {**layers_case(), "device": "NVIDIA Emulated (cuda:0), float16", "gemm_peak_gflops": None}
    table = tables.layers_table([on_gpu])
    assert table.header[0] == "ms per image, NVIDIA Emulated (cuda:0), float16"
    assert table.rows == [["resnet18, batch 8", "11.00", "10.00", "1.00", "", "63.6", ""]]
