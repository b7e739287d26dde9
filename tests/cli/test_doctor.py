"""doctor: facts, and advice only if there is something to improve."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from npresnet import cpu
from npresnet.cli import doctor
from npresnet.cpu.runtime import cpus
from tests.support.checkout import REPOSITORY

AVX2 = ["avx2", "fma"]
AVX512 = [*AVX2, "avx512f"]


def blas(core_type: str, api: str = "openblas") -> dict:
    return {"internal_api": api, "version": "0.3.30", "architecture": core_type, "num_threads": 2}


def advice(
    core_type: str, vectors: list[str], environ: dict[str, str] | None = None, api: str = "openblas"
) -> list[str]:
    report = doctor.Report()
    doctor._examine_blas(report, [blas(core_type, api)], vectors, environ or {})
    assert core_type in report.facts["BLAS"]
    return report.advice


@pytest.mark.parametrize(
    ("core_type", "vectors", "slower"),
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
def test_is_slower(core_type, vectors, slower):
    assert doctor.is_slower(core_type, vectors) is slower


def test_the_best_core_type_needs_no_advice():
    assert advice("SkylakeX", AVX512) == []


def test_a_forced_core_type():
    (text,) = advice("Haswell", AVX512, {"OPENBLAS_CORETYPE": "Haswell"})
    assert "OPENBLAS_CORETYPE=Haswell forces the BLAS to core type Haswell, slower than this CPU allows" in text
    (text,) = advice("SkylakeX", AVX512, {"OPENBLAS_CORETYPE": "SkylakeX"})
    assert "unset OPENBLAS_CORETYPE" in text
    assert "slower" not in text


def test_a_slow_choice_by_the_blas():
    (text,) = advice("Haswell", AVX512)
    assert "although this CPU has AVX-512" in text
    (text,) = advice("Nehalem", AVX2)
    assert "although this CPU has AVX2" in text


def test_core_types_of_other_blas_libraries_are_not_compared():
    assert advice("haswell", AVX512, api="blis") == []
    (text,) = advice("haswell", AVX512, {"BLIS_ARCH_TYPE": "haswell"}, api="blis")
    assert "unset BLIS_ARCH_TYPE" in text
    assert advice("haswell", AVX512, {"OPENBLAS_CORETYPE": "Haswell"}, api="blis") == []


def test_a_blas_that_threadpoolctl_does_not_support():
    report = doctor.Report()
    doctor._examine_blas(report, [], AVX512, {})
    assert report.facts["BLAS"]
    if sys.platform != "darwin":
        assert "threadpoolctl does not support this NumPy's BLAS" in report.advice[0]


def test_fewer_cpus_than_the_machine_has(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(cpu, "usable_cpus", lambda: 3)
    monkeypatch.setattr(cpus, "usable_cpus", lambda: 3)
    monkeypatch.setattr(doctor, "cgroup_quota", lambda: 2.5)
    report = doctor.Report()
    doctor._examine_threads(report, {})
    assert report.facts["threads"] == "3 by default (64 CPUs in the machine, the container's quota is 2.5)"
    assert "3 of 64 CPUs" in report.advice[0]


@pytest.mark.parametrize(
    ("environ", "fact", "advice"),
    [
        ({"OMP_NUM_THREADS": "2"}, "2 by default (OMP_NUM_THREADS=2; 3 CPUs in the machine)", 0),
        ({"OMP_NUM_THREADS": "2", "NPRESNET_THREADS": "7"}, "7 by default (NPRESNET_THREADS=7; 3 CPUs in the", 1),
        ({"NPRESNET_THREADS": "many"}, "none by default: NPRESNET_THREADS='many' is not a number of threads", 0),
    ],
)
def test_threads_of_the_environment(monkeypatch, environ, fact, advice):
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(cpu, "usable_cpus", lambda: 3)
    monkeypatch.setattr(doctor, "cgroup_quota", lambda: None)
    report = doctor.Report()
    doctor._examine_threads(report, environ)
    assert report.facts["threads"].startswith(fact)
    assert len(report.advice) == advice


def gpu_report(monkeypatch, *, cupy: str, answer: tuple[bool, str] = (False, "")) -> doctor.Report:
    monkeypatch.setattr(doctor, "_gpus", lambda: ["NVIDIA H200, 143771 MiB, 570.1"])
    monkeypatch.setattr(doctor, "_version", lambda package: cupy if package == "cupy-cuda12x" else "")
    monkeypatch.setattr(doctor, "_ask_cupy", lambda: answer)
    report = doctor.Report()
    doctor._examine_gpu(report)
    assert report.facts["GPU"] == "NVIDIA H200, 143771 MiB, 570.1"
    return report


def test_a_gpu_without_cupy(monkeypatch):
    report = gpu_report(monkeypatch, cupy="")
    assert "pip install 'npresnet[cuda12]'" in report.advice[0]
    assert "GPU for npresnet" not in report.facts


def test_a_gpu_that_works(monkeypatch):
    report = gpu_report(monkeypatch, cupy="13.6.0", answer=(True, "cuda:0, NVIDIA H200"))
    assert report.facts["CuPy"] == "cupy-cuda12x 13.6.0"
    assert report.facts["GPU for npresnet"] == "cuda:0, NVIDIA H200"
    assert report.advice == []


def test_a_gpu_that_does_not(monkeypatch):
    report = gpu_report(monkeypatch, cupy="13.6.0", answer=(False, "the NVIDIA driver is too old"))
    assert "no GPU can be used: the NVIDIA driver is too old" in report.advice[0]


@pytest.mark.parametrize(
    ("cupy", "beginning"),
    [
        ("raise ModuleNotFoundError('absent', name='cupy')", "a GPU is used through CuPy, which is not installed: "),
        ("raise OSError('libcuda.so.1 is missing')", "CuPy does not work here (libcuda.so.1 is missing): "),
    ],
)
def test_cupy_is_queried_in_a_subprocess(monkeypatch, tmp_path, cupy, beginning):
    (tmp_path / "cupy.py").write_text(cupy)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(REPOSITORY)]))
    works, words = doctor._ask_cupy()
    assert not works
    assert words.startswith(beginning)


@pytest.mark.parametrize(
    ("answer", "parsed"),
    [
        ("print('yes cuda:0, NVIDIA H200')", (True, "cuda:0, NVIDIA H200")),
        ("print('no there is no NVIDIA driver')", (False, "there is no NVIDIA driver")),
        ("raise SystemExit('Segmentation fault')", (False, "Segmentation fault")),
    ],
)
def test_the_answer_of_the_subprocess(monkeypatch, answer, parsed):
    monkeypatch.setattr(doctor, "OPEN_GPU", answer)
    assert doctor._ask_cupy() == parsed


def test_the_whole_report():
    text = str(doctor.examine({}))
    for word in (np.__version__, "threads", "BLAS", "pillow", "CuPy", "GPU", "weights cache", "advice: "):
        assert word in text
    for library in cpu.blas_info():
        assert f"core type {library['architecture']}" in text


def test_no_home_folder(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(doctor.download, "cache_folder", no_home)
    assert doctor.examine().facts["weights cache"] == "none: Could not determine home directory."


def test_a_cache_in_an_unknown_user_s_home_is_a_folder_of_that_name(monkeypatch):
    monkeypatch.setenv("NPRESNET_CACHE", "~no-such-user/x")
    assert doctor.examine().facts["weights cache"] == os.path.join("~no-such-user", "x")


def test_nothing_heavy_is_imported():
    code = "import sys; from npresnet.cli import doctor; doctor.examine({}); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [name for name in ("'torch'", "'cupy'", "'PIL'") if name in done.stdout]
