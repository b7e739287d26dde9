"""That the stage of whole numbers finds what a kernel may do wrong: planted into conv2d_tiled on the emulator."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks.gpu import exact, exact_network, exact_stem, parity, subjects
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.guarded import WholeNumbers
from npresnet import cuda, ops, passes
from npresnet.cuda import ELEMENTS
from npresnet.cuda.compiler.choices import Processor, candidates
from npresnet.cuda.compiler.program import layers_of
from npresnet.cuda.elements import restore, store
from tests.emulator import emulator
from tests.emulator.cupy_stand_in import CupyStandIn

pytestmark = emulator.needed
END = "  if (m >= M || filter >= group_filters) return;"
FAULTS = {
    "one number": (END, f"if (m == 1) sum += 1;\n{END}", "numbers differ, the first"),
    "not written": (END, f"if (m == 3) return;\n{END}", "numbers differ, the first"),
    "beside y": (END, f"if (m == 0 && filter == 0) y[-1] = from_float(1.f);\n{END}", "y: 2 bytes beside it were"),
    "into x": (END, f"if (m == 0) ((Stored*)x)[0] = from_float(9.f);\n{END}", "x: it was written to"),
}


@pytest.fixture
def bench(monkeypatch, tmp_path):
    stand_in = CupyStandIn(capability=90, multiprocessors=4).install(monkeypatch, tmp_path)
    gpu = cuda.open_gpu("cuda")
    yield Bench(gpu, gpu.stream(), emulated=True, precisions=["float16"])
    stand_in.forget()


def case(bench, name):
    return next(case for case in exact.cases(bench) if case.name == name)


def test_every_candidate_of_every_launcher_is_a_case(bench):
    layer = exact.TINY["3x3 + residual"]
    found = [case for case in exact.cases(bench) if case.name.startswith("3x3 + residual float16")]
    every = candidates(layer, ELEMENTS["float16"], exact.processor(bench))
    assert sum(case.measure()["candidates"] for case in found) == len(every)
    assert {choice.launcher for choice in every} == {case.name.split()[-1] for case in found}


def plant(monkeypatch, file, old, new):
    """From now on that kernel has the edit."""
    usual = emulator.run

    def run(launches, **how):
        for launch in launches:
            usual([launch], **how, edits=((old, new),) if launch.source.file == file else ())

    monkeypatch.setattr(emulator, "run", run)


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_is_a_problem(bench, monkeypatch, what):
    old, new, words = FAULTS[what]
    plant(monkeypatch, "conv2d/tiled.cu", old, new)
    problem = case(bench, "3x3 + residual float16 conv2d_tiled").measure()["problem"]
    assert problem.startswith("2 of 2 are wrong: conv2d_tiled ")
    assert words in problem


def test_the_judge_is_judged_by_float64(bench, monkeypatch):
    monkeypatch.setattr(WholeNumbers, "exact", lambda numbers: ([0, 1], np.zeros((2, 5, 6, 64), np.float32)))
    problem = case(bench, "3x3 + residual float16 conv2d_mma").measure()["problem"]
    assert problem.startswith("conv2d_direct 256, by which the others are judged: ")


def test_layers_are_of_every_kind_that_kernels_tell_apart():
    shapes = [layer.shape for layer in exact.LAYERS.values()]
    assert {layer.has_residual for layer in exact.LAYERS.values()} == {True, False}
    assert {max(shape.window.stride) for shape in shapes} == {1, 2}
    assert max(max(shape.window.dilation) for shape in shapes) == 2
    assert {shape.window.kernel_size for shape in shapes} == {(1, 1), (3, 3), (7, 7)}
    assert any(shape.groups > 1 for shape in shapes)
    assert any(shape.in_channels % 8 for shape in shapes if shape.in_channels > 3)
    assert max(shape.images for shape in shapes) > 1
    assert {"walk16", "walk1"} <= {str(choice.tile) for layer in exact.LAYERS.values() for choice in candidates(
        layer, ELEMENTS["float16"], Processor("NVIDIA H200", 90, 132))}  # fmt: skip
    assert all(9 * shape.K + 6 < 1 << 24 for shape in shapes)  # every sum is exact in float32


def test_parity_takes_every_tile_of_a_launcher(bench):
    taken = set()
    for turn in range(2):
        with parity.launched_by("conv2d_tiled", turn) as found:
            cuda.compile(parity.passes.optimize(parity.subjects.network("cifar_resnet8")), bench.gpu,
                         ELEMENTS["float16"]).layout((3, 16, 16), 1)  # fmt: skip
        assert set(found.values()) == {2}
        taken |= {str(choice.tile) for choice in found}
    assert taken == {"16x16", "32x32"}


@pytest.mark.parametrize("dtype", ELEMENTS)
def test_a_whole_network_is_exact_in_every_precision(bench, dtype):
    assert exact_network._compare(bench, 2, dtype) == {"result": "exact"}
    assert exact_network._compare_pixels(bench, 2, dtype) == {"result": "exact"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("max_pool2d/max_pool2d.cu", "w = left + s * pool.dilation_w", "w = left + 1 + s * pool.dilation_w"),
        ("global_avg_pool/global_avg_pool.cu", "half > 0; half /= 2", "half > 1; half /= 2"),
        ("linear/warp.cu", "int lanes = 16; lanes", "int lanes = 8; lanes"),
    ],
    ids=["max pool", "mean", "linear"],
)
def test_a_fault_of_another_kernel_shows_in_the_network(bench, monkeypatch, file, old, new):
    plant(monkeypatch, file, old, new)
    assert "logits differ" in exact_network._compare(bench, 2, "float32")["problem"]


RANKING = "softmax_top_k/softmax_top_k.cu"


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("preprocess/preprocess.cu", "x[(size_t)p * how.channels + c]", "x[(size_t)p * how.channels]", "logits differ"),
        (RANKING, "  sum = join_block(sum, shared_sums, Sum());", "", "their probabilities are not"),
        (RANKING, "return (Rank)ordered << 32", "return (Rank)~ordered << 32", "the 5 best classes are not"),
    ],
    ids=["pixels", "softmax", "ranking"],
)
def test_a_fault_of_a_pipeline_s_kernels_shows_in_the_network_of_pixels(bench, monkeypatch, file, old, new, told):
    plant(monkeypatch, file, old, new)
    assert told in exact_network._compare_pixels(bench, 2, "float32")["problem"]


def test_no_value_of_that_network_is_rounded():
    network = exact_network.network()
    every = type(network)(network.nodes, {node.name: node.name for node in network})
    x = np.random.default_rng(3).integers(-1, 2, (4, 3, 32, 32)).astype(np.float64)
    values = ops.run(every, x)
    for name, value in values.items():
        if name != "fc":  # whose result is float32
            np.testing.assert_array_equal(restore(store(value, ELEMENTS["bfloat16"]), ELEMENTS["bfloat16"]), value)
        assert np.unique(value).size > 2


def pooled_stems(bench):
    return {case.name: case for case in exact_stem.cases(bench)}


def test_every_pooled_stem_is_exact(bench):
    found = {name: case.measure() for name, case in pooled_stems(bench).items()}
    launchers = {name.split()[-1] for name in found}
    assert launchers == {"stem_wgmma_pool", "stem_mma_pool"}
    assert len(found) == 2 * len(launchers)  # of pixels and of float32 images
    assert all(list(finding) == ["candidates"] and finding["candidates"] > 1 for finding in found.values())


def test_a_fault_in_a_pooled_stem_is_a_problem(bench, monkeypatch):
    plant(monkeypatch, "stem/wgmma_pool.cu", "pooled[i] + bias[i % 2]", "pooled[i] + bias[0]")
    problem = pooled_stems(bench)["pixels to pooled stem float16 stem_wgmma_pool"].measure()["problem"]
    assert " are wrong: stem_wgmma_pool rows" in problem
    assert " numbers differ" in problem


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_no_tile_of_a_network_on_an_h200_is_left_unproved(dtype):
    """Whatever new tile a network's layer can take, some layer of the stage takes it too. Splits of K are alike."""
    gpu, element = Processor("NVIDIA H200", 90, 132), ELEMENTS[dtype]

    def tiles(layers):
        every = {choice for layer in layers for choice in candidates(layer, element, gpu)}
        return {f"{choice.launcher} {re.sub('/[0-9]+$', '', str(choice.tile))}" for choice in every}

    proved = tiles(exact.LAYERS.values())
    for name in ("resnet50", "resnext50_32x4d"):
        network = passes.optimize(subjects.network(name))
        for images in (1, 32, 256):
            layers = layers_of(network, (3, 224, 224), images, element, gpu).values()
            assert tiles(layers) <= proved
