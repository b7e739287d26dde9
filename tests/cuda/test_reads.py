"""What lies behind an operand is not read, though nobody would see it in the results: it may be nobody's memory."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from npresnet.cuda.elements import ELEMENTS, Element, restore
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import (
    conv2d_mma,
    conv2d_registers,
    conv2d_wgmma,
    conv2d_wgmma_tma,
    split_k,
    stem_mma_pool,
    stem_wgmma_pool,
)
from npresnet.cuda.launchers.stem_pool import Tile
from npresnet.window import Window
from tests.cuda import pooled_stems
from tests.cuda.conv_cases import Case, assert_exact, expected, numbers
from tests.emulator import emulator, memory

pytestmark = [emulator.needed, pytest.mark.in_a_child]

HALF, FLOAT32 = ELEMENTS["float16"], ELEMENTS["float32"]
CONVS: dict[str, tuple[ModuleType, Element, int, dict[str, int]]] = {
    "mma": (conv2d_mma, HALF, 24, {}),
    "mma split": (conv2d_mma, HALF, 72, {"splits": 3}),
    "float32": (conv2d_registers, FLOAT32, 20, {}),
    "float32 split": (conv2d_registers, FLOAT32, 20, {"splits": 3}),
    "float32 scalar": (conv2d_registers, FLOAT32, 7, {}),
    "wgmma": (conv2d_wgmma, HALF, 24, {}),
    "wgmma_tma": (conv2d_wgmma_tma, HALF, 64, {}),
}


def at_the_end(buffers: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Copies of the buffers, and their addresses."""
    moved = {name: memory.at_the_end(array) for name, array in buffers.items()}
    return moved, {name: array.ctypes.data for name, array in moved.items()}


@pytest.mark.parametrize("filters", [68, 70])
@pytest.mark.parametrize("name", CONVS)
def test_operands_of_a_convolution(name: str, filters: int) -> None:
    launcher, element, channels, more = CONVS[name]
    shape = ConvShape(2, 5, 7, channels, filters, Window.of(3, 1, 1))
    case = Case(shape, element, residual=True, exact=True)
    tile, arrays = launcher.tiles(shape, element, 90)[0]._replace(**more), numbers(case)
    y = np.zeros((2, 5, 7, filters), element.storage)
    buffers = {"x": arrays.x, "weight": launcher.pack(arrays.weight, element), "bias": arrays.bias, "y": y}
    buffers |= {"residual": y if arrays.residual is None else arrays.residual}
    buffers |= {"workspace": np.zeros(launcher.workspace_bytes(shape, element, tile), np.uint8)}
    buffers |= {"tickets": np.zeros(split_k.TICKETS, np.uint32)}
    moved, addresses = at_the_end(buffers)
    run(launcher.launches(shape, element, tile, **addresses))
    assert_exact(restore(moved["y"], element), expected(case, arrays), element)


@pytest.mark.parametrize("pixels", [False, True], ids=["float32", "pixels"])
@pytest.mark.parametrize("launcher", [stem_mma_pool, stem_wgmma_pool], ids=["mma", "wgmma"])
def test_operands_of_a_stem(launcher: ModuleType, pixels: bool) -> None:
    for channels, filters in ((3, 70), (4, 72)):
        shape = pooled_stems.shape((1, 21, 38), (channels, filters))
        case = pooled_stems.Case(shape, HALF, pixels)
        arrays = pooled_stems.numbers(case)
        y = np.zeros((1, *shape.pool.out_size, filters), HALF.storage)
        packed = launcher.pack(arrays.weight, HALF)
        moved, addresses = at_the_end({"images": arrays.images, "weight": packed, "bias": arrays.bias, "y": y})
        how: Any = {**addresses, "pixels": case.normalisation}
        run(launcher.launches(shape, HALF, Tile(3), 90, **how))
        np.testing.assert_array_equal(restore(moved["y"], HALF), pooled_stems.expected(case))


def run(launches: list[Launch]) -> None:
    for way in emulator.EVERY_WAY[::5]:
        emulator.run(launches, **way)


def test_reading_behind_is_noticed() -> None:
    """One number, of which nothing is made."""
    launcher, shape = conv2d_registers, ConvShape(1, 5, 7, 8, 70, Window.of(1))
    tile = launcher.SMALL
    arrays = numbers(Case(shape, FLOAT32))
    buffers = {"x": arrays.x, "weight": launcher.pack(arrays.weight, FLOAT32), "bias": arrays.bias}
    _, addresses = at_the_end(buffers | {"y": np.zeros((35, 70), np.float32)})
    launches = launcher.launches(shape, FLOAT32, tile, residual=0, workspace=0, tickets=0, **addresses)
    edits = (("i * STEP, work.last - 1)", "i * STEP, work.last)"),)
    with pytest.raises(emulator.EmulatorError):
        emulator.run(launches, edits=edits)
