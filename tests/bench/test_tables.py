from __future__ import annotations

import copy

import pytest

from npresnet.bench import tables
from npresnet.bench.results import ratios
from npresnet.bench.run import report_text
from tests.bench.entries import MACHINE, engine


@pytest.fixture
def entry() -> dict:
    blas = [{"internal_api": "openblas", "version": "0.3.31", "architecture": "SkylakeX"}]
    engines = {
        "torch": engine(40.0, peak_mb=400.4, resident_mb=300.6, versions={"torch": "2.13.0"}),
        "npresnet": engine(20.0, peak_mb=100.0, versions={"npresnet": "0.1", "numpy": "2.4"}, blas=blas),
        "onnxruntime": {"engine": "onnxruntime", "status": "failed", "reason": "ended with exit code 3"},
        "openvino": {"engine": "openvino", "status": "absent", "reason": "needs openvino"},
    }
    cases = [{"model": "resnet18", "batch": batch, "engines": copy.deepcopy(engines)} for batch in (1, 2)]
    cases[1]["engines"]["torch"] = engine(10.0)
    for case in cases:
        case["ratios"] = ratios(case["engines"])
    about = {"kind": "cpu", "date": "2026-01-31", "command": "python benchmarks/vs_peers.py", "isa": None}
    return {**about, "threads": 2, "machine": MACHINE, "cases": cases}


def test_times_are_per_image_and_ours_come_first(entry):
    lines = tables.times_table(entry["cases"]).to_text().splitlines()
    assert lines[0].split("  ")[0] == "ms per image"
    assert lines[0].index("npresnet") < lines[0].index("PyTorch eager, NCHW") < lines[0].index("ONNX Runtime")
    assert "20.00 (18.00-22.00)  40.00 (36.00-44.00)" in lines[2]
    assert "10.00 (9.00-11.00)" in lines[3]  # batch 2: half of 20 ms
    assert lines[2].split()[-1] == "failed"


def test_who_is_not_installed_takes_no_column(entry):
    assert tables.engine_names(entry["cases"]) == ["npresnet", "torch", "onnxruntime"]


def test_ratios_and_their_geometric_mean(entry):
    rows = tables.ratios_table(entry["cases"]).rows
    assert rows[0][:2] == ["resnet18, batch 1", "2.00 (2.00-2.00)"]
    assert rows[1][:2] == ["resnet18, batch 2", "0.50 (0.50-0.50)"]
    assert rows[2][:2] == ["geometric mean", "1.00"]
    assert rows[0][2:] == [""]


def test_no_table_has_an_empty_column(entry):
    for table in tables.race_tables(entry):
        assert all(any(row[i] for row in table.rows) for i in range(1, len(table.header))), table.header


def test_without_peers_only_tables_with_figures_are_left(entry):
    for case in entry["cases"]:
        case["engines"] = {"npresnet": {**engine(20.0), "p95_ms": 31.0, "error": 2e-7, "peak_mb": 100.0}}
        case["ratios"] = ratios(case["engines"])
    titles = [table.header[0] for table in tables.race_tables(entry)]
    assert titles == ["ms per image", "peak (steady) MB", "RMS error, 1e-7 of the logits"]
    text = report_text(entry)
    assert "ratio" not in text
    assert "peer" not in text
    assert "best" not in text


def test_images_a_second_and_the_95th_percentile(entry):
    for case in entry["cases"]:
        case["engines"]["npresnet"]["p95_ms"] = 31.25
    table = tables.rates_table(entry["cases"])
    assert table.header == ["images/s (p95 ms of a call)", "npresnet", "PyTorch eager, NCHW"]
    assert table.rows[0][1:] == ["50.0 (31.25)", "25.0"]  # of results from before it was kept, without it
    assert table.rows[1][1:] == ["100.0 (31.25)", "200.0"]  # batch 2
    assert "100.0 (31.25)" in report_text(entry)


def test_the_column_of_fast_is_our_own_gain(entry):
    for case in entry["cases"]:
        case["engines"]["npresnet-fast"] = engine(16.0)
        case["ratios"] = ratios(case["engines"])
    assert entry["cases"][0]["ratios"]["npresnet-fast"] == {"ratio": 1.25, "lowest": 1.25, "highest": 1.25}
    assert entry["cases"][0]["ratios"]["torch"]["ratio"] == 2.0
    table = tables.ratios_table(entry["cases"])
    assert dict(zip(table.header, table.rows[0], strict=True))["npresnet, fast=True"] == "1.25 (1.25-1.25)"
    assert any("that with fast=True" in line for line in tables.legends(entry))


def test_the_floor_stands_beside_the_times_where_the_peak_is_known(entry):
    assert "floor (direct)" not in tables.race_tables(entry)[0].header
    assert tables.legends(entry) == []
    entry["gemm_peak_gflops"] = 100.0
    for case in entry["cases"]:
        case |= {"macs": 1_000_000_000, "threads": 2}
    table = tables.race_tables(entry)[0]
    assert table.header[-1] == "floor (direct)"
    assert [row[-1] for row in table.rows] == ["10.00", "10.00"]  # 2e9 FLOPs at 200 GFLOP/s, an image
    assert "100 GFLOP/s a thread" in tables.legends(entry)[0]


def test_memory_where_it_was_measured(entry):
    assert tables.memory_table(entry["cases"]).rows[0] == ["resnet18, batch 1", "100", "400 (301)", ""]


def test_problems_are_said_once_where_they_hold_for_all(entry):
    assert tables.problems(entry["cases"]) == [
        "ONNX Runtime: failed (ended with exit code 3), resnet18, batch 1",
        "OpenVINO: not installed (needs openvino)",
        "ONNX Runtime: failed (ended with exit code 3), resnet18, batch 2",
    ]


def test_conditions_name_machine_threads_core_type_versions_day(entry):
    assert tables.conditions(entry) == (
        "Zilog Z80, 2 CPUs, AVX2, Linux x86_64, Python 3.12.1; 2 threads; float32; BLAS under npresnet: "
        "openblas 0.3.31 SkylakeX; torch 2.13.0, npresnet 0.1, numpy 2.4; 2026-01-31."
    )


def test_a_busy_machine_is_said():
    assert "load average" not in tables.machine_text({**MACHINE, "load_average": 0.1})
    assert "load average 3.5 at the start" in tables.machine_text({**MACHINE, "load_average": 3.5})


def test_the_best_peer_of_each_kind_over_each_mode(entry):
    first = entry["cases"][0]["engines"]
    first["npresnet"]["min_ms"] = 10.0
    first["npresnet-fast"], first["openvino"] = engine(16.0, min_ms=8.0), engine(30.0, min_ms=13.0)
    first["torch-compile"] = engine(24.0, min_ms=20.0)
    table = tables.best_table(entry["cases"])
    assert table.header[1:] == [
        "eager / npresnet",
        "eager / npresnet, fast=True",
        "compiling / npresnet",
        "compiling / npresnet, fast=True",
        "compiling, least times / npresnet",
        "compiling, least times / npresnet, fast=True",
    ]
    assert table.rows[0][1:] == ["2.00", "2.50", "1.20", "1.50", "1.30", "1.62"]
    assert table.rows[1][1:] == ["0.50", "", "", "", "", ""]
    assert table.rows[2][1:] == ["1.00", "2.50", "1.20", "1.50", "1.30", "1.62"]


def test_errors_are_shown_in_units_that_read_well(entry):
    entry["cases"][0]["engines"]["npresnet"]["error"] = 1.84e-7
    table = tables.error_table(entry["cases"])
    assert table.rows[0][1] == "1.84"
    assert table.rows[1][1] == ""
