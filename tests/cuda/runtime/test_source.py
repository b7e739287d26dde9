"""The text of a CUDA source: includes once, real file names in messages, a header that can be read."""

from __future__ import annotations

import pytest

from npresnet.cuda.runtime import source
from npresnet.errors import DeviceError


@pytest.fixture
def kernels(tmp_path):
    """A folder of sources: write(name, text)."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return tmp_path

    return write


def test_a_file_is_put_in_once_and_lines_keep_their_numbers(kernels):
    kernels("common/a.cuh", "#pragma once\nint a;\n")
    kernels("common/b.cuh", '#pragma once\n#include "a.cuh"\nint b;\n')
    root = kernels("op/k.cu", '// top\n#include "../common/b.cuh"\n#include "../common/a.cuh"\nint k;\n')
    assert source.read("op/k.cu", root).splitlines() == [
        '#line 1 "op/k.cu"',
        "// top",
        '#line 1 "common/b.cuh"',
        "",
        '#line 1 "common/a.cuh"',
        "",
        "int a;",
        '#line 3 "common/b.cuh"',
        "int b;",
        '#line 3 "op/k.cu"',
        '#line 4 "op/k.cu"',
        "int k;",
    ]


def test_a_cycle_names_its_files(kernels):
    kernels("common/a.cuh", '#include "b.cuh"\n')
    root = kernels("common/b.cuh", '#include "a.cuh"\n')
    with pytest.raises(DeviceError, match=r"a\.cuh -> b\.cuh -> a\.cuh"):
        source.read("common/a.cuh", root)


def test_a_missing_file_names_who_wants_it(kernels):
    root = kernels("op/k.cu", '#include "../common/gone.cuh"\n')
    with pytest.raises(DeviceError, match=r"gone\.cuh, which k\.cu includes, cannot be read"):
        source.read("op/k.cu", root)
    with pytest.raises(DeviceError, match=r"other\.cu cannot be read"):
        source.read("op/other.cu", root)


def test_a_file_outside_is_refused(kernels):
    root = kernels("op/k.cu", '#include "../../secret.cuh"\n')
    with pytest.raises(DeviceError, match="outside"):
        source.read("op/k.cu", root)


def test_header(kernels):
    root = kernels(
        "op/k.cu",
        "// A kernel.\n// Architectures: sm_80 sm_90a\n// Elements: FLOAT16 BFLOAT16\n"
        "// Expects: FLOAT16 sm_80: HMMA.16816.F32 LDSM\n// Expects: all: FADD\n",
    )
    header = source.header("op/k.cu", root)
    assert header.architectures == ("sm_80", "sm_90a")
    assert header.elements == ("FLOAT16", "BFLOAT16")
    first, second = header.expects
    assert first == ("FLOAT16", "sm_80", ("HMMA.16816.F32", "LDSM"))
    assert first.holds_for("FLOAT16", "sm_80")
    assert not first.holds_for("FLOAT16", "sm_90a")
    assert not first.holds_for("BFLOAT16", "sm_80")
    assert second.holds_for("BFLOAT16", "sm_90a")


def test_a_source_without_elements(kernels):
    root = kernels("op/k.cu", "// Architectures: sm_75\n// Elements: none\n")
    assert source.header("op/k.cu", root).elements == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("// Elements: none\n", "one line '// Architectures"),
        ("// Architectures: sm_80\n", "one line '// Elements"),
        ("// Architectures: sm_80\n// Architectures: sm_90\n// Elements: none\n", "one line '// Architectures"),
        ("// Architectures: ampere\n// Elements: none\n", "'ampere'"),
        ("// Architectures: sm_80\n// Elements: none\n// Expects: HMMA\n", "Expects"),
    ],
)
def test_a_header_that_makes_no_sense(kernels, text, message):
    root = kernels("op/k.cu", text)
    with pytest.raises(DeviceError, match=message):
        source.header("op/k.cu", root)


def test_every_source_of_the_tree_can_be_read():
    for file in source.sources():
        assert f'#line 1 "{file}"' in source.read(file)
        assert source.header(file).architectures
