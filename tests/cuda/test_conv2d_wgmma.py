"""The two wgmma kernels: windows, ragged sizes, elements, persistent blocks, any schedule; and planted faults."""

from __future__ import annotations

import re
from types import ModuleType

import numpy as np
import pytest

from npresnet.cuda.activation import Code
from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import conv2d_wgmma, conv2d_wgmma_tma
from npresnet.cuda.runtime import source as sources
from npresnet.window import Window
from tests.cuda import faults
from tests.cuda.conv_cases import WINDOWS, Case, cases, check_conv, check_every_way, likely_best, shapes
from tests.cuda.wgmma_faults import FAULTS, SHARED_FAULTS
from tests.emulator import emulator

pytestmark = [emulator.needed, pytest.mark.in_a_child]

HOPPER = 90
SHARED_LIMIT_BYTES = 227 << 10
LAUNCHERS = (conv2d_wgmma, conv2d_wgmma_tma)
HALF = ELEMENTS["float16"]
# (in_channels, out_channels, groups): channels as each kernel needs them, filters ragged and not
CHANNELS = {
    conv2d_wgmma: ((8, 33, 1), (24, 72, 1), (136, 3, 1)),
    conv2d_wgmma_tma: ((64, 33, 1), (128, 72, 1)),
}


SCHEDULES = ("ascending", "descending", "random:7")
# what faults are planted in: both kernels take all three elements
OTHER_ELEMENT = {conv2d_wgmma: ELEMENTS["bfloat16"], conv2d_wgmma_tma: ELEMENTS["tf32"]}
SHORT_ROW = {conv2d_wgmma: 24, conv2d_wgmma_tma: 96}  # channels, no whole slab or a few
ONE_KERNEL = {
    conv2d_wgmma: "CONV2D_WGMMA(128, 128)",
    conv2d_wgmma_tma: "CONV2D_WGMMA_TMA(128, 128, 5, 64)",
}


def named(value: object) -> str | None:
    """A test's name from its parameters."""
    if isinstance(value, ModuleType):
        return value.__name__.rpartition(".")[2]
    return str(value) if isinstance(value, Case) else None


def every_case(launcher: ModuleType) -> list[Case]:
    """Every window with every number of channels: residual, ReLU, images, exact integers come and go."""
    every = cases(shapes(CHANNELS[launcher], WINDOWS), ("float16",))
    return [case._replace(exact=turn % 3 == 0) for turn, case in enumerate(every)]


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=named)
def test_every_window(launcher: ModuleType) -> None:
    """Tiles and ways to run take turns."""
    for turn, case in enumerate(every_case(launcher)):
        tiles = launcher.tiles(case.shape, case.element, HOPPER)
        check_conv(launcher, case, tiles[turn % len(tiles)], **emulator.EVERY_WAY[turn % 6])


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=named)
def test_every_tile(launcher: ModuleType) -> None:
    """Many slabs, so that every ring goes round; more rows and filters than a tile has, and no multiple of them."""
    shape = ConvShape(2, 11, 9, 64, 136, Window.of(3, 1, 1), activation=Code.RELU)
    case = Case(shape, HALF, residual=True, exact=True)
    tiles = launcher.tiles(shape, HALF, HOPPER)
    assert len(tiles) == len({conv2d_wgmma: conv2d_wgmma.TILES, conv2d_wgmma_tma: conv2d_wgmma_tma.VARIANTS}[launcher])
    for turn, tile in enumerate(tiles):
        for way in emulator.EVERY_WAY[turn % 3 :: 3]:
            check_conv(launcher, case, tile, **way)


@pytest.mark.parametrize(("blocks", "copies"), [(1, "lazy"), (2, "eager"), (2, "lazy"), (3, "eager")])
def test_persistent_blocks_go_on_to_further_tiles(blocks: int, copies: str) -> None:
    """Several tiles of 3 or 9 slabs: rounds of the ring end in the middle of a tile."""
    for images, channels, window in ((7, 192, Window.of(1)), (20, 64, Window.of(3, 2, 1))):
        shape = ConvShape(images, 7, 7, channels, 136, window)
        for turn, tile in enumerate(conv2d_wgmma_tma.tiles(shape, HALF, HOPPER)[blocks - 1 :: 3]):
            case, schedule = Case(shape, HALF, residual=blocks == 2, exact=True), SCHEDULES[(turn + blocks) % 3]
            check_conv(conv2d_wgmma_tma, case, tile._replace(blocks=blocks), copies=copies, schedule=schedule)


def without_other_kernels(launcher: ModuleType) -> list[tuple[str, str]]:
    """Edits that leave one kernel of a source: it is compiled three times faster."""
    kernels = re.findall(r"^CONV2D_WGMMA\w*\(\d.*\)$", sources.read(launcher.FILE), re.MULTILINE)
    assert ONE_KERNEL[launcher] in kernels
    return [(kernel, "") for kernel in kernels if kernel != ONE_KERNEL[launcher]]


def tile_of(launcher: ModuleType, shape: ConvShape) -> conv2d_wgmma.Tile | conv2d_wgmma_tma.Tile:
    """The tile of that one kernel."""
    return next(tile for tile in launcher.tiles(shape, HALF, HOPPER) if tile[:2] == (128, 128))


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=named)
def test_other_elements(launcher: ModuleType) -> None:
    """With the faults in the source, and none of them switched on: built once for both."""
    element = OTHER_ELEMENT[launcher]
    for turn, (size, window) in enumerate(WINDOWS[:5]):
        shape = ConvShape(2, *size, SHORT_ROW[launcher], 70 + turn, window, activation=turn % 2 == 0)
        case = Case(shape, element, residual=turn % 2 == 0, exact=turn == 0, seed=turn)
        check_conv(launcher, case, tile_of(launcher, shape), edits=every_fault(launcher), **emulator.EVERY_WAY[turn])


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=named)
def test_nan_stays_in_its_image(launcher: ModuleType) -> None:
    shape = ConvShape(3, 6, 5, 64, 40, Window.of(3, 1, 1), activation=Code.RELU)
    check_conv(launcher, Case(shape, HALF, nan_image=1), launcher.tiles(shape, HALF, HOPPER)[0])


# ---- what the launchers say


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=named)
def test_supports(launcher: ModuleType) -> None:
    shape = ConvShape(1, 8, 8, 64, 64, Window.of(3, 1, 1))
    for capability in (75, 80, 86, 89, 100, 120):
        assert not launcher.supports(shape, HALF, capability)
    assert launcher.supports(shape, HALF, HOPPER)
    assert not launcher.supports(shape, ELEMENTS["float32"], HOPPER)
    assert not launcher.supports(shape._replace(groups=2), HALF, HOPPER)
    assert not launcher.supports(shape._replace(in_channels=4), HALF, HOPPER)
    assert launcher.supports(shape._replace(in_channels=8), HALF, HOPPER) == (launcher is conv2d_wgmma)


def test_the_copy_engine_has_limits() -> None:
    for window in (Window.of(3, 9), Window.of(3, 1, 129), Window.of(3, 1, 0, 65), Window.of(2, 1, 128, 256)):
        shape = ConvShape(1, 300, 300, 64, 64, window)
        assert not conv2d_wgmma_tma.supports(shape, HALF, HOPPER), window
        assert conv2d_wgmma.supports(shape, HALF, HOPPER)


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=named)
@pytest.mark.parametrize("out_channels", [1, 64, 65, 1000, 2048])
@pytest.mark.parametrize("images", [1, 256])
def test_tiles_fit_a_multiprocessor(launcher: ModuleType, out_channels: int, images: int) -> None:
    shape = ConvShape(images, 14, 14, 256, out_channels, Window.of(1))
    tiles = launcher.tiles(shape, HALF, HOPPER)
    assert tiles
    assert len({str(tile) for tile in tiles}) == len(tiles)
    for tile in tiles:
        (launch,) = launcher.launches(shape, HALF, tile, x=256, weight=512, bias=768, residual=0, y=1024, workspace=0)
        assert launch.shared_bytes <= SHARED_LIMIT_BYTES
        assert 1 <= launch.grid[0] <= -(-shape.M // tile.rows) * -(-out_channels // tile.columns)
        assert launch.kernel == f"{launcher.__name__.rpartition('.')[2]}_{tile.rows}x{tile.columns}"


def test_persistent_grid() -> None:
    """Many tiles: a block a multiprocessor. Wide tiles are no good where there are few outputs."""
    large = ConvShape(64, 56, 56, 64, 256, Window.of(1))
    tile = likely_best("conv2d_wgmma_tma", large, HALF, multiprocessors=114)
    (launch,) = conv2d_wgmma_tma.launches(large, HALF, tile, x=0, weight=0, bias=0, residual=0, y=0, workspace=0)
    assert launch.grid == (114, 1, 1)
    assert tile.rows * tile.columns > 128 * 64
    small = large._replace(images=1, height=14, width=14)
    assert str(likely_best("conv2d_wgmma_tma", small, HALF)) == "128x64 cooperative"


def test_pack_is_k_major() -> None:
    weight = np.arange(2 * 3 * 4 * 5, dtype=np.float64).reshape(2, 3, 4, 5)
    packed = conv2d_wgmma.pack(weight, HALF)
    assert packed.shape == (2, 4, 5, 3)
    assert packed.flags.c_contiguous
    assert packed[1, 2, 3, 1] == weight[1, 1, 2, 3]


# ---- planted faults


PLANTED = [(launcher, name) for launcher in LAUNCHERS for name in (*SHARED_FAULTS, *FAULTS[launcher])]


def every_fault(launcher: ModuleType) -> tuple[tuple[str, str], ...]:
    """Edits that plant all faults, each behind its number: one compilation."""
    faulty: dict[str, list[tuple[int, str]]] = {}
    for number, changes in enumerate((SHARED_FAULTS | FAULTS[launcher]).values(), start=1):
        for right, wrong in changes:
            faulty.setdefault(right, []).append((number, wrong))
    edits = without_other_kernels(launcher)
    for right, wrongs in faulty.items():
        choice = "".join(f"if (PLANTED({number})) {{ {wrong} }} else " for number, wrong in wrongs)
        edits.append((right, f"{choice}{{ {right}\n }}"))
    return tuple(edits)


def check_faulty(launcher: ModuleType, planted: int) -> None:
    """Two blocks with three tiles each, more slabs a tile than stages."""
    channels = 32 if launcher is conv2d_wgmma_tma else 40
    shape = ConvShape(3, 11, 9, channels, 136, Window.of(3, 1, 1), activation=Code.RELU)
    tile = tile_of(launcher, shape)
    if launcher is conv2d_wgmma_tma:
        tile = tile._replace(blocks=2)
    case = Case(shape, OTHER_ELEMENT[launcher], residual=True, exact=True)
    check_every_way(launcher, case, tile, every_fault(launcher), planted)


@pytest.mark.parametrize(("launcher", "fault"), PLANTED, ids=lambda value: named(value) or value)
def test_planted_faults_are_caught(launcher: ModuleType, fault: str) -> None:
    with faults.caught():
        check_faulty(launcher, faults.number(SHARED_FAULTS | FAULTS[launcher], fault))


@pytest.mark.parametrize(
    ("launcher", "fault", "words"),
    [
        (conv2d_wgmma, "slab landed for threads only", "which has not executed fence_async_proxy since"),
        (conv2d_wgmma, "sums multiplied while threads may still use them", "no wgmma_fence since"),
        (conv2d_wgmma_tma, "sums multiplied while threads may still use them", "no wgmma_fence since"),
        (
            conv2d_wgmma_tma,
            "barriers initialised for one thread only",
            "which has not executed barrier_init_fence since",
        ),
    ],
    ids=lambda value: named(value) or value,
)
def test_a_missing_fence_is_named(launcher: ModuleType, fault: str, words: str) -> None:
    with pytest.raises(emulator.EmulatorError, match=words):
        check_faulty(launcher, faults.number(SHARED_FAULTS | FAULTS[launcher], fault))


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=named)
def test_without_a_fault_nothing_is_caught(launcher: ModuleType) -> None:
    check_faulty(launcher, planted=0)
