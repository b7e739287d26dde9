from __future__ import annotations

import json
import subprocess
import sys

import pytest

from npresnet.bench import isa, words
from npresnet.bench.isa import Report
from npresnet.bench.machine import describe
from npresnet.bench.process import worker_environ
from tests.support.checkout import REPOSITORY

HAS_AVX2 = "avx2" in describe()["flags"]


@pytest.mark.parametrize(
    ("main", "said"),
    [
        ({"OpenBLAS": "Haswell", "NumPy": "X86_V3"}, ""),
        ({"NumPy": "AVX2, FMA3"}, ""),
        ({"Convolution": "brgconv_avx2_f32, brgconv_avx2_1x1_f32"}, ""),
        ({"inductor": "avx2, -march=x86-64-v3"}, ""),
        ({"inductor": "avx2, -march=native"}, "inductor says 'avx2, -march=native'"),
        ({"OpenBLAS": "Haswell", "NumPy": "X86_V3, X86_V4"}, "NumPy says 'X86_V3, X86_V4'"),
        ({"oneDNN": "Intel AVX-512 with Intel DL Boost"}, "oneDNN says 'Intel AVX-512 with Intel DL Boost'"),
        ({"oneDNN": "Intel AVX2", "primitives": "jit:avx2, brg:avx10_1_512"}, "primitives says"),
        ({"OpenBLAS": "SkylakeX"}, "OpenBLAS says 'SkylakeX'"),
        ({"OpenBLAS": "Prescott"}, "OpenBLAS says 'Prescott'"),
        ({"Convolution": ""}, "Convolution says ''"),
        ({}, "it does not say"),
    ],
)
def test_its_own_words_decide_whether_an_engine_was_held(main, said):
    found = isa.disobedience(Report(main))
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_other_parts_may_choose_but_are_named():
    report = Report({"Convolution": "jit_avx2"}, {"Reduce": "jit_avx512", "Pooling": "jit_avx2", "MKL": "Architecture"})
    assert isa.disobedience(report) == ""
    assert isa.independent(report) == {"Reduce": "jit_avx512", "MKL": "Architecture"}


def asked_of(program: str, **more: str) -> Report:
    """What a fresh process, held to AVX2, says: `program` makes `report`."""
    show = "import json; print('\\n' + json.dumps([dict(report.main), dict(report.aside)]))"
    environ = {**worker_environ(1, isa="avx2"), "PYTHONPATH": str(REPOSITORY), **more}
    done = subprocess.run([sys.executable, "-c", f"{program}\n{show}"], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return Report(*json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.skipif(not HAS_AVX2, reason="this processor has no AVX2")
def test_numpy_and_its_blas_are_held():
    report = asked_of("from npresnet.bench import words; report = words.of_numpy()")
    assert isa.disobedience(report) == ""
    assert report.main["OpenBLAS"] == "Haswell"


TORCH = """
import torch
from npresnet.bench import words
layer = torch.nn.Sequential(torch.nn.Conv2d(16, 32, 3), torch.nn.Flatten(), torch.nn.Linear(32 * 36, 5))
with torch.inference_mode():
    report = words.of_torch(torch, lambda: layer(torch.ones(2, 16, 8, 8)))
print("to stdout again")
"""


@pytest.mark.skipif(not HAS_AVX2, reason="this processor has no AVX2")
def test_pytorch_says_what_it_uses():
    pytest.importorskip("torch")
    assert isa.disobedience(asked_of(TORCH)) == ""
    if "avx512f" in describe()["flags"]:
        loose = isa.disobedience(asked_of(TORCH, ATEN_CPU_CAPABILITY="avx512", ONEDNN_MAX_CPU_ISA="ALL"))
        assert "ATen says 'AVX512'" in loose
        assert "oneDNN's primitives says" in loose


class Node:
    """Of OpenVINO's runtime model."""

    def __init__(self, layer: str, primitive: str):
        self.info = {"layerType": layer, "primitiveType": primitive}

    def get_rt_info(self):
        return self.info


class Compiled:
    """A compiled OpenVINO model."""

    def __init__(self, *nodes: Node):
        self.nodes = nodes

    def get_runtime_model(self):
        return self

    def get_ops(self):
        return self.nodes


def test_openvino_is_judged_by_its_convolutions():
    held = [Node("Convolution", "brgconv_avx2_f32"), Node("Const", "unknown"), Node("Reorder", "jit_uni_f32")]
    others = [Node("Reduce", "jit_avx512_f32"), Node("FullyConnected", "gemm_mlas_f32")]
    report = words.of_openvino(Compiled(*held, *others))
    assert isa.disobedience(report) == ""
    assert isa.independent(report) == {"Reduce": "jit_avx512_f32", "FullyConnected": "gemm_mlas_f32"}
    one_loose = words.of_openvino(Compiled(*held, Node("Convolution", "brgconv_avx512_f32")))
    assert "brgconv_avx512_f32" in isa.disobedience(one_loose)
    assert isa.disobedience(words.of_openvino(Compiled(*others))), "no convolution was seen"


def test_the_legend_says_who_used_what_and_who_chose_alone():
    engines = {
        "npresnet": {"instructions": {"OpenBLAS": "Haswell", "NumPy": "X86_V3"}},
        "openvino": {"instructions": {"Convolution": "jit_avx2, b_avx2"}, "independent": {"Reduce": "jit_avx512"}},
        "onnxruntime": {"status": "free"},
    }
    text = isa.held_text({"isa": "avx2", "cases": [{"engines": engines}, {"engines": engines}]}, str.upper)
    assert text == (
        "Every engine was held to AVX2, and says itself what it uses. NPRESNET: OpenBLAS Haswell, NumPy X86_V3; "
        "OPENVINO: Convolution jit_avx2 b_avx2, Reduce jit_avx512. Beside the convolutions, these chose "
        "for themselves or do not say: OPENVINO's Reduce."
    )


def test_what_c_libraries_print_is_caught_and_nothing_else(capfd):
    import os

    with words._printed() as lines:
        os.system("echo said by a child")
    assert lines == ["said by a child"]
    os.system("echo after it")
    assert capfd.readouterr().out == "after it\n"
