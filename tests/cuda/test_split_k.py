"""conv2d/split_k.cuh under the emulator: the last block of a tile adds up, in one order, whoever it is."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from npresnet.cuda.elements import ELEMENTS, Element, restore, store
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import conv2d_mma, conv2d_registers, split_k
from npresnet.window import Window
from tests.cuda import faults
from tests.cuda.conv_cases import Case, assert_exact, check_conv, expected, numbers
from tests.emulator import emulator, memory

pytestmark = [emulator.needed, pytest.mark.in_a_child]

HALF, FLOAT32 = ELEMENTS["float16"], ELEMENTS["float32"]
KERNELS = {
    "mma": (conv2d_mma, HALF),
    "mma tf32": (conv2d_mma, ELEMENTS["tf32"]),
    "float32": (conv2d_registers, FLOAT32),
}
SPLITS = 4
# several tiles of positions and of channels, the last ones ragged; 24 filters a group, 3 groups
GROUPED = ConvShape(2, 9, 7, 48, 72, Window.of(3, 1, 1), 3, True)


class Cancelling:
    """Slices of K whose sums are 1, 2**24, 1, -2**24: float32 gives 0 in that order, where each 1 vanishes."""

    def __init__(self, launcher: ModuleType, element: Element, channels: int = 128):
        self.launcher, self.element = launcher, element
        self.shape = ConvShape(1, 9, 10, channels, 68, Window.of(1))
        first = np.arange(0, channels, channels // SPLITS)
        x, weight = np.zeros((90, channels), np.float32), np.zeros((68, channels, 1, 1))
        x[:, first], weight[:, first, 0, 0] = [1, 4096, 1, 4096], [1, 4096, 1, -4096]
        self.inputs = [store(x, element), launcher.pack(weight, element), np.arange(68, dtype=np.float32)]
        self.inputs = [memory.guarded(array) for array in self.inputs]
        self.tickets = memory.guarded(np.zeros(split_k.TICKETS, np.uint32))

    def check(self, launches: int = 1, **how: Any) -> None:
        tile = self.launcher.SMALL._replace(splits=SPLITS)
        space = memory.poisoned((self.launcher.workspace_bytes(self.shape, self.element, tile),), np.uint8)
        for _ in range(launches):
            y = memory.poisoned((90, 68), self.inputs[0].dtype)
            names = ("x", "weight", "bias", "workspace", "tickets", "y")
            arrays = dict(zip(names, (*self.inputs, space, self.tickets, y), strict=True))
            addresses = {name: array.ctypes.data for name, array in arrays.items()}
            emulator.run(self.launcher.launches(self.shape, self.element, tile, residual=0, **addresses), **how)
            memory.check_guards(*arrays.values())
            assert not self.tickets.any(), "tickets are left"
            np.testing.assert_array_equal(restore(y, self.element), np.tile(self.inputs[2], (90, 1)))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("how", emulator.EVERY_WAY, ids=lambda how: "-".join(how.values()))
def test_slices_are_added_in_ascending_order_whoever_comes_last(kernel: str, how: dict[str, str]) -> None:
    Cancelling(*KERNELS[kernel]).check(**how)


@pytest.mark.parametrize("kernel", ["mma", "float32"])
def test_launches_one_after_the_other_and_blocks_at_the_same_time(kernel: str) -> None:
    """The counters are zero after each launch; two threads of the CPU have blocks of one tile at once."""
    Cancelling(*KERNELS[kernel]).check(launches=6, threads=2, schedule="random:3")


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_tile_of_every_group_has_its_own_counter(kernel: str) -> None:
    launcher, element = KERNELS[kernel]
    for how in emulator.EVERY_WAY[::2]:
        case = Case(GROUPED, element, residual=True, exact=True)
        check_conv(launcher, case, launcher.SMALL._replace(splits=3), **how)


# filters a group, groups: numbers of a row that begin or end within four neighbouring ones, or odd rows
UNEVEN = [(6, 2), (6, 4), (5, 4), (9, 2), (13, 1), (7, 3), (66, 2)]


@pytest.mark.parametrize(("filters", "groups"), UNEVEN)
@pytest.mark.parametrize("kernel", KERNELS)
def test_groups_that_share_four_neighbours_leave_them_alone(kernel: str, filters: int, groups: int) -> None:
    """The residual is y itself: a sum that another group's block writes there would be added once more."""
    launcher, element = KERNELS[kernel]
    shape = ConvShape(1, 5, 7, 48 * groups, filters * groups, Window.of(1), groups)
    case = Case(shape, element, residual=True, exact=True)
    arrays, tile = numbers(case), launcher.SMALL._replace(splits=3)
    assert arrays.residual is not None
    space = memory.poisoned((launcher.workspace_bytes(shape, element, tile),), np.uint8)
    weight = launcher.pack(arrays.weight, element)
    buffers = {"x": arrays.x, "weight": weight, "bias": arrays.bias, "y": arrays.residual}
    buffers["tickets"] = np.zeros(split_k.TICKETS, np.uint32)
    buffers = {name: memory.guarded(array) for name, array in buffers.items()} | {"workspace": space}
    addresses = {name: array.ctypes.data for name, array in buffers.items()}
    emulator.run(launcher.launches(shape, element, tile, residual=addresses["y"], **addresses))
    memory.check_guards(*buffers.values())
    assert_exact(restore(buffers["y"], element), expected(case, arrays), element)


def test_more_tiles_than_counters_are_refused() -> None:
    large = ConvShape(33, 64, 64, 64, 64, Window.of(1))
    for launcher, element in ((conv2d_mma, HALF), (conv2d_registers, FLOAT32)):
        names = ("x", "weight", "bias", "residual", "y", "workspace", "tickets")
        with pytest.raises(ValueError, match=r"2112 tiles .* 1024 tickets"):
            launcher.launches(large, element, launcher.SMALL._replace(splits=2), **dict.fromkeys(names, 0))
        for images in (1, 4, 64):
            shape = ConvShape(images, 56, 56, 512, 512, Window.of(3, 1, 1))
            for tile in launcher.tiles(shape, element, 90):
                split_k.check(launcher.blocks(shape, tile))


OTHER_KERNELS = [  # left out where a fault is planted, so that there is less to compile
    ("CONV2D_MMA(conv2d_mma_64x64, 64, 64, 16, 4, 4)\n", ""),
    ("CONV2D_MMA(conv2d_mma_128x64, 128, 64, 32, 4, THROUGH_REGISTERS ? 2 : 3)\n", ""),
    ("CONV2D_MMA(conv2d_mma_128x128, 128, 128, 64, 4, 2)\n", ""),
    ("CONV2D_MMA(conv2d_mma_256x128, 256, 128, 64, 4, 1)\n", ""),
]
FAULTS = {
    "the ticket is drawn before all have left their sums": (
        "__syncthreads();  // all sums have been left",
        "if (!PLANTED) __syncthreads();",
    ),
    "the ticket is read before it is drawn": (
        "__syncthreads();  // the ticket is there for all",
        "if (!PLANTED) __syncthreads();",
    ),
    "the last but one adds up": ("*drawn == gridDim.z - 1", "*drawn == gridDim.z - (PLANTED ? 2 : 1)"),
    "the counter does not begin again": (", gridDim.z);\n", ", PLANTED ? 1u << 30 : gridDim.z);\n"),
    "groups share counters": ("tickets + blockIdx.y *", "tickets + (PLANTED ? 0 : blockIdx.y) *"),
    "tiles share counters": ("+ blockIdx.x,", "+ (PLANTED ? 0 : blockIdx.x),"),
    "the order is that of who came last": (
        "from += (size_t)M * O;",
        "from = PLANTED && blockIdx.z == 0 ? partial + (size_t)(gridDim.z - z) * M * O + (size_t)row * O + column"
        " : from + (size_t)M * O;",
    ),
    "rows beyond the last": (  # few enough to stay within the guarded zone
        "if (row + i * PASS_ROWS < end)",
        "if (row + i * PASS_ROWS < end + (PLANTED ? 4 : 0))",
    ),
    "a slice of another image": ("(size_t)blockIdx.z * M * O;", "(size_t)blockIdx.z * M * (PLANTED ? O - 4 : O);"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_noticed(fault: str) -> None:
    """Under some order of blocks, of threads and of what gets to memory."""
    with faults.caught():
        check_faulty(faults.number(FAULTS, fault))


def test_without_a_fault_nothing_is_noticed() -> None:
    check_faulty(planted=0)


def check_faulty(planted: int) -> None:
    edits = (*OTHER_KERNELS, *faults.edits_of(FAULTS))
    for how in emulator.EVERY_WAY:
        Cancelling(conv2d_mma, HALF).check(launches=2, edits=edits, planted=planted, **how)
        case, tile = Case(GROUPED, HALF, exact=True), conv2d_mma.SMALL._replace(splits=3)
        check_conv(conv2d_mma, case, tile, edits=edits, planted=planted, **how)
