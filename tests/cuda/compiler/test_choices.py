"""Which kernel a convolution takes, the tables that may say otherwise, and the measuring that fills them."""

from __future__ import annotations

import json

import numpy as np
import pytest

import npresnet
from npresnet import cli, cuda
from npresnet.bench.gpu_timer import GpuTimer, Racer
from npresnet.bench.tune_gpu import Measured, Tuned, Where
from npresnet.cuda.compiler import choices, tuning
from npresnet.cuda.compiler.choices import Layer, Processor, candidates, choose
from npresnet.cuda.compiler.program import layers_of
from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.geometry import ConvShape
from npresnet.system import measured
from npresnet.window import Window
from tests.cuda.running import compiled
from tests.emulator import emulator
from tests.support.small import batch

HOPPER, AMPERE, TURING = (Processor("GPU", capability, 132) for capability in (90, 80, 75))
THREE, ONE = Window.of(3, 1, 1), Window.of(1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of its own, and no table of the user's."""
    monkeypatch.setattr(measured, "cache_folder", lambda: tmp_path)
    tuning.tables.cache_clear()
    yield tmp_path
    tuning.tables.cache_clear()


def layer(images=64, size=28, channels=(128, 128), window=THREE, groups=1, *, residual=False) -> Layer:
    shape = ConvShape(images, size, size, *channels, window, groups)
    return Layer(shape, 4 if channels[0] <= 4 else channels[0], residual)


STEM = layer(size=224, channels=(3, 64), window=Window.of(7, 2, 3))


@pytest.mark.parametrize(
    ("wanted", "dtype", "gpu", "launcher"),
    [
        (layer(), "float16", HOPPER, "conv2d_wgmma_tma"),
        (layer(), "tf32", HOPPER, "conv2d_wgmma_tma"),
        (layer(channels=(40, 128)), "float16", HOPPER, "conv2d_wgmma"),
        (layer(images=1, size=7, channels=(512, 512)), "float16", HOPPER, "conv2d_mma"),
        (layer(), "bfloat16", AMPERE, "conv2d_mma"),
        (layer(), "float16", TURING, "conv2d_mma"),
        (layer(), "float32", TURING, "conv2d_registers"),
        (layer(channels=(128, 128), groups=32), "float16", AMPERE, "conv2d_mma_grouped"),
        (layer(), "float32", HOPPER, "conv2d_registers"),
        (STEM, "float16", HOPPER, "stem_mma"),
        (STEM, "float32", HOPPER, "stem_registers"),
    ],
)
def test_the_rule(wanted, dtype, gpu, launcher):
    assert choose(wanted, ELEMENTS[dtype], gpu).launcher == launcher


@pytest.mark.parametrize("images", [1, 256])
def test_a_clearly_faster_launcher_comes_first_and_a_fallback_never_does(images):
    for channels, size in (((512, 512), 7), ((256, 256), 14), ((64, 64), 56), ((8, 8), 4)):
        wanted, element = layer(images, size, channels), ELEMENTS["float16"]
        names = [choice.launcher for choice in choices.by_rule(wanted, element, HOPPER)]
        assert sorted(names) == sorted({choice.launcher for choice in candidates(wanted, element, HOPPER)})
        assert names[-2:] == list(choices.FALLBACKS)
        first, *others = choices.by_rule(wanted, element, HOPPER)
        least_us = min(other.predicted_us(wanted, element, HOPPER) for other in others[:-2] or [first])
        assert first.predicted_us(wanted, element, HOPPER) * choices.CLEARLY <= least_us


def test_there_is_always_a_kernel():
    odd = layer(images=3, size=9, channels=(33, 66), window=Window.of((5, 3), (1, 2), (0, 2), (2, 1)), groups=33)
    for dtype, gpu in ((dtype, gpu) for dtype in ELEMENTS for gpu in (HOPPER, AMPERE, TURING)):
        assert choose(odd, ELEMENTS[dtype], gpu)
        assert "conv2d_direct" in {choice.launcher for choice in candidates(odd, ELEMENTS[dtype], gpu)}


def test_a_stem_s_kernels_take_no_residual():
    with_residual = STEM._replace(has_residual=True)
    assert choose(with_residual, ELEMENTS["float16"], HOPPER).launcher not in choices.STEMS


def test_names_of_layers_tell_them_apart():
    some = [
        layer(),
        layer(images=1),
        layer(window=ONE),
        layer(window=Window.of(3, 2, 1)),
        layer(window=Window.of(3, 1, 2, 2)),
        layer(groups=4),
        layer(residual=True),
        layer(size=14),
        layer(channels=(128, 64)),
    ]
    keys = {one.key(ELEMENTS[dtype]) for one in some for dtype in ("float16", "float32")}
    assert len(keys) == 2 * len(some)
    assert layer().key(ELEMENTS["float16"]) == "float16 64x 3x3 128->128, 28x28"


def test_a_measured_choice_comes_first(cache):
    element, wanted = ELEMENTS["float16"], layer()
    other = next(c for c in candidates(wanted, element, HOPPER) if c.launcher == "conv2d_mma")
    tuning.save(str(HOPPER), {wanted.key(element): (other.launcher, str(other.tile))})
    assert choose(wanted, element, HOPPER) == other
    assert choose(wanted, element, HOPPER._replace(multiprocessors=66)).launcher == "conv2d_wgmma_tma"
    tuning.path().unlink()
    tuning.tables.cache_clear()
    assert choose(wanted, element, HOPPER).launcher == "conv2d_wgmma_tma"


def answered(table, wanted, gpu=HOPPER, *, of=HOPPER) -> str:
    """Launcher and tile for `wanted` on `gpu`, with a table of {images: [launcher, tile]} of the GPU `of`."""
    element = ELEMENTS["float16"]
    keys = {images: wanted._replace(shape=wanted.shape._replace(images=images)).key(element) for images in table}
    tuning.save(str(of), {keys[images]: words for images, words in table.items()})
    return str(choose(wanted, element, gpu))


@pytest.mark.parametrize(
    ("images", "expected"),
    [(200, "conv2d_mma 128x64s4"), (512, "conv2d_mma 128x64s4"), (128, "conv2d_mma 64x64s4"),
     (100, "conv2d_mma 64x64s4"), (64, "conv2d_mma 64x64s4"), (40, "conv2d_mma 64x64s4")],
)  # fmt: skip
def test_a_table_answers_for_the_nearest_number_of_images(images, expected):
    """In ratio; of two that are equally near the smaller."""
    table = {256: ("conv2d_mma", "128x64s4"), 64: ("conv2d_mma", "64x64s4")}
    assert answered(table, layer(images=images)) == expected


@pytest.mark.parametrize("images", [513, 31])
def test_a_table_does_not_answer_for_far_more_or_fewer_images(images):
    table = {256: ("conv2d_mma", "128x64s4"), 64: ("conv2d_mma", "64x64s4")}
    assert answered(table, layer(images=images)).startswith("conv2d_wgmma_tma")


def test_the_next_nearest_answers_where_the_nearest_names_what_is_not_to_be_had():
    table = {256: ("conv2d_mma", "64x64s4/16"), 128: ("conv2d_mma", "64x64s4")}
    assert answered(table, layer(images=250)) == "conv2d_mma 64x64s4"


def test_a_table_of_another_layer_does_not_answer():
    table = {64: ("conv2d_mma", "64x64s4")}
    for other in (layer(size=27), layer(channels=(128, 256)), layer(residual=True)):
        answered(table, other)
    assert choose(layer(), ELEMENTS["float16"], HOPPER).launcher == "conv2d_wgmma_tma"
    tuning.save(str(HOPPER), {layer().key(ELEMENTS["bfloat16"]): ("conv2d_mma", "64x64s4")})
    assert choose(layer(), ELEMENTS["float16"], HOPPER).launcher == "conv2d_wgmma_tma"


def test_a_gpu_like_it_answers_after_its_own_table():
    h200, h100, pcie = (
        Processor(f"NVIDIA {name}", 90, count) for name, count in (("H200", 132), ("H100", 132), ("P", 114))
    )
    table = {64: ("conv2d_mma", "64x64s4")}
    assert answered(table, layer(), h100, of=h200) == "conv2d_mma 64x64s4"
    assert answered(table, layer(), pcie, of=h200) == "conv2d_mma 64x64s4"
    assert answered({64: ("conv2d_mma", "128x64s4")}, layer(), pcie, of=pcie) == "conv2d_mma 128x64s4"
    assert answered({}, layer(), h100) == "conv2d_mma 64x64s4", "the H200 is more like it"
    for unlike in (Processor("NVIDIA H20", 90, 78), Processor("NVIDIA B200", 100, 148), Processor("A100", 80, 108)):
        assert answered({}, layer(), unlike) == str(next(choices.by_rule(layer(), ELEMENTS["float16"], unlike)))


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"format": 2}', '{"format": 1, "GPU": 3}', '{"format": 1, "GPU": {"LAYER": ["conv2d_mma", "7x7"]}}',
     '{"format": 1, "GPU": {"LAYER": ["os", "system"]}}', '{"format": 1, "GPU": {"LAYER": {}}}',
     '{"format": 1, "GPU": {"float16 0064x 3x3 128->128, 28x28": ["conv2d_mma", 8]}}',
     '{"format": 1, "GPU": {"float16 99x": [], "x": 1}, "GPU, sm_90": {}, "GPU, sm_90, 0 multiprocessors": {}}'],
)  # fmt: skip
def test_a_table_that_makes_no_sense_counts_as_none(cache, text):
    wanted = layer()
    text = text.replace("LAYER", wanted.key(ELEMENTS["float16"])).replace('"GPU":', f'"{HOPPER}":')
    tuning.path().write_text(text)
    assert choose(wanted, ELEMENTS["float16"], HOPPER).launcher == "conv2d_wgmma_tma"


def test_what_ships_names_only_what_there_is():
    for gpu, table in json.loads(tuning.SHIPPED.read_bytes()).items():
        assert tuning.ENTRY.fullmatch(gpu)
        for launcher, tile in table.values():
            assert launcher in choices.LAUNCHERS
            assert isinstance(tile, str)


@emulator.needed
def test_every_candidate_gives_the_same_result(gpus):
    """A layer of ResNeXt, whichever kernel a table names for it."""
    gpus(capability=90)
    network = npresnet.build("resnet14", groups=8, width_per_group=8, num_classes=4).network.with_outputs(["layer1.0"])
    x, gpu = batch(1, size=16), cuda.open_gpu("cuda")
    processor = Processor(gpu.name, gpu.capability, gpu.multiprocessors)
    expected = compiled(network)(x)["layer1.0"]
    names = set()
    for node_layer in dict.fromkeys(layers_of(network, (3, 16, 16), 1, ELEMENTS["float16"], processor).values()):
        for choice in candidates(node_layer, ELEMENTS["float16"], processor):
            if choice.launcher in names:
                continue
            names.add(choice.launcher)
            tuning.save(str(processor), {node_layer.key(ELEMENTS["float16"]): (choice.launcher, str(choice.tile))})
            found = compiled(network, "float16")(x)["layer1.0"]
            assert np.linalg.norm(found - expected) <= 5e-3 * np.linalg.norm(expected), choice
    assert {"stem_mma", "conv2d_mma", "conv2d_mma_grouped", "conv2d_direct", "conv2d_tiled"} <= names


@emulator.needed
def test_bench_tune_keeps_what_it_measured(gpus, monkeypatch, capsys):
    """With a clock that finds conv2d_tiled ten times as fast as all others."""
    stand_in = gpus(capability=80)

    monkeypatch.setattr(cuda.Gpu, "time_ms", lambda gpu, calls, stream, repeats=1: 1.0)

    def replayed(timer, name, calls):
        return Racer(name, lambda runs: 0.1 if "tiled" in name else 1.0)

    monkeypatch.setattr(GpuTimer, "replayed", replayed)
    arguments = ["bench", "cifar_resnet20", "--tune", "--quick", "--device", "cuda", "--dtype", "float16"]
    assert cli.main([*arguments, "--batches", "2", "--size", "32"]) == 0
    told = capsys.readouterr()
    assert "float16 2x 3x3 3->16, 32x32" in told.out
    assert str(tuning.path()) in told.err
    (table,) = tuning.tables(str(Processor(stand_in.name, 80, stand_in.multiprocessors)))
    assert len(table) >= 6
    assert all(words[0] == "conv2d_tiled" for words in table.values())


def test_a_built_in_choice_that_stood_is_kept_against_its_neighbours(monkeypatch):
    """Measured: conv2d_mma for 256 images, and for 128 that nothing is clearly faster than the rule's."""
    element, (many, few) = ELEMENTS["float16"], (layer(images=256), layer(images=128))
    other = next(c for c in candidates(many, element, HOPPER) if c.launcher == "conv2d_mma")
    usual = {one: next(choices.by_rule(one, element, HOPPER)) for one in (many, few)}
    times = {many: [Measured(other, 1.0), Measured(usual[many], 2.0)], few: [Measured(usual[few], 1.0)]}
    monkeypatch.setattr(Where, "processor", HOPPER)
    Where(None, element).save([Tuned(one.key(element), times[one], usual[one]) for one in (many, few)])
    assert choose(many, element, HOPPER) == other
    assert choose(few, element, HOPPER) == usual[few]


@emulator.needed
def test_times_are_of_the_gpu_s_clock(gpus):
    gpus()
    run = compiled(npresnet.build("cifar_resnet20", num_classes=4).network)
    calls = run.gpu.bind(run.steps((3, 8, 8))[0].tiles)
    assert run.gpu.time_ms(calls, run.gpu.stream(), 4) == 0.25
