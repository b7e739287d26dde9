"""No CuPy, no driver, no GPU, too old a one, no compiler: each its own words, and the way out."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import npresnet
from npresnet import cuda
from npresnet.cuda.runtime import gpus as opening
from npresnet.cuda.runtime.gpu import Gpu


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({"driver": 0}, "there is no NVIDIA driver.*--gpus all"),
        ({"driver": 11040}, "too old: it supports CUDA 11.4, and this CuPy is made for CUDA 12.9. Update the driver"),
        ({"driver": 12040, "version": 13000}, "made for CUDA 13.0.*npresnet\\[cuda12\\].* needs no more than CUDA 12"),
        ({"count": 0}, "no GPU that CUDA can use"),
        ({"capability": 70, "name": "Tesla V100"}, r"cuda:0 \(Tesla V100\) has compute capability 7.0.* 7.5 or later"),
        ({"has_nvrtc": False}, "NVRTC of CUDA 12 is not installed"),
    ],
)
def test_what_is_missing_is_said(gpus, machine, words):
    gpus(**machine)
    with pytest.raises(npresnet.DeviceError, match=words):
        npresnet.load("demo", device="cuda")
    with npresnet.load("demo", device="auto") as model:
        assert model.config["device"].value == "cpu"
        assert 'device="auto" chose the CPU: ' in model.config["device"].note


def test_no_cupy(no_cupy):
    with pytest.raises(
        npresnet.DeviceError, match=r"CuPy, which is not installed: python -m pip install 'npresnet\[cuda12\]'"
    ):
        npresnet.load("demo", device="cuda")


def test_a_broken_cupy(monkeypatch, no_cupy):
    monkeypatch.delitem(sys.modules, "cupy")

    def broken(name, *_: object):
        raise ImportError("Failed to import CuPy") from OSError("libcudart.so.12: cannot open")

    monkeypatch.setattr("builtins.__import__", broken)
    with pytest.raises(npresnet.DeviceError, match=r"CuPy does not work here.*libcudart"):
        opening.import_cupy()


def test_numbers_that_do_not_exist(gpus, monkeypatch):
    gpus(count=2)
    with pytest.raises(npresnet.DeviceError, match=r"there is no cuda:2: .* are 2 GPUs, cuda:0 to cuda:1"):
        cuda.open_gpu("cuda:2")
    gpus(count=1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(npresnet.DeviceError, match=r"is one GPU, cuda:0 \(CUDA_VISIBLE_DEVICES=3\)"):
        cuda.open_gpu("cuda:1")


@pytest.mark.parametrize(
    ("call", "status", "words"),
    [
        ("create stream", 46, "DevicesUnavailable.*Another process may hold it alone: nvidia-smi"),
        ("properties", 46, "CUDA does not start.*Another process"),
        ("load module", 222, "UNSUPPORTED_PTX_VERSION.*The driver is older than the compiler NVRTC"),
    ],
)
def test_the_way_out_is_told(gpus, call, status, words):
    gpus().failures.plan(call, status)
    with pytest.raises(npresnet.DeviceError, match=words):
        npresnet.load("demo", device="cuda")(np.zeros((1, 3, 32, 32), np.float32))


def test_amd(gpus):
    stand_in = gpus()
    stand_in.cupy.cuda.runtime.is_hip = True
    with pytest.raises(npresnet.DeviceError, match="AMD"):
        cuda.open_gpu("cuda")


@pytest.mark.parametrize(("dtype", "works"), [("float16", True), ("tf32", False), ("bfloat16", False)])
def test_turing_has_float16_only(gpus, dtype, works):
    gpus(capability=75)
    if works:
        npresnet.load("demo", device="cuda", dtype=dtype).close()
    else:
        with pytest.raises(npresnet.DeviceError, match=r"8.0 or later .Ampere.*float16"):
            npresnet.load("demo", device="cuda", dtype=dtype)


def test_the_cpu_loads_nothing_of_the_gpu_s(monkeypatch):
    import subprocess

    code = (
        "import sys, npresnet, numpy; model = npresnet.load('demo'); model(numpy.zeros((1, 3, 32, 32), 'f4'));"
        "print([name for name in sys.modules if 'cupy' in name or 'npresnet.cuda' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_gpu_is_opened_once(gpus):
    gpus(count=2)
    assert cuda.open_gpu("cuda") is cuda.open_gpu("cuda:0")
    assert cuda.open_gpu("cuda:1") is not cuda.open_gpu("cuda:0")
    assert isinstance(cuda.open_gpu("cuda"), Gpu)
    assert "Emulated GPU" in cuda.open_gpu("cuda").description()
