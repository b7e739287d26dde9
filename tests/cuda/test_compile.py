"""Every kernel compiles for every architecture and element that its header names.

The suite compiles each source once, with one of its elements, for a Hopper. All other elements and architectures, and
what the other of CUDA's two compilers has yet to see, take minutes and are a step of their own in `.ci/run`: `pytest -m
compile_matrix tests/cuda/test_compile.py`.
"""

from __future__ import annotations

import platform
import sys
from collections import Counter

import pytest

from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.runtime import modules, nvrtc, source
from tests.support import compiling, programs, sass
from tests.support.compiling import MAJORS, Compilation

ARCHITECTURES = "sm_75 sm_80 sm_86 sm_89 sm_90a sm_100 sm_120".split()
HOPPER = "sm_90a"
HAS_WHEELS = (sys.platform, platform.machine()) == ("linux", "x86_64")  # there the extra `test` brings the compilers

pytestmark = pytest.mark.skipif(not HAS_WHEELS, reason="no NVRTC wheels for this platform in the extra `test`")

FIRST = [turn for file in source.sources() for turn in compiling.first_turns(file)]
SECOND = [turn for file in source.sources() for turn in compiling.second_turns(file)]


def of(architecture: str, turns: list[Compilation]) -> list[Compilation]:
    return [turn for turn in turns if turn.architecture == architecture]


def test_each_source_compiles_cleanly():
    chosen = {turn.file: turn for turn in of(HOPPER, FIRST)}
    assert len(chosen) == len(source.sources())
    assert compiling.problems(list(chosen.values())) == []


@pytest.mark.compile_matrix
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_of_each_family_compiles_cleanly(architecture):
    assert compiling.problems(of(architecture, FIRST)) == []


@pytest.mark.compile_matrix
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_others_and_by_the_other_compiler(architecture):
    assert compiling.problems(of(architecture, SECOND)) == []


@pytest.mark.parametrize("file", source.sources())
def test_header_names_what_there_is(file):
    header = source.header(file)
    assert set(header.architectures) <= set(ARCHITECTURES)
    assert set(header.elements) <= {element.macro for element in ELEMENTS.values()}
    reachable = programs.targets(file)
    assert all(any(expected.holds_for(*target) for target in reachable) for expected in header.expects)


def test_all_that_the_headers_name_has_its_turn_and_nothing_has_two():
    turns = [*FIRST, *SECOND]
    assert {turn[:3] for turn in turns} == {(f, *target) for f in source.sources() for target in programs.targets(f)}
    assert {turn.architecture for turn in turns} == set(ARCHITECTURES)
    assert {turn.element for turn in turns} >= {element.macro for element in ELEMENTS.values()}
    assert set(Counter(turns).values()) == {1}


@pytest.mark.parametrize("major", MAJORS)
def test_what_is_compiled_here_is_what_devices_are_given(major):
    known = nvrtc.open_nvrtc(major).architectures
    assert [modules.architecture(capability, known) for capability in (75, 80, 86, 89, 90, 100, 120)] == ARCHITECTURES


def test_all_sources_are_compiled_for_hopper_by_both_compilers():
    """A Hopper is given sm_90a, whatever the source."""
    turns = {(turn.file, turn.element, turn.major) for turn in of(HOPPER, [*FIRST, *SECOND])}
    every = {(file, element) for file in source.sources() for element, _ in programs.targets(file)}
    assert turns == {(*one, major) for one in every for major in MAJORS}


def test_both_compilers_see_each_element_and_family_of_architectures():
    def families(turns: list[Compilation]) -> set[tuple]:
        return {(turn.file, turn.element, programs.family(turn.file, turn.architecture)) for turn in turns}

    by_12, by_13 = ([turn for turn in (*FIRST, *SECOND) if turn.major == major] for major in MAJORS)
    assert families(FIRST) == families(SECOND) == families(by_12) == families(by_13)
    assert len(FIRST) == len(families(FIRST))


# --- what cannot differ ---


def write(folder, text: str) -> str:
    lines = "// Architectures: sm_80 sm_86 sm_89 sm_90 sm_90a", "// Elements: FLOAT32 TF32 FLOAT16 BFLOAT16", text
    (folder / "planted.cu").write_text("\n".join(lines))
    return "planted.cu"


@pytest.mark.parametrize(
    ("text", "distinct"),
    [
        ("#define TF32 1\n#if ELEMENT == FLOAT16 || ELEMENT == BFLOAT16  // not TF32", "FLOAT32 FLOAT16 BFLOAT16"),
        ("#if ELEMENT != TF32", "FLOAT32 TF32"),
        ("/* ELEMENT */", "FLOAT32"),
        ("int element = ELEMENT;", "FLOAT32 TF32 FLOAT16 BFLOAT16"),
        ("#if FLOAT16 == 2", "FLOAT32 TF32 FLOAT16 BFLOAT16"),
    ],
)
def test_elements_that_no_line_tests_are_one(tmp_path, text, distinct):
    found = programs.targets(write(tmp_path, text), tmp_path)
    assert [target.element for target in found if target.architecture == "sm_80"] == distinct.split()


@pytest.mark.parametrize(
    ("text", "families"),
    [
        ("", "sm_80 sm_86 sm_89 | sm_90 sm_90a"),
        ("#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800", "sm_80 sm_86 sm_89 | sm_90 sm_90a"),
        ("int blocks = __CUDA_ARCH__ < 890 ? 1 : 2;", "sm_80 sm_86 | sm_89 | sm_90 sm_90a"),
        ("#if defined(__CUDA_ARCH_FEAT_SM90_ALL)", "sm_80 sm_86 sm_89 | sm_90 | sm_90a"),
        ("int a = __CUDA_ARCH__;", "sm_80 | sm_86 | sm_89 | sm_90 | sm_90a"),
    ],
)
def test_architectures_that_pass_the_same_tests_are_a_family(tmp_path, text, families):
    file = write(tmp_path, text)
    found: dict[tuple, list[str]] = {}
    for architecture in source.header(file, tmp_path).architectures:
        found.setdefault(programs.family(file, architecture, tmp_path), []).append(architecture)
    assert " | ".join(" ".join(members) for members in found.values()) == families


def test_an_element_left_out_gives_the_same_machine_code():
    """Of real kernels: add.cu never asks for TF32, the stem's does."""
    for file, elements, same in (
        ("add/add.cu", ("FLOAT32", "TF32"), True),
        ("stem/mma.cu", ("TF32", "FLOAT16"), False),
    ):
        one, other = (
            nvrtc.compile(source.read(file), file, "sm_80", sass.defines(element), major=13).cubin
            for element in elements
        )
        assert (one == other) is same
        assert (elements[1] not in {target.element for target in programs.targets(file)}) is same


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
    found = compiling.problems([Compilation("planted.cu", "FLOAT16", "sm_80", major)], tmp_path)
    assert any(told in problem for problem in found), found


def test_each_of_several_files_is_told_its_own_problems(tmp_path):
    """Though they are disassembled as one."""
    texts = {"plain.cu": PLAIN, "wrong.cu": WRONG, "spills.cu": SPILLS, "fine.cu": PLAIN}
    for name, text in texts.items():
        (tmp_path / name).write_text((HEADER.replace("HMMA.16816", "LDG.E") if name == "fine.cu" else HEADER) + text)
    found = compiling.problems([Compilation(name, "FLOAT16", "sm_80", 13) for name in texts], tmp_path)
    assert {problem.partition(" ")[0] for problem in found} == {"plain.cu", "wrong.cu", "spills.cu"}
    assert "plain.cu FLOAT16 sm_80 CUDA 13: no kernel holds HMMA.16816" in found


def test_instructions_are_counted_kernel_by_kernel():
    listing = """\
	.headerflags	@"EF_CUDA_64BIT_ADDRESS EF_CUDA_SM90 EF_CUDA_VIRTUAL_SM(EF_CUDA_SM90)"
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/              @!P0 LDGSTS.E.BYPASS.128 [R2], [R4.64] ;
        /*0020*/             @!UPT UIADD3 URZ, UPT, UPT, URZ, URZ, URZ ;
        /*0030*/                   HMMA.16816.F32 R4, R8, R2, R4 ;
        /*0040*/                   HMMA.16816.F32 R4, R8, R2, R4 ;
        /*0050*/                   HGMMA.64x64x16.F32 R24, gdesc[UR4], R24, gsb0 ;
"""
    first, second = sass.parse(listing, [0x40, 0x20])
    assert first == {"MOV": 1, "LDGSTS.E.BYPASS.128": 1, "UIADD3": 1, "HMMA.16816.F32": 1}
    assert second == {"HMMA.16816.F32": 1, "HGMMA.64x64x16.F32": 1}


def test_an_instruction_is_found_by_its_first_words():
    counts = Counter({"HMMA.16816.F32": 2})
    assert sass.holds(counts, "HMMA.16816")
    assert not sass.holds(counts, "HMMA.168")
    assert not sass.holds(counts, "LDSM")
