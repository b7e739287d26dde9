"""Made-up results, as the files in benchmarks/results hold them."""

from __future__ import annotations

MACHINE = {
    "cpu": "Zilog Z80",
    "cpu_family_model": "",
    "cpus": 2,
    "flags": ["avx2"],
    "system": "Linux x86_64",
    "python": "3.12.1",
}


def engine(median_ms: float, **more) -> dict:
    """An engine of a case of kind "cpu" that was timed in one round."""
    spread = {"p25_ms": median_ms * 0.9, "p75_ms": median_ms * 1.1, "round_medians_ms": [median_ms]}
    return {"engine": "?", "status": "ok", "median_ms": median_ms, **spread, **more}


def step(name: str, ms: float, flops: int, algorithm: str = "") -> dict:
    return {"name": name, "shape": f"{name}'s shape", "algorithm": algorithm, "ms": ms, "flops": flops}


def layers_case() -> dict:
    """A case of kind "layers", of a machine of 100 GFLOP/s; its steps' floors are 2, 0, 3 and 2 ms."""
    steps = [
        step("conv1", 4.0, 200_000_000, "direct, gemm"),
        step("maxpool", 1.0, 0),
        step("conv2", 2.0, 300_000_000, "winograd 4x4, panels"),
        step("conv3", 3.0, 200_000_000, "direct, gemm"),
    ]
    about = {"model": "resnet18", "batch": 8, "size": 224, "gemm_peak_gflops": 100.0, "whole_ms": 11.0, "passes": 9}
    blas = [{"internal_api": "openblas", "version": "0.3", "architecture": "Zen"}]
    return {**about, "steps": steps, "options": {}, "versions": {"npresnet": "0.1"}, "blas": blas}
