from __future__ import annotations

from benchmarks.gpu import kernels, tables
from tests.benchmarks.gpu.entry import ENTRY, STEPS


def test_steps_add_up_by_kernel_the_slowest_first():
    rows = kernels.by_kernel({"steps": STEPS})
    assert [row["kernel"] for row in rows] == ["mma 64x64", "max_pool2d"]
    assert rows[0] == {"kernel": "mma 64x64", "steps": 2, "flops": 2_001_000_000, "bytes": 9_000_000, "ms": 0.02}


def test_report_holds_every_table_and_every_trouble():
    text = tables.report(ENTRY)
    for words in (
        "# NVIDIA H200, 2026-01-31",
        "Commits: 1a2b3c (9 cases), 4d5e6f (1 cases). 1 of 10 cases were measured with --quick.",
        "1 of 2 pass.",
        "0 of 0 pass, 1 more cannot be measured here.",
        "| float16 1x 1x1 64->64, 56x56 | mma 64 | 6.0 | mma 32 | 5.0 | 3 |",
        "| float16 1x 3x3 64->64, 56x56 | mma 64 | 7.0 |  |  | 1 |",
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
