"""A made-up results file of benchmarks/gpu_report.py, with findings of every sort."""

from __future__ import annotations

STEPS = [
    {"step": "conv1", "kernel": "mma 64x64", "flops": 2_000_000_000, "bytes": 1_000_000, "ms": 0.01},
    {"step": "conv2", "kernel": "mma 64x64", "flops": 1_000_000, "bytes": 8_000_000, "ms": 0.01},
    {"step": "pool", "kernel": "max_pool2d", "flops": 0, "bytes": 4_000_000, "ms": 0.002},
]
RUN = {"commit": "1a2b3c", "quick": False, "emulated": False, "date": "2026-01-31", "seconds": 1.0}
TIMES = {"npresnet": {"ms": 2.0}, "torch eager": {"ms": 3.0}}
ENTRY = {
    "kind": "gpu",
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
        "exact": {"1x1 float16 conv2d_mma": {"candidates": 7}},
        "tuning": {
            "resnet50 float16 batch 1": {
                "layers": [
                    {
                        "layer": "float16 1x 1x1 64->64, 56x56",
                        "built_in": "mma 64",
                        "best": "mma 32",
                        "us": {"mma 32": 5.0, "mma 64": 6.0, "direct": 99.0},
                    },
                    {
                        "layer": "float16 1x 3x3 64->64, 56x56",
                        "built_in": "mma 64",
                        "best": "mma 64",
                        "us": {"mma 64": 7.0},
                    },
                ],
            },
        },
        "kernels": {"resnet18 float16 batch 1": {"dtype": "float16", "graph": {"ms": 0.02}, "steps": STEPS}},
        "peers": {
            "resnet18 float16 batch 8": {"network": "resnet18", "batch": 8, "times": TIMES, "numpy_ms": 2.5},
        },
    },
}

for stage in ENTRY["stages"].values():
    for case in stage.values():
        case["run"] = RUN
ENTRY["stages"]["sanitizer"]["memcheck float16"]["run"] = {**RUN, "commit": "4d5e6f", "quick": True}
