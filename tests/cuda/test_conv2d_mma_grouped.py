"""conv2d/mma_grouped.cu under the emulator: group widths, boxes of positions, exact integers, planted faults."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from npresnet.cuda.elements import ELEMENTS, restore
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import conv2d_mma_grouped
from npresnet.cuda.launchers.conv2d_mma_grouped import Chunks, Tile, chunks_of
from npresnet.window import Window
from tests.cuda import faults
from tests.cuda.conv_cases import Case, cases, check_all, check_conv, check_every_way, run_conv, shapes
from tests.emulator import emulator

pytestmark = [emulator.needed, pytest.mark.in_a_child]

ELEMENT_NAMES = ("float16", "bfloat16", "tf32")
# groups of 4, 8, 16, 32, 64, 128 channels, as ResNeXts have them, and of 6, 12, 24, 1; slabs that end early
CHANNELS = (
    *((96, 96, 24), (72, 72, 9), (96, 96, 6), (64, 64, 2), (128, 128, 2), (256, 256, 2)),
    *((24, 24, 4), (72, 72, 6), (48, 48, 2), (16, 16, 16)),
)
BOXES = (Tile(1, 16, 8), Tile(2, 8, 8), Tile(1, 4, 32), Tile(1, 4, 16), Tile(4, 2, 8))


def layer(size: int, channels: int, groups: int, stride: int = 1, images: int = 3) -> ConvShape:
    """ResNeXt's 3x3 convolution."""
    return ConvShape(images, size, size + 2, channels, channels, Window.of(3, stride, 1), groups, True)


def first_tile(case: Case) -> Tile:
    """The heuristic's choice on the devices with most shared memory, for the odd windows of these tests."""
    return conv2d_mma_grouped.tiles(case.shape, case.element, 90)[0]


@pytest.mark.parametrize("channels", CHANNELS, ids=str)
def test_every_width_and_window(channels: tuple[int, int, int]) -> None:
    some = [case for case in cases(shapes(CHANNELS), ELEMENT_NAMES) if case.channels == channels]
    check_all(conv2d_mma_grouped, some, first_tile)


@pytest.mark.parametrize("element", ELEMENT_NAMES)
@pytest.mark.parametrize("tile", BOXES, ids=str)
def test_every_box_is_exact_on_integers(tile: Tile, element: str) -> None:
    for number, (channels, groups) in enumerate(((128, 32), (32, 4), (64, 4), (64, 2))):
        shape = layer(9, channels, groups, stride=1 + number % 2)
        check_conv(conv2d_mma_grouped, Case(shape, ELEMENTS[element], residual=number == 2, exact=True), tile)


@pytest.mark.parametrize("how", emulator.EVERY_WAY, ids=lambda how: "-".join(how.values()))
def test_every_schedule(how: dict[str, str]) -> None:
    for element, groups in zip(ELEMENT_NAMES, (32, 8, 4), strict=True):
        case = Case(layer(9, 128, groups), ELEMENTS[element], residual=True)
        check_conv(conv2d_mma_grouped, case, first_tile(case), **how)


def test_nan_stays_in_its_image() -> None:
    case = Case(layer(5, 64, 16), ELEMENTS["float16"], nan_image=1)
    y, _ = run_conv(conv2d_mma_grouped, case, Tile(2, 8, 8))
    assert [bool(np.isnan(image).any()) for image in y] == [False, True, False]


OTHER_KERNELS = [  # left out where a fault is planted, so that there is less to compile
    (f"CONV2D_MMA_GROUPED(conv2d_mma_grouped_{positions}x{8 * tiles}, {positions}, {tiles})\n", "")
    for positions, tiles in ((128, 1), (128, 2), (64, 2), (128, 4), (64, 4))
]
FAULTS = {
    "patch read before it has come": ("copy_async_wait<0>();", "if (!PLANTED) copy_async_wait<0>();"),
    "patch read before the others' copies": (
        "copy_async_wait<0>();\n  __syncthreads();\n",
        "copy_async_wait<0>();\n  if (!PLANTED) __syncthreads();\n",
    ),
    "patch overwritten while it is read": (
        "__syncthreads();  // the patch has been read",
        "if (!PLANTED) __syncthreads();",
    ),
    "sums read before they are there": (
        "__syncthreads();\n  staged.store(",
        "if (!PLANTED) __syncthreads();\n  staged.store(",
    ),
    "both halves of an mma from one tap": (
        "offsets[2 * step + half]",
        "offsets[2 * step + (PLANTED ? 0 : half)]",
    ),
    "filters a step late": (
        "filters += step + 1 < steps ? TILES * 32 : 0;",
        "filters += (PLANTED ? step > 0 : step + 1 < steps) ? TILES * 32 : 0;",
    ),
    "left border read": (
        "(unsigned)column < conv.W",
        "(PLANTED ? column < conv.W : (unsigned)column < conv.W)",
    ),
    "width of the box for the patch's": (
        "conv, chunks, box.width, pitch);",
        "conv, chunks, PLANTED ? 1 << log_w : box.width, pitch);",
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
    case = Case(layer(9, 40, 10), ELEMENTS["float16"], residual=True)  # three of eight warps have no channels
    check_every_way(conv2d_mma_grouped, case, Tile(1, 4, 16), (*OTHER_KERNELS, *faults.edits_of(FAULTS)), planted)


def test_chunks_of_group_widths() -> None:
    """Narrow groups share 16 bytes, wide ones take several; 12 channels lie across two or three pieces of 8."""
    half, tf32 = ELEMENTS["float16"], ELEMENTS["tf32"]
    assert chunks_of(128, 4, half) == Chunks(8, 1, 8)
    assert chunks_of(128, 4, tf32) == Chunks(8, 2, 8)
    assert chunks_of(256, 16, half) == Chunks(16, 2, 8)
    assert chunks_of(256, 64, half) == Chunks(32, 8, 8)
    assert chunks_of(256, 64, tf32) == Chunks(16, 16, 16)
    assert chunks_of(256, 128, half) == Chunks(32, 16, 16)
    assert chunks_of(72, 12, half).each == 3


def test_pack_holds_every_weight_once() -> None:
    """In the order of mma's fragments, between zeros."""
    weight = np.arange(1, 32 * 4 * 9 + 1, dtype=np.float64).reshape(32, 4, 3, 3)
    packed = restore(conv2d_mma_grouped.pack(weight, ELEMENTS["tf32"]), ELEMENTS["tf32"])
    assert packed.shape == (4, 9, 1, 8, 4, 2, 1)
    np.testing.assert_array_equal(np.sort(packed[packed != 0]), weight.ravel())
    # unit 1, step 4 (the middle tap), output 8 + 5, its channels 1: group 3 begins at the unit's second chunk
    assert packed[1, 4, 0, 5, 1, 1, 0] == weight[13, 1, 1, 1]
    assert packed[1, 4, 0, 5, 1, 0, 0] == 0


def test_boxes_follow_the_image() -> None:
    half = ELEMENTS["float16"]
    square = ConvShape(64, 7, 7, 1024, 1024, Window.of(3, 1, 1), 32)
    assert conv2d_mma_grouped.tiles(square, half, 80)[0][1:] == (8, 8)
    assert conv2d_mma_grouped.tiles(layer(56, 128, 32), half, 80)[0].images == 1


@pytest.mark.parametrize("capability", [75, 80, 86, 87, 120, 121])
def test_every_layer_of_the_resnexts_fits(capability: int) -> None:
    """resnext50_32x4d, 101_32x8d and 101_64x4d, with and without stride, in shared memory of every device."""
    for element in ELEMENT_NAMES[: 1 if capability == 75 else 3]:
        for size, stride, (width, groups) in product((56, 28, 14, 7), (1, 2), product((4, 8, 16, 32, 64), (32, 64))):
            shape = layer(size, width * groups, groups, stride)
            assert conv2d_mma_grouped.supports(shape, ELEMENTS[element], capability), shape


def test_supports_says_what_it_cannot_do() -> None:
    def takes(shape: ConvShape, element: str = "float16", capability: int = 80) -> bool:
        return conv2d_mma_grouped.supports(shape, ELEMENTS[element], capability)

    assert all(takes(layer(14, 128, 32), *how) for how in (("float16", 75), ("bfloat16", 80), ("tf32", 120)))
    assert not any(takes(layer(14, 128, 32), *how) for how in (("float32", 90), ("bfloat16", 75), ("float16", 70)))
    assert not takes(layer(14, 128, 1)), "one group is mma.cu's"
    assert not takes(layer(14, 12, 3)), "12 channels are no whole 16-byte chunks"
    assert takes(layer(14, 12, 3), "tf32")
    assert not takes(layer(14, 128, 32)._replace(out_channels=256))
    assert not takes(layer(14, 128, 32)._replace(window=Window.of(3, 1, 60, 60))), "no patch of 128 positions fits"
