"""Every kernel compiles for every architecture and element that its header names.

Each is compiled by one of CUDA's two compilers; with NPRESNET_COMPILE_ALL=1 by both, as `.ci/run` has it.
"""

from __future__ import annotations

import os
import platform
import sys

import pytest

from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.runtime import nvrtc, source
from tests.support import compiling, sass

ARCHITECTURES = "sm_75 sm_80 sm_86 sm_89 sm_90 sm_90a sm_100 sm_120".split()
COMPILE_ALL = os.environ.get("NPRESNET_COMPILE_ALL", "0") not in ("", "0")
MAJORS = (12, 13)  # the wheels are 12.9 and 13.0
HAS_WHEELS = (sys.platform, platform.machine()) == ("linux", "x86_64")  # there the extra `test` brings the compilers

pytestmark = pytest.mark.skipif(not HAS_WHEELS, reason="no NVRTC wheels for this platform in the extra `test`")


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("file", source.sources())
def test_compiles_cleanly_for_all_that_its_header_names(file, major):
    assert compiling.problems(file, major, chosen=compiling.share(file, major, everything=COMPILE_ALL)) == []


@pytest.mark.parametrize("file", source.sources())
def test_the_two_compilers_share_all_the_work(file):
    one, other = (compiling.share(file, major, everything=False) for major in MAJORS)
    assert sorted([*one, *other]) == sorted(compiling.targets(file))
    assert compiling.share(file, 12, everything=True) == compiling.targets(file)


@pytest.mark.parametrize("file", source.sources())
def test_header_names_what_there_is(file):
    header = source.header(file)
    assert set(header.architectures) <= set(ARCHITECTURES)
    assert set(header.elements) <= {element.macro for element in ELEMENTS.values()}
    reachable = compiling.targets(file)
    assert all(any(expected.holds_for(*target) for target in reachable) for expected in header.expects)


def test_each_architecture_and_element_is_some_kernels():
    named = [target for file in source.sources() for target in compiling.targets(file)]
    assert {target.architecture for target in named} == set(ARCHITECTURES)
    assert {target.element for target in named} >= {element.macro for element in ELEMENTS.values()}


def test_both_compilers_are_the_ones_that_were_asked_for():
    assert nvrtc.version(12) == (12, 9)
    assert nvrtc.version(13) == (13, 0)


HEADER = """\
// Architectures: sm_80
// Elements: FLOAT16
// Expects: FLOAT16 sm_80: HMMA.16816
"""
SPILLS = """
extern "C" __global__ void __launch_bounds__(1024) planted(float* x) {
  float kept[96];
  #pragma unroll
  for (int i = 0; i < 96; i++) kept[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
  #pragma unroll
  for (int i = 0; i < 96; i++) x[i * 1024 + threadIdx.x] = kept[i] * kept[(5 * i + 3) % 96];
}
"""
INDEXES = """
extern "C" __global__ void planted(float* x, int n) {
  float kept[8];
  for (int i = 0; i < 8; i++) kept[i] = x[i];
  for (int i = 0; i < n; i++) kept[(i * 3 + n) % 8] += x[i];
  for (int i = 0; i < 8; i++) x[i] = kept[i];
}
"""
PLAIN = 'extern "C" __global__ void planted(float* x) { x[threadIdx.x] *= 2.f; }'
WARNS = 'extern "C" __global__ void planted(float* x) { int unused; x[threadIdx.x] *= 2.f; }'
WRONG = 'extern "C" __global__ void planted(float* x) { x[threadIdx.x] *= nothing; }'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SPILLS, "spills"),
        (INDEXES, "in local memory"),
        (PLAIN, "planted holds no HMMA.16816"),
        (WARNS, "warning"),
        (WRONG, 'identifier "nothing" is undefined'),
        ("", "no kernel"),
    ],
)
@pytest.mark.parametrize("major", MAJORS)
def test_planted_fault_is_rejected(tmp_path, major, text, told):
    (tmp_path / "planted.cu").write_text(HEADER + text)
    found = compiling.problems("planted.cu", major, tmp_path)
    assert any(told in problem for problem in found), found


def test_an_instruction_is_found_by_its_first_words():
    listing = """\
//--------------------- .text.conv                --------------------------
.text.conv:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/              @!P0 LDGSTS.E.BYPASS.128 [R2], [R4.64] ;
        /*0020*/             @!UPT UIADD3 URZ, UPT, UPT, URZ, URZ, URZ ;
        /*0030*/                   HMMA.16816.F32 R4, R8, R2, R4 ;
        /*0040*/                   HMMA.16816.F32 R4, R8, R2, R4 ;
        /*0050*/                   HGMMA.64x64x16.F32 R24, gdesc[UR4], R24, gsb0 ;
"""
    counts = sass.parse(listing)["conv"]
    assert counts == {"MOV": 1, "LDGSTS.E.BYPASS.128": 1, "UIADD3": 1, "HMMA.16816.F32": 2, "HGMMA.64x64x16.F32": 1}
    assert sass.holds(counts, "HMMA.16816")
    assert not sass.holds(counts, "HMMA.168")
    assert not sass.holds(counts, "LDSM")
