"""conv2d/mma.cu under the emulator: against float64, exactly on integers, and with faults that must be noticed."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.cuda.elements import ELEMENTS, restore
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import conv2d_mma
from npresnet.cuda.launchers.conv2d_mma import SMALL, TILES, Tile
from npresnet.window import Window
from tests.cuda import faults
from tests.cuda.conv_cases import (
    WINDOWS,
    Case,
    assert_close,
    cases,
    check_all,
    check_conv,
    check_every_way,
    likely_best,
    run_conv,
    shapes,
)
from tests.emulator import emulator

pytestmark = [emulator.needed, pytest.mark.in_a_child]

ELEMENT_NAMES = ("float16", "bfloat16", "tf32")
# less than a k-tile; no multiple of one; ragged O, odd O; groups, narrower and wider than a tile of 64 columns
CHANNELS = ((8, 7, 1), (40, 66, 1), (48, 36, 2), (64, 140, 1), (16, 256, 1), (16, 136, 2))
TWO_TAPS_A_SLICE = ConvShape(2, 9, 7, 24, 72, Window.of(3, 1, 1), 1, True)


def ring(images: int) -> ConvShape:
    """More k-tiles (21 of float16) than stages, several images in a tile of rows, the last one ragged."""
    return ConvShape(images, 11, 9, 72, 72, Window.of(3, 2, 1), 1, True)


@pytest.mark.parametrize("channels", CHANNELS, ids=str)
def test_every_window_and_raggedness(channels: tuple[int, int, int]) -> None:
    some = [case for case in cases(shapes(CHANNELS), ELEMENT_NAMES) if case.channels == channels]
    check_all(conv2d_mma, some, lambda case: SMALL)


@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize("element", ELEMENT_NAMES)
def test_every_tile_is_exact_on_integers(tile: Tile, element: str) -> None:
    check_conv(conv2d_mma, Case(ring(9), ELEMENTS[element], residual=True, exact=True), tile)
    pointwise = ConvShape(3, 12, 9, 64, 136, Window.of(1))  # two k-tiles: a ring shorter than its stages
    check_conv(conv2d_mma, Case(pointwise, ELEMENTS[element], exact=True), tile)


@pytest.mark.parametrize("how", emulator.EVERY_WAY, ids=lambda how: "-".join(how.values()))
def test_every_schedule(how: dict[str, str]) -> None:
    for tile, element in zip(TILES, (*ELEMENT_NAMES, "float16"), strict=True):
        check_conv(conv2d_mma, Case(ring(3), ELEMENTS[element], residual=True), tile, **how)
    check_conv(conv2d_mma, Case(TWO_TAPS_A_SLICE, ELEMENTS["float16"]), SMALL._replace(splits=3), **how)


@pytest.mark.parametrize("splits", [2, 5, 14])
@pytest.mark.parametrize("out_channels", [72, 33])
def test_split_k(splits: int, out_channels: int) -> None:
    shape = ring(2)._replace(out_channels=out_channels)
    for element in ELEMENT_NAMES:
        case = Case(shape, ELEMENTS[element], residual=splits == 5, exact=splits == 14)
        check_conv(conv2d_mma, case, SMALL._replace(splits=splits))


def test_nan_stays_in_its_image() -> None:
    case = Case(TWO_TAPS_A_SLICE, ELEMENTS["float16"], nan_image=1)
    y, right = run_conv(conv2d_mma, case, SMALL)
    assert_close(y, right, case.element)
    assert np.isnan(y[1]).any()
    assert not np.isnan(y[0]).any()


def test_turing_takes_the_way_through_registers() -> None:
    edits = [("#define THROUGH_REGISTERS 0", "#define THROUGH_REGISTERS 1")]
    for tile in conv2d_mma.tiles(ring(3), ELEMENTS["float16"], 75):
        if tile.splits == 1:
            assert tile.stages == 2
            for how in emulator.EVERY_WAY:
                check_conv(conv2d_mma, Case(ring(3), ELEMENTS["float16"], residual=True), tile, edits=edits, **how)


OTHER_KERNELS = [  # left out where a fault is planted, so that there is less to compile
    ("CONV2D_MMA_SPLIT(conv2d_mma_64x64_split, 64, 64, 16, 4, 4)\n", ""),
    ("CONV2D_MMA(conv2d_mma_128x64, 128, 64, 32, 4, THROUGH_REGISTERS ? 2 : 3)\n", ""),
    ("CONV2D_MMA(conv2d_mma_128x128, 128, 128, 64, 4, 2)\n", ""),
    ("CONV2D_MMA(conv2d_mma_256x128, 256, 128, 64, 4, 1)\n", ""),
]
FAULTS = {
    "no barrier before the first slice is read": (
        "copier.finish(shared);\n  __syncthreads();\n",
        "copier.finish(shared);\n  if (!PLANTED) __syncthreads();\n",
    ),
    "no barrier between slices": ("__syncthreads();  // the next slice", "if (!PLANTED) __syncthreads();  //"),
    "one copy too many in flight": (
        "copy_async_wait<Tile::STAGES - 2>();",
        "if (PLANTED) copy_async_wait<Tile::STAGES - 1>(); else copy_async_wait<Tile::STAGES - 2>();",
    ),
    "swizzled for ldmatrix only": (
        "to = shared + place(row, chunk)",
        "to = shared + (PLANTED ? row * ROW_BYTES + chunk * 16 : place(row, chunk))",
    ),
    "copied into the slice that is read": (
        "free_stage = stage;",
        "free_stage = PLANTED ? (stage + 1) % Tile::STAGES : stage;",
    ),
    "the second step's chunks": ("(b_from ^ step * 32)", "(b_from ^ step * (PLANTED ? 16 : 32))"),
    "images counted from the first one of all": (
        "((image - first_image) * conv.H + h)",
        "((image - (PLANTED ? 0 : first_image)) * conv.H + h)",
    ),
    "taps of the next row": ("x += to_next_row", "x += PLANTED ? 0 : to_next_row"),
    "slab read before it is written": (
        "    warp_sync();\n    slab.store(",
        "    if (!PLANTED) warp_sync();\n    slab.store(",
    ),
    "slab overwritten while it is read": (
        "warp_sync();  // the slab before has been read",
        "if (!PLANTED) warp_sync();",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_noticed(fault: str) -> None:
    """Under some order of threads and of copies."""
    with faults.caught():
        check_faulty(faults.number(FAULTS, fault))


def test_without_a_fault_nothing_is_noticed() -> None:
    check_faulty(planted=0)


def check_faulty(planted: int) -> None:
    """On a warp tile of more than one slab."""
    two_slabs = ("CONV2D_MMA(conv2d_mma_64x64, 64, 64, 16, 4, 4)", "CONV2D_MMA(conv2d_mma_64x64, 64, 64, 32, 4, 4)")
    case, tile = Case(ring(3), ELEMENTS["float16"], residual=True), SMALL._replace(warp_rows=32)
    check_every_way(conv2d_mma, case, tile, (*OTHER_KERNELS, two_slabs, *faults.edits_of(FAULTS)), planted)


def shape_of(images: int, size: int, channels: int, filters: int, kernel: int = 3) -> ConvShape:
    """A layer of a ResNet."""
    return ConvShape(images, size, size, channels, filters, Window.of(kernel, 1, kernel // 2))


def test_tiles_fill_the_device() -> None:
    half = ELEMENTS["float16"]
    best = likely_best("conv2d_mma", shape_of(256, 56, 64, 256, 1), half)
    assert best.rows * best.columns >= 128 * 128
    assert best.splits == 1
    best = likely_best("conv2d_mma", shape_of(1, 7, 512, 512), half)
    assert best.splits >= 8, "one image of the last layers has 8 tiles of 64x64"
    for shape in (
        shape_of(1, 56, 64, 64),
        shape_of(8, 14, 256, 256),
        shape_of(256, 7, 512, 512),
        shape_of(1, 1, 8, 8, 1),
    ):
        for capability in (75, 80, 86, 90, 120):
            candidates = conv2d_mma.tiles(shape, half, capability)
            assert 0 < len(set(candidates)) == len(candidates)
            limit = 64 * 1024 if capability == 75 else 99 * 1024
            assert max(conv2d_mma.shared_bytes(shape, half, tile) for tile in candidates) <= limit


def test_supports_says_what_it_cannot_do() -> None:
    def takes(shape: ConvShape, element: str = "float16", capability: int = 80) -> bool:
        return conv2d_mma.supports(shape, ELEMENTS[element], capability)

    layer = shape_of(1, 14, 64, 64)
    assert all(takes(layer, *how) for how in (("float16", 75), ("float16", 80), ("bfloat16", 80), ("tf32", 120)))
    assert not any(takes(layer, *how) for how in (("float32", 90), ("bfloat16", 75), ("tf32", 75), ("float16", 70)))
    assert takes(shape_of(1, 14, 4, 64), "tf32")
    assert not takes(shape_of(1, 14, 4, 64), "float16")
    assert not takes(layer._replace(in_channels=96, groups=8), "float16"), "12 channels a group are no whole chunks"
    assert not takes(layer._replace(window=Window.of(13, 1, 6)))
    assert not takes(shape_of(1, 30_000, 64, 64)), "offsets in a tile would overflow"


@pytest.mark.parametrize("element", ELEMENT_NAMES)
def test_pack_pads_every_filter_to_whole_slices(element: str) -> None:
    weight = np.arange(2 * 8 * 3 * 3, dtype=np.float64).reshape(2, 8, 3, 3)
    packed = restore(conv2d_mma.pack(weight, ELEMENTS[element]), ELEMENTS[element])
    width = conv2d_mma.k_tile(ELEMENTS[element])
    assert packed.shape == (2, -(-72 // width) * width)
    np.testing.assert_array_equal(packed[:, :72], weight.transpose(0, 2, 3, 1).reshape(2, 72))
    assert not packed[:, 72:].any()


def test_windows_of_the_cases_are_all_taken() -> None:
    """No case of the cross product is left out by `supports`."""
    assert all(conv2d_mma.supports(case.shape, case.element, 80) for case in cases(shapes(CHANNELS), ELEMENT_NAMES))
    assert len(list(shapes(CHANNELS))) == len(CHANNELS) * len(WINDOWS)
