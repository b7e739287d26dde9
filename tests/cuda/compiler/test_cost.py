"""The cost model: its equation on numbers that can be worked out by hand, and every launcher's account of its work."""

from __future__ import annotations

import pytest

from npresnet.cuda.compiler import choices
from npresnet.cuda.compiler.choices import Layer, Processor, candidates, candidates_of
from npresnet.cuda.compiler.cost import H200, Phase, Work, bytes_of, card_of, limit, predicted_us, rounds
from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import conv2d_mma, conv2d_wgmma, conv2d_wgmma_tma, stem, stem_mma
from npresnet.window import Window

HALF = ELEMENTS["float16"]
# 10 multiprocessors of 1 GHz: 100 bytes a clock from L2 in all, 40 to one; 1000 FLOPs a clock each
CARD = H200._replace(
    name="a card for sums by hand",
    multiprocessors=10,
    clock_ghz=1.0,
    dram_tbs=1.0,
    l2_tbs=0.1,
    l2_bytes_per_clock=40.0,
    shared_bytes_per_clock=100.0,
    tflops={"wgmma float16": 10.0},
    gap_us=1.0,
    latency_us=0.5,
    ramp_us=2.0,
)
LONG = Window.of(3, 1, 1)


def test_a_copy_takes_what_its_bytes_take():
    assert predicted_us([Work(100e6)], CARD) == pytest.approx(1 + 2 + 100)
    assert predicted_us([Work(2e6)], CARD) == pytest.approx(1 + 1 + 2), "a short one loses half as much as it works"
    assert predicted_us([Work(0)], CARD) == pytest.approx(1 + 0.5), "and an empty one its latency"
    assert predicted_us([Work(2e6), Work(0)], CARD) == pytest.approx(4 + 1.5), "launches follow each other"


@pytest.mark.parametrize(
    ("phases", "tiles", "clocks", "binds"),
    [
        ((Phase(l2_bytes=100e3),), 10, 10e3, "L2"),  # all ten share L2
        ((Phase(l2_bytes=100e3),), 1, 2.5e3, "L2"),  # one alone gets no more than its own port
        ((Phase(shared_bytes=100e3),), 10, 1e3, "shared"),
        ((Phase(flops=5e6),), 10, 5e3, "products"),
        ((Phase(l2_bytes=1e3, flops=5e6, clocks=70),), 10, 5070, "products"),  # the slowest, then the waiting
        ((Phase(flops=5e6), Phase(shared_bytes=100e3)), 10, 6e3, "products"),  # phases follow each other
        ((Phase(flops=5e6),), 11, 10e3, "products"),  # the last tile is a round of its own
    ],
)
def test_tiles_take_rounds_of_their_phases(phases, tiles, clocks, binds):
    work = Work(0, tiles, phases, "wgmma float16")
    assert predicted_us([work], CARD) == pytest.approx(1 + max(0.5, min(2, clocks / 2e3)) + clocks / 1e3)
    assert limit(work, CARD) == binds
    assert limit(work._replace(dram_bytes=1e9), CARD) == "DRAM"


def test_two_equal_limits_take_an_eighth_longer_than_one():
    both = Work(100e6, 10, (Phase(flops=100e6),), "wgmma float16")
    assert predicted_us([both], CARD) == pytest.approx(3 + 100 * 2 ** (1 / 6))


def test_a_gpu_with_half_the_multiprocessors_takes_twice_the_time():
    half = card_of("half of one", 66)
    work = Work(1e9, 1320, (Phase(1e6, 1e6, 1e9),), "mma float16")
    fixed = H200.gap_us + H200.ramp_us
    assert predicted_us([work], half) - fixed == pytest.approx(2 * (predicted_us([work], H200) - fixed))
    assert card_of("NVIDIA H200", 132) == H200


def test_bytes_are_those_that_windows_see():
    shape = ConvShape(2, 8, 8, 16, 32, Window.of(1, 2))
    weights = 32 * 16 * 2 + 4 * 32
    assert bytes_of(shape, HALF, has_residual=False) == 2 * (4 * 4 * 16 + 4 * 4 * 32) * 2 + weights
    whole = shape._replace(window=Window.of(3, 2, 1))
    assert bytes_of(whole, HALF, has_residual=True) == 2 * (64 * 16 + 2 * 16 * 32) * 2 + 32 * 9 * 16 * 2 + 4 * 32


@pytest.mark.parametrize("dtype", ELEMENTS)
@pytest.mark.parametrize("images", [1, 64])
def test_every_candidate_says_its_work(dtype, images):
    """One entry a launch, no more tiles than blocks could compute, no fewer FLOPs than the layer has."""
    element, gpu = ELEMENTS[dtype], Processor("NVIDIA H200", 90, 132)
    for channels, size, window, groups in (
        ((3, 64), 32, Window.of(7, 2, 3), 1),
        ((128, 128), 28, LONG, 1),
        ((512, 512), 7, LONG, 1),
        ((64, 64), 14, LONG, 8),
        ((40, 72), 9, Window.of(1), 1),
    ):
        shape = ConvShape(images, size, size, *channels, window, groups)
        layer = Layer(shape, 4 if channels[0] == 3 else channels[0], has_residual=channels[0] != 3)
        for choice in [*candidates(layer, element, gpu), *candidates_of("conv2d_im2col", layer, element, gpu)]:
            works = choice.work(element, has_residual=layer.has_residual)
            addresses = dict.fromkeys(("x", "weight", "bias", "residual", "y", "workspace"), 0)
            assert len(works) == len(choice.module.launches(choice.shape, element, choice.tile, **addresses)), choice
            flops = max(work.tiles * sum(phase.flops for phase in work.phases) for work in works)
            assert flops >= 2 * shape.M * shape.K * shape.out_channels, choice
            assert works[0].dram_bytes > 0


def test_long_slices_of_k_cost_what_the_plan_says():
    """The plan's figures for ResNet-50 at batch 256 with tiles of 128 x 128: 131, 126.7 and 124.3 us."""
    for size, channels, us in ((28, 128, 131), (14, 256, 126.7), (7, 512, 124.3)):
        shape = ConvShape(256, size, size, channels, channels, LONG)
        work = conv2d_wgmma_tma.work(shape, HALF, conv2d_wgmma_tma.Tile(128, 128, 132), has_residual=False)
        assert predicted_us(work, H200) == pytest.approx(us, rel=0.03)


def test_wide_tiles_win_where_they_read_less_of_l2():
    gpu = Processor("NVIDIA H200", 90, 132)
    for size, channels, tile in ((28, 128, "256x128"), (14, 256, "128x256"), (56, 64, "256x64")):
        layer = Layer(ConvShape(256, size, size, channels, channels, LONG), channels, has_residual=False)
        assert str(choices.choose(layer, HALF, gpu).tile) == f"{tile} cooperative"
    few = Layer(ConvShape(256, 7, 7, 512, 512, LONG), 512, has_residual=False)
    tile = choices.choose(few, HALF, gpu).tile
    assert tile[:2] == (128, 128), "196 wide tiles are two rounds, and the second is half empty"


def test_a_stem_that_walks_reads_its_weights_less_often():
    shape = ConvShape(256, 224, 224, 3, 64, Window.of(7, 2, 3))
    l2 = {}
    for walk in (1, 16):
        (work,) = stem_mma.work(shape, HALF, stem.Tile(walk), has_residual=False)
        l2[walk] = work.tiles * sum(phase.l2_bytes for phase in work.phases)
    weights = 64 * 7 * 8 * 4 * 2
    assert l2[1] - l2[16] == (25088 - 25088 // 16) * weights
    gpu = Processor("NVIDIA H200", 90, 132)
    assert str(choices.choose(Layer(shape, 4, has_residual=False), HALF, gpu).tile) == "walk16"


def test_splits_help_where_there_are_few_tiles():
    one = ConvShape(1, 7, 7, 512, 512, LONG)
    whole, split = (
        conv2d_mma.work(one, HALF, conv2d_mma.SMALL._replace(splits=splits), has_residual=True) for splits in (1, 16)
    )
    assert predicted_us(split, H200) < predicted_us(whole, H200)
    assert rounds(split[0], H200) == 1
    assert split[0].dram_bytes < whole[0].dram_bytes, "the sums stay in L2; the launch that adds them up writes y"


def test_what_wgmma_reads_fills_shared_memory_at_64_columns():
    """4 KB in the 32 clocks of 64 x 64 x 16 products: every clock, before anything is written to it."""
    (multiply, *_) = conv2d_wgmma.phases_of(ConvShape(1, 8, 8, 64, 64, Window.of(1)), HALF, 64, 64, has_residual=False)
    assert multiply.shared_bytes - multiply.l2_bytes == 4 * 4096
    assert multiply.flops == 2 * 64 * 64 * 64
