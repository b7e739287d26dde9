"""Tensor maps: their numbers follow from a convolution, what the copy engine refuses is said in words."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.runtime import tensor_map
from npresnet.cuda.runtime.tensor_map import TensorMap
from npresnet.errors import DeviceError
from npresnet.window import Window
from tests.cuda.conv_cases import WINDOWS
from tests.emulator import tensor_map as emulated

HALF, TF32 = ELEMENTS["float16"], ELEMENTS["tf32"]
SHAPE = ConvShape(5, 12, 10, 128, 64, Window.of((3, 5), (2, 1), (1, 3), (2, 1)))
IM2COL = tensor_map.im2col(0x1000, HALF, SHAPE, 96)
TILE = tensor_map.tile(0x2000, TF32, 70, 160, 256)


def base_positions(size: int, stride: int, lower: int, upper: int) -> list[int]:
    """Where windows begin along one axis, as the bounding box says."""
    return list(range(lower, size + upper, stride))


@pytest.mark.parametrize(("size", "window"), WINDOWS)
def test_the_bounding_box_holds_one_position_an_output(size: tuple[int, int], window: Window) -> None:
    lower, upper = tensor_map.corners(window)
    for axis, outputs in enumerate(window.output_size(size)):
        positions = base_positions(size[axis], window.stride[axis], lower[1 - axis], upper[1 - axis])
        assert positions == [i * window.stride[axis] - window.padding[axis] for i in range(outputs)]


def test_im2col() -> None:
    assert IM2COL.is_im2col
    assert IM2COL.dims == (128, 10, 12, 5)
    assert IM2COL.strides == (256, 2560, 30720)
    assert IM2COL.box == (64, 96)
    assert IM2COL.element_strides == (1, 1, 2, 1)
    assert (IM2COL.lower, IM2COL.upper) == ((-3, -1), (-1, -3))


def test_tile() -> None:
    assert not TILE.is_im2col
    assert (TILE.dims, TILE.strides, TILE.box) == ((160, 70), (640,), (32, 256))


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (IM2COL._replace(address=0x1008), "0x1008 is not a multiple of 16"),
        (IM2COL._replace(strides=(256, 2568, 30720)), "(256, 2568, 30720) are not multiples of 16"),
        (IM2COL._replace(dims=(128, 10, 12, 0)), "(128, 10, 12, 0)"),
        (IM2COL._replace(box=(32, 96)), "64 bytes, the swizzle permutes 128"),
        (IM2COL._replace(swizzle=64), "the swizzle"),
        (IM2COL._replace(box=(64, 1025)), "1025 rows"),
        (TILE._replace(box=(32, 257)), "257 rows"),
        (IM2COL._replace(element_strides=(1, 9, 1, 1)), "(1, 9, 1, 1)"),
        (IM2COL._replace(lower=(-129, 0)), "(-129, 0)"),
    ],
)
def test_what_the_copy_engine_refuses(tensor: TensorMap, words: str) -> None:
    for refuse in (tensor_map.check, tensor_map.encode, emulated.pack):
        with pytest.raises(DeviceError, match="cannot be encoded") as caught:
            refuse(tensor)
        assert words in str(caught.value)


def test_takes_window() -> None:
    assert all(tensor_map.takes_window(window) for _, window in WINDOWS)
    assert tensor_map.takes_window(Window.of(3, 8, 64, 64))
    assert not tensor_map.takes_window(Window.of(3, 9))
    assert not tensor_map.takes_window(Window.of(2, 1, 0, 130))


# ---- the driver's functions


class Driver:
    """Stands for libcuda: keeps what it is called with, writes into the map, and fails if told so."""

    def __init__(self, status: int = 0):
        self.status, self.calls = status, []

    def cuTensorMapEncodeTiled(self, *args: Any) -> int:
        return self._encode("tiled", args)

    def cuTensorMapEncodeIm2col(self, *args: Any) -> int:
        return self._encode("im2col", args)

    def cuGetErrorString(self, status: int, text: Any) -> int:
        text._obj.value = b"invalid argument"
        return 0

    def _encode(self, name: str, args: tuple[Any, ...]) -> int:
        assert args[0] % 64 == 0
        ctypes.memset(args[0], 0x5A, 128)
        self.calls.append((name, [list(a) if isinstance(a, ctypes.Array) else a for a in args[1:]]))
        return self.status


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    stand_in = Driver()
    monkeypatch.setattr(tensor_map, "_driver", lambda: stand_in)
    return stand_in


def test_encode_im2col(driver: Driver) -> None:
    """cuTensorMapEncodeIm2col(map, type, rank, address, dims, strides, corners, channels, pixels, steps, modes)"""
    encoded = tensor_map.encode(IM2COL)
    assert encoded.shape == (1,)
    assert encoded.nbytes == 128
    assert encoded.ctypes.data % 64 == 0
    assert (encoded.view(np.uint8) == 0x5A).all()
    steps, modes = [1, 1, 2, 1], (0, 3, 3, 0)
    corners = ([-3, -1], [-1, -3])
    dims = ([128, 10, 12, 5], [256, 2560, 30720])
    assert driver.calls == [("im2col", [1, 4, 0x1000, *dims, *corners, 64, 96, steps, *modes])]


def test_encode_tile(driver: Driver) -> None:
    """cuTensorMapEncodeTiled(map, type, rank, address, dims, strides, box, steps, modes); tf32 has a type of its own"""
    tensor_map.encode(TILE)
    assert driver.calls == [("tiled", [11, 2, 0x2000, [160, 70], [640], [32, 256], [1, 1], 0, 3, 3, 0])]


def test_what_the_driver_refuses(driver: Driver) -> None:
    driver.status = 1
    with pytest.raises(DeviceError, match=r"does not encode .*invalid argument \(1\)"):
        tensor_map.encode(TILE)


def test_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    tensor_map._driver.cache_clear()
    with pytest.raises(DeviceError, match="need the NVIDIA driver"):
        tensor_map.encode(TILE)


def test_with_an_old_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    tensor_map._driver.cache_clear()
    with pytest.raises(DeviceError, match="too old"):
        tensor_map.encode(TILE)


# ---- the emulator's stand-in


def test_pack() -> None:
    item = emulated.pack(IM2COL)
    assert item.nbytes == 128
    assert item.ctypes.data % 64 == 0
    assert (item["base"][0], item["im2col"][0], item["magic"][0]) == (0x1000, 1, emulated.MAGIC)
    assert item["size"][0].tolist() == [128, 10, 12, 5]
    assert item["step"][0].tolist() == [1, 2]
    tile = emulated.pack(TILE)
    assert tile["size"][0].tolist() == [160, 70, 1, 1]
    assert tile["stride_bytes"][0].tolist() == [640, 0, 0]
    assert (tile["element_bytes"][0], tile["im2col"][0]) == (4, 0)
