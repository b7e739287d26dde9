"""The stem's kernels under the emulator, against float64 and, on integers, bit for bit."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from npresnet.cuda.activation import Code
from npresnet.cuda.elements import ELEMENTS, restore
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import stem, stem_mma, stem_registers
from npresnet.window import Window
from tests.cuda import conv_cases, faults
from tests.cuda.conv_cases import Case, Expected
from tests.emulator import emulator, memory

pytestmark = [emulator.needed, pytest.mark.in_a_child]

# (images, height, width, in_channels, out_channels, window)
SHAPES = {
    "ResNet's": (1, 38, 35, 3, 64, Window.of(7, 2, 3)),
    "odd, two images, ragged filters": (2, 23, 37, 3, 33, Window.of(7, 2, 3)),
    "CIFAR's": (2, 17, 18, 3, 16, Window.of(3, 1, 1)),
    "deep stem": (1, 21, 35, 3, 32, Window.of(3, 2, 1)),
    "grey, filters beyond a block": (1, 10, 9, 1, 70, Window.of(5, 1, 2)),
    "four channels, not square": (1, 19, 41, 4, 7, Window.of((2, 8), (3, 2), (1, 0))),
    "patches": (1, 33, 20, 3, 24, Window.of(4, 4)),
    "smaller than a window": (3, 3, 2, 2, 8, Window.of(7, 2, 3)),
    "stride 3": (1, 9, 25, 3, 12, Window.of((1, 6), (1, 3), (0, 3))),
}
PAIRS = [(stem_registers, "float32"), *((stem_mma, name) for name in ("float16", "bfloat16", "tf32"))]


def case(name: str, element: str, **how: Any) -> Case:
    images, height, width, in_channels, out_channels, window = SHAPES[name]
    shape = ConvShape(images, height, width, in_channels, out_channels, window, activation=len(name) % 2 == 0)
    return Case(shape, ELEMENTS[element], **how)


def run_stem(
    launcher: ModuleType, case: Case, walk: int = 1, edits: tuple[tuple[str, str], ...] = (), **how: Any
) -> tuple[np.ndarray, Expected]:
    shape, element, arrays = case.shape, case.element, conv_cases.numbers(case)
    assert launcher.supports(shape, element, 80)
    x = np.zeros((*arrays.x.shape[:3], stem.CHANNELS), element.storage)
    x[..., : shape.in_channels] = arrays.x
    y = memory.poisoned((shape.images, *shape.out_size, shape.out_channels), element.storage)
    buffers = {"x": x, "weight": launcher.pack(arrays.weight, element), "bias": arrays.bias}
    buffers = {name: memory.guarded(array) for name, array in buffers.items()}
    addresses = {name: array.ctypes.data for name, array in buffers.items()}
    launches = launcher.launches(
        shape, element, stem.Tile(walk), **addresses, residual=0, y=y.ctypes.data, workspace=0, tickets=0
    )
    emulator.run(launches, edits=edits, **how)
    memory.check_guards(y, *buffers.values())
    return restore(y, element), conv_cases.expected(case, arrays)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("launcher", "element"), PAIRS)
def test_integers_bit_for_bit(launcher: ModuleType, element: str, name: str) -> None:
    exact = case(name, element, exact=True)
    y, right = run_stem(launcher, exact, walk=3)
    conv_cases.assert_exact(y, right, exact.element)


@pytest.mark.parametrize("how", emulator.EVERY_WAY, ids=lambda how: "-".join(how.values()))
@pytest.mark.parametrize(("launcher", "element"), PAIRS)
def test_close_to_float64_whatever_the_schedule(launcher: ModuleType, element: str, how: dict[str, str]) -> None:
    normal = case("odd, two images, ragged filters", element)
    y, right = run_stem(launcher, normal, walk=2, **how)
    conv_cases.assert_close(y, right, normal.element)


@pytest.mark.parametrize(("launcher", "element"), PAIRS)
def test_a_nan_stays_in_its_image(launcher: ModuleType, element: str) -> None:
    normal = case("odd, two images, ragged filters", element, nan_image=0)
    y, right = run_stem(launcher, normal)
    assert np.isnan(y[0][np.isnan(right.values[0])]).all()
    conv_cases.assert_close(y[1:], Expected(right.values[1:], right.slack[1:]), normal.element)


@pytest.mark.parametrize("element", ["float16", "bfloat16"])
def test_turing_takes_float16_only(element: str) -> None:
    assert stem_mma.supports(case("ResNet's", element).shape, ELEMENTS[element], 75) == (element == "float16")


def test_what_is_no_stem() -> None:
    wide = ConvShape(1, 32, 32, 8, 8, Window.of(3, 1, 1))
    dilated = ConvShape(1, 32, 32, 3, 8, Window.of(3, 1, 1, 2))
    grouped = ConvShape(1, 32, 32, 2, 8, Window.of(3, 1, 1), groups=2)
    large = ConvShape(1, 32, 32, 3, 8, Window.of(11, 4, 2))
    far = ConvShape(1, 320, 320, 3, 8, Window.of(7, 32, 3))  # its patch is larger than shared memory
    for shape in (wide, dilated, grouped, large, far):
        assert not stem_mma.supports(shape, ELEMENTS["float16"], 90)
        assert not stem_registers.supports(shape, ELEMENTS["float32"], 90)


@pytest.mark.parametrize(("launcher", "element"), PAIRS)
def test_resnets_stem_fits_every_architecture(launcher: ModuleType, element: str) -> None:
    shape = ConvShape(1, 224, 224, 3, 64, Window.of(7, 2, 3), activation=Code.RELU)
    first = 75 if element in ("float32", "float16") else 80
    assert all(launcher.supports(shape, ELEMENTS[element], capability) for capability in (first, 80, 86, 90, 120))


def test_walks_leave_blocks_for_every_multiprocessor() -> None:
    one, many = (ConvShape(n, 224, 224, 3, 64, Window.of(7, 2, 3)) for n in (1, 256))
    element = ELEMENTS["float16"]
    assert list(map(str, stem_mma.tiles(one, element, 90))) == ["walk1"]
    assert [tile.walk for tile in stem_mma.tiles(many, element, 90)] == [16, 8, 4, 2, 1]


def test_a_residual_is_refused() -> None:
    shape = case("CIFAR's", "float16").shape
    with pytest.raises(ValueError, match="no residual"):
        stem_mma.launches(
            shape, ELEMENTS["float16"], stem.Tile(1), x=0, weight=0, bias=0, residual=256, y=0, workspace=0, tickets=0
        )


OTHER_KERNELS = [  # left out where a fault is planted, so that there is less to compile
    ("STEM_MMA(stem_mma_32x4, 32, 4, true)\n", ""),
    ("STEM_MMA(stem_mma_32x8_apart, 32, 8, false)\n", ""),
    ("STEM_MMA(stem_mma_32x4_apart, 32, 4, false)\n", ""),
]
FAULTS = {
    "a patch overwritten while others read it": (
        "__syncthreads();  // the last patch has been read",
        "if (!PLANTED) __syncthreads();",
    ),
    "a patch read before it is written": (
        "tile, taps);\n    __syncthreads();\n",
        "tile, taps);\n    if (!PLANTED) __syncthreads();\n",
    ),
    "a strip overwritten while others read it": (
        "warp_sync();  // the row before has been read",
        "if (!PLANTED) warp_sync();",
    ),
    "a strip read before it is written": ("sums[j]);\n  warp_sync();\n", "sums[j]);\n  if (!PLANTED) warp_sync();\n"),
    "a window's 16 bytes swapped": (
        "window + lane / 16 * VECTOR",
        "window + (PLANTED ? 1 - lane / 16 : lane / 16) * VECTOR",
    ),
    "weights of another row of the window": (
        "filter += taps * CHANNELS)",
        "filter += (PLANTED ? 1 : taps) * CHANNELS)",
    ),
    "a stride along the wrong axis": (
        "position * conv.stride_w]",
        "position * (PLANTED ? conv.stride_h : conv.stride_w)]",
    ),
    "a padding along the wrong axis": (
        "tile.j * conv.stride_w - conv.padding_w",
        "tile.j * conv.stride_w - (PLANTED ? conv.padding_h : conv.padding_w)",
    ),
    "pixels outside the image read": ("inside ? images.pixel(", "inside || PLANTED ? images.pixel("),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    with faults.caught():
        check_every_way(faults.number(FAULTS, fault))


def test_without_a_fault_nothing_is_caught() -> None:
    check_every_way(planted=0)


def check_every_way(planted: int) -> None:
    exact, edits = case("four channels, not square", "float16", exact=True), (*OTHER_KERNELS, *faults.edits_of(FAULTS))
    for how in emulator.EVERY_WAY:
        y, right = run_stem(stem_mma, exact, walk=2, edits=edits, planted=planted, **how)
        conv_cases.assert_exact(y, right, exact.element)
