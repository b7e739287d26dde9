"""What only Hopper's kernels have, once compiled: fences, and registers handed over. Each that is wrong is told."""

from __future__ import annotations

import shutil

import pytest

from npresnet.cuda.runtime import source
from tests.cuda.test_compile import pytestmark as needs_wheels
from tests.support import compiling
from tests.support.compiling import MAJORS, Compilation

pytestmark = needs_wheels

TEXT = """\
// Architectures: sm_90a
// Elements: none
// Expects: all sm_90a: FENCE.VIEW.ASYNC WARPGROUP.ARRIVE fence.proxy.async fence.mbarrier_init wgmma.fence
#include "common/hopper.cuh"
extern "C" __global__ void __launch_bounds__(256, 2) planted(float* y, unsigned long long operand) {
  extern __shared__ unsigned long long barrier[];
  if (threadIdx.x == 0) {
    barrier_init(shared_address(barrier), 256);
    barrier_init_fence();
  }
  fence_async_proxy();
  __syncthreads();
  if (threadIdx.x < 128) {
    registers_dec<40>();
  } else {
    registers_inc<216>();
    float sums[32] = {};
    wgmma_fence();
    wgmma_float16<64>(sums, operand, operand);
    wgmma_commit();
    wgmma_wait<0>();
    for (int i = 0; i < 32; i++) y[i * 128 + threadIdx.x] = sums[i];
  }
}
"""
FAULTS = {
    ("fence_async_proxy();", ""): ("no kernel holds FENCE.VIEW.ASYNC", "its PTX holds no fence.proxy.async"),
    ("barrier_init_fence();", ""): ("its PTX holds no fence.mbarrier_init",),
    ("wgmma_fence();", ""): ("its PTX holds no wgmma.fence", "warpgroup.arrive is injected"),
    ("inc<216>", "inc<224>"): ("planted begins with 2 x 128 registers and asks for 40 + 1 x 224",),
    ("dec<40>", "dec<44>"): ("registers come in eights",),
}


def problems(folder, major, right="", wrong=""):
    """What is told of TEXT with one thing changed."""
    assert not right or TEXT.count(right) == 1
    shutil.copytree(source.kernel_root() / "common", folder / "common")
    (folder / "planted.cu").write_text(TEXT.replace(right, wrong) if right else TEXT)
    return compiling.problems([Compilation("planted.cu", "", "sm_90a", major)], folder)


@pytest.mark.parametrize("major", MAJORS)
def test_nothing_is_told_of_what_is_right(tmp_path, major):
    assert problems(tmp_path, major) == []


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("change", FAULTS, ids=" ".join)
def test_a_fault_is_told(tmp_path, major, change):
    found = problems(tmp_path, major, *change)
    for words in FAULTS[change]:
        assert any(words in problem for problem in found), found
