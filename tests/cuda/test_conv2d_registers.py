"""conv2d/registers.cu, float32 with 8x8 sums a thread, run by the emulator."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.cuda.activation import Code
from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import conv2d_registers
from npresnet.cuda.launchers.conv2d_registers import SMALL, Tile
from npresnet.cuda.runtime import source
from npresnet.window import Window
from tests.cuda import faults
from tests.cuda.conv_cases import Case, assert_close, cases, check_conv, check_every_way, likely_best, run_conv, shapes
from tests.emulator import emulator

pytestmark = [emulator.needed, pytest.mark.in_a_child]

FLOAT32 = ELEMENTS["float32"]
WHOLE = [Tile(128, 128), Tile(128, 64), Tile(128, 32), SMALL]
SPLIT = [SMALL._replace(splits=splits) for splits in (2, 3)]
FOURS = ((4, 8, 1), (12, 36, 1), (8, 72, 2), (20, 132, 1), (32, 16, 4))  # what 16-byte accesses want
RAGGED = ((1, 1, 1), (3, 7, 1), (7, 33, 1), (4, 6, 1), (33, 4, 1), (14, 66, 2), (6, 15, 3))

# K = 180 is no multiple of a slice, M = 48 and 40 filters none of a tile; the window is not square.
LAYER = ConvShape(2, 9, 8, 12, 40, Window.of((5, 3), 1, (1, 1), (2, 1)))


@pytest.mark.parametrize("exact", [True, False], ids=["integers", "floats"])
@pytest.mark.parametrize("tile", [*WHOLE, *SPLIT], ids=str)
def test_every_window_with_16_byte_accesses(tile, exact):
    for case in list(cases(shapes(FOURS), exact=exact))[exact::2]:
        check_conv(conv2d_registers, case, tile)


@pytest.mark.parametrize("exact", [True, False], ids=["integers", "floats"])
@pytest.mark.parametrize("tile", [SMALL, *SPLIT], ids=str)
def test_every_window_with_single_accesses(tile, exact):
    for case in list(cases(shapes(RAGGED), exact=exact))[exact::2]:
        check_conv(conv2d_registers, case, tile)


@pytest.mark.parametrize("tile", [*WHOLE, SPLIT[0]], ids=str)
def test_many_tiles(tile):
    """Several blocks along positions and channels, the last ones ragged."""
    shape = ConvShape(3, 11, 9, 28, 148, Window.of(3, 1, 1), activation=Code.RELU)
    check_conv(conv2d_registers, Case(shape, residual=True), tile)


@pytest.mark.parametrize("tile", [*WHOLE, *SPLIT], ids=str)
def test_no_schedule_changes_anything(tile):
    for way in emulator.EVERY_WAY:
        check_conv(conv2d_registers, Case(LAYER, residual=True, exact=True), tile, **way)


@pytest.mark.parametrize("tile", [*WHOLE, *SPLIT], ids=str)
def test_nan_stays_in_its_image(tile):
    for relu in (False, True):
        y, right = run_conv(conv2d_registers, Case(LAYER._replace(activation=relu), nan_image=1), tile)
        assert_close(y, right, FLOAT32)
        assert not np.isnan(y[0]).any()
        assert np.isnan(y[1]).any()


@pytest.mark.parametrize("tile", [SMALL, SPLIT[0]], ids=str)
def test_two_runs_give_the_same_bits(tile):
    first, second = (run_conv(conv2d_registers, Case(LAYER), tile, schedule=s)[0] for s in ("ascending", "random:7"))
    assert first.tobytes() == second.tobytes()


# All of them in the 64x64 kernel, but for one that only a split can show.
FAULTS = {
    "no barrier after the first slice": (
        "loader.put(slices[work.slices & 1]);\n  __syncthreads();",
        "loader.put(slices[work.slices & 1]);\n  if (!PLANTED) __syncthreads();"),
    "no barrier in the loop": (
        "loader.put(slices[(left - 1) & 1]);\n    __syncthreads();",
        "loader.put(slices[(left - 1) & 1]);\n    if (!PLANTED) __syncthreads();"),
    "the next slice goes where this one is being read": (
        "loader.put(slices[(left - 1) & 1]);", "loader.put(slices[(PLANTED ? left : left - 1) & 1]);"),
    "split: window row and column exchanged": (
        "tap_h = tap / conv.KW * conv.dilation_h, tap_w = tap % conv.KW * conv.dilation_w",
        "tap_h = PLANTED ? tap % conv.KW * conv.dilation_w : tap / conv.KW * conv.dilation_h, "
        "tap_w = PLANTED ? tap / conv.KW * conv.dilation_h : tap % conv.KW * conv.dilation_w"),
    "a row of taps as long as the window is high": (
        "if (tap_w < conv.KW * conv.dilation_w) continue;",
        "if (tap_w < (PLANTED ? conv.KH : conv.KW) * conv.dilation_w) continue;"),
    "padding ignored": ("j * conv.stride_w - conv.padding_w", "j * conv.stride_w - (PLANTED ? 0 : conv.padding_w)"),
    "the image's border ignored": (
        "exists && inside(h[i] + tap_h, w[i] + tap_w, conv)",
        "exists && (PLANTED || inside(h[i] + tap_h, w[i] + tap_w, conv))"),
    "K has no end": ("exists = tap_h <", "exists = PLANTED || tap_h <"),
    "stored beyond the last position": (
        "if (m >= conv.N * conv.OH * conv.OW) continue;", "if (m >= conv.N * conv.OH * conv.OW && !PLANTED) continue;"),
    "runs of four in the wrong place": (
        "j / 4 * (Tile::WARP_COLUMNS / 2)", "j / 4 * ((PLANTED ? Tile::WARP_ROWS : Tile::WARP_COLUMNS) / 2)"),
}  # fmt: skip


def without_other_kernels() -> list[tuple[str, str]]:
    """Edits that leave two kernels of the source, so that there is less to compile."""
    kept = ("WHOLE(64, 64, 4, , 6)", "SPLIT(64, 64, 4, , 6)")
    lines = source.read(conv2d_registers.FILE).splitlines()
    return [(f"{line}\n", "") for line in lines if line.startswith(("WHOLE(", "SPLIT(")) and line not in kept]


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault):
    with faults.caught():
        check_tile(SPLIT[1] if fault.startswith("split") else SMALL, faults.number(FAULTS, fault))


@pytest.mark.parametrize("tile", [SMALL, SPLIT[1]], ids=str)
def test_without_a_fault_nothing_is_caught(tile):
    check_tile(tile, planted=0)


def check_tile(tile, planted):
    edits = (*without_other_kernels(), *faults.edits_of(FAULTS))
    check_every_way(conv2d_registers, Case(LAYER, exact=True), tile, edits, planted)


def test_what_is_refused():
    assert not conv2d_registers.supports(LAYER, ELEMENTS["tf32"], 90)
    depthwise = ConvShape(1, 8, 8, 32, 32, Window.of(3, 1, 1), groups=32)
    assert not conv2d_registers.supports(depthwise, FLOAT32, 90)
    assert not conv2d_registers.supports(LAYER._replace(images=2**31 // 864 + 1), FLOAT32, 90)  # offsets have 32 bits


def test_small_layers_are_split_and_large_ones_are_not():
    small = ConvShape(1, 7, 7, 512, 512, Window.of(3, 1, 1))
    large = small._replace(images=64, height=28, width=28)
    assert likely_best("conv2d_registers", small, FLOAT32).splits > 1
    assert likely_best("conv2d_registers", large, FLOAT32) == Tile(128, 128)
    assert all(tile.splits == 1 for tile in conv2d_registers.tiles(large, FLOAT32, 90))


def test_tiles_have_kernels():
    text = source.read(conv2d_registers.FILE)
    for shape in (*shapes(FOURS), *shapes(RAGGED), LAYER._replace(in_channels=512)):
        for tile in conv2d_registers.tiles(shape, FLOAT32, 75):
            form = "1, _scalar" if conv2d_registers.is_scalar(shape) else "4, "
            assert f"{'SPLIT' if tile.splits > 1 else 'WHOLE'}({tile.rows}, {tile.columns}, {form}," in text


@pytest.mark.parametrize("channels", [4, 3], ids=["vectors", "scalars"])
def test_nan_below_a_window_stays_out_of_it(channels: int) -> None:
    """The last slice of 36 or 27 products reaches beyond K, to where pixels of the next row lie."""
    shape = ConvShape(1, 7, 6, channels, 8, Window.of(3, 1, 1))
    for tile in conv2d_registers.tiles(shape, FLOAT32, 90):
        check_conv(conv2d_registers, Case(shape, nan_image=0), tile)
