"""The doctor: facts, and advice only where there is something to mend."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from npresnet import cpu, doctor

AVX2 = ["avx2", "fma"]
AVX512 = [*AVX2, "avx512f"]


def blas(kernel: str, api: str = "openblas") -> dict:
    return {"internal_api": api, "version": "0.3.30", "architecture": kernel, "num_threads": 2}


def advice(kernel: str, vectors: list[str], environ: dict[str, str] | None = None, api: str = "openblas") -> list[str]:
    report = doctor.Report()
    doctor._examine_blas(report, [blas(kernel, api)], vectors, environ or {})
    assert kernel in report.facts["BLAS"]
    return report.advice


@pytest.mark.parametrize(
    ("kernel", "vectors", "slower"),
    [
        ("SkylakeX", AVX512, False),
        ("Cooperlake", AVX512, False),
        ("SapphireRapids", AVX512, False),
        ("Haswell", AVX512, True),
        ("Zen", AVX512, True),
        ("Haswell", AVX2, False),
        ("Zen", AVX2, False),
        ("Prescott", AVX2, True),
        ("Prescott", [], False),
        ("neoversen1", ["asimd"], False),
        ("", AVX512, False),
    ],
)
def test_is_slower(kernel, vectors, slower):
    assert doctor.is_slower(kernel, vectors) is slower


def test_a_good_kernel_needs_no_advice():
    assert advice("SkylakeX", AVX512) == []


def test_a_pinned_kernel_is_told():
    (text,) = advice("Haswell", AVX512, {"OPENBLAS_CORETYPE": "Haswell"})
    assert "OPENBLAS_CORETYPE=Haswell pins the BLAS to the kernel Haswell, slower than what this CPU can run" in text
    (text,) = advice("SkylakeX", AVX512, {"OPENBLAS_CORETYPE": "SkylakeX"})
    assert "unset OPENBLAS_CORETYPE" in text
    assert "slower" not in text


def test_a_slow_choice_of_its_own():
    (text,) = advice("Haswell", AVX512)
    assert "though this CPU has AVX-512" in text
    (text,) = advice("Nehalem", AVX2)
    assert "though this CPU has AVX2" in text


def test_another_blas_is_not_judged_by_openblas_s_names():
    assert advice("haswell", AVX512, api="blis") == []
    (text,) = advice("haswell", AVX512, {"BLIS_ARCH_TYPE": "haswell"}, api="blis")
    assert "unset BLIS_ARCH_TYPE" in text
    assert advice("haswell", AVX512, {"OPENBLAS_CORETYPE": "Haswell"}, api="blis") == []


def test_a_blas_that_threadpoolctl_does_not_know():
    report = doctor.Report()
    doctor._examine_blas(report, [], AVX512, {})
    assert report.facts["BLAS"]
    if sys.platform != "darwin":
        assert "threadpoolctl knows no BLAS" in report.advice[0]


def test_fewer_cpus_than_the_machine_has(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(cpu, "usable_cpus", lambda: 3)
    monkeypatch.setattr(doctor, "cgroup_quota", lambda: 2.5)
    report = doctor.Report()
    doctor._examine_threads(report)
    assert report.facts["threads"] == "3 by default (64 CPUs in the machine, the container grants the time of 2.5)"
    assert "3 of 64 CPUs" in report.advice[0]


def test_a_gpu_is_seen_and_said_to_be_unused(monkeypatch):
    monkeypatch.setattr(doctor, "_gpus", lambda: ["NVIDIA H200, 143771 MiB, 570.1"])
    report = doctor.Report()
    doctor._examine_gpu(report)
    assert report.facts["GPU"] == "NVIDIA H200, 143771 MiB, 570.1"
    assert "will not be used" in report.advice[0]


def test_the_whole_report():
    text = str(doctor.examine({}))
    for word in (np.__version__, "threads", "BLAS", "pillow", "CuPy", "GPU", "weights cache", "advice: "):
        assert word in text
    for library in cpu.blas_info():
        assert f"kernel {library['architecture']}" in text


def test_nothing_heavy_is_imported():
    code = "import sys; from npresnet import doctor; doctor.examine({}); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [name for name in ("'torch'", "'cupy'", "'PIL'") if name in done.stdout]
