"""An image's logits have the same bits for every batch, place in it, number of threads and process, on one machine,
one NumPy and one BLAS core type."""

import json
import os
import platform
import subprocess
import sys
from functools import cache

import pytest

from npresnet import cpu
from tests.conftest import REPOSITORY

CORE_TYPES = {"avx2": "Haswell", "avx512": "SkylakeX"}  # OPENBLAS_CORETYPE


@cache
def run_in_a_process(name: str, threads: str, size: int, core_type: str, fault: str = "") -> dict:
    """What tests.support.bits prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    environment["OPENBLAS_CORETYPE"] = core_type
    command = [sys.executable, "-m", "tests.support.bits", name, threads, str(size), fault]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def require(instructions: str) -> str:
    """The OPENBLAS_CORETYPE for an instruction set, where this machine and this BLAS have it."""
    if not any(library["internal_api"] == "openblas" for library in cpu.blas_info()):
        pytest.skip("NumPy's BLAS here is not OpenBLAS, so its core type cannot be chosen")
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("not an x86-64 processor")
    try:
        from numpy._core._multiarray_umath import __cpu_features__ as features
    except ImportError:  # NumPy 1.26
        from numpy.core._multiarray_umath import __cpu_features__ as features

    if not features["AVX512_SKX" if instructions == "avx512" else "AVX2"]:
        pytest.skip(f"this processor has no {instructions}")
    return CORE_TYPES[instructions]


@pytest.mark.parametrize("instructions", CORE_TYPES)
@pytest.mark.parametrize(("name", "size"), [("resnet18", 224), ("resnet50", 112), ("resnext50_32x4d", 68)])
def test_same_bits_in_every_batch_place_thread_count_and_process(name, size, instructions):
    core_type = require(instructions)
    one = run_in_a_process(name, "1,3", size, core_type)
    assert one["core_type"] == core_type
    assert len(one["logits"]) == 8
    for number, bits in one["logits"].items():
        assert len(bits) == 1, f"image {number} had {len(bits)} different results"
    assert run_in_a_process(name, "2", size, core_type) == one


def test_images_multiplied_together_where_that_changes_their_bits():
    """A fault planted: were the AVX2 core type never asked whether they keep an image's bits, they would not."""
    kept, merged = (run_in_a_process("resnet18", "1", 64, require("avx2"), fault)["logits"] for fault in ("", "merged"))
    assert all(len(bits) == 1 for bits in kept.values())
    assert any(len(bits) > 1 for bits in merged.values())


def test_the_check_sees_a_difference():
    """Two core types sum in different orders: if they gave the same bits, the tests above would compare nothing."""
    first, second = (run_in_a_process("resnet18", "1", 64, require(instructions)) for instructions in CORE_TYPES)
    assert first["logits"] != second["logits"]
