"""Stems with their max pool for the tests of the fused kernels: their numbers, one kernel, the chain of three."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from npresnet import ops
from npresnet.cuda.elements import ELEMENTS, Element, restore, store
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import layout, max_pool2d, preprocess, stem, stem_mma
from npresnet.cuda.launchers.stem_pool import PooledStem
from npresnet.cuda.pixels import Normalisation
from npresnet.window import Window
from tests.emulator import emulator, memory

# pixels of 0 and 255 become whole numbers: -2 and 2, 0 and 1, -2 and 0, 0 and 4
WHOLE = Normalisation((0.5, 0.0, 1.0, 0.0), (0.25, 1.0, 0.5, 0.25))
IMAGENET = Normalisation((0.485, 0.456, 0.406, 0.5), (0.229, 0.224, 0.225, 0.3))


class Case(NamedTuple):
    """One stem; its numbers follow from the seed.

    pixels  the images come as uint8
    exact   small integers: every float32 sum of them is exact in any order
    nan     a pixel of the first image is NaN (not of uint8)
    """

    shape: PooledStem
    element: Element
    pixels: bool = False
    exact: bool = True
    nan: bool = False
    seed: int = 0

    @property
    def normalisation(self) -> Normalisation | None:
        """As programs are compiled for it."""
        how, channels = WHOLE if self.exact else IMAGENET, self.shape.conv.in_channels
        return Normalisation(how.mean[:channels], how.std[:channels]) if self.pixels else None


class Numbers(NamedTuple):
    """images as they come; the same as float32 (N, C, H, W), normalised; weight (O, C, KH, KW) float64, bias (O,)."""

    images: np.ndarray
    normalised: np.ndarray
    weight: np.ndarray
    bias: np.ndarray


def numbers(case: Case) -> Numbers:
    """The arrays of a case: weights are what the element can hold, every bias far below 0, so that a 0 would win."""
    conv, rng = case.shape.conv, np.random.default_rng(case.seed)
    filters = (conv.out_channels, conv.in_channels, *conv.window.kernel_size)
    size = (conv.images, conv.in_channels, conv.height, conv.width)
    if case.pixels:
        bytes_ = rng.integers(0, 2, size) * 255 if case.exact else rng.integers(0, 256, size)
        images = np.ascontiguousarray(bytes_.astype(np.uint8).transpose(0, 2, 3, 1))
        how = case.normalisation
        mean, std = (np.array(part, np.float32)[:, None, None] for part in how)
        normalised = (bytes_.astype(np.float32) / np.float32(255) - mean) / std
    else:
        images = (rng.integers(-3, 4, size) if case.exact else rng.standard_normal(size)).astype(np.float32)
        if case.nan:
            images[0, 0, conv.height // 2, conv.width // 2] = np.nan
        normalised = images
    weight = (rng.integers(-2, 3, filters) if case.exact else rng.standard_normal(filters) / 8).astype(np.float64)
    bias = rng.integers(-300, -200, conv.out_channels).astype(np.float32)
    if conv.activation:
        bias += np.float32(250)
    return Numbers(images, normalised, restore(store(weight, case.element), case.element).astype(np.float64), bias)


def run(launcher: ModuleType, case: Case, tile: Any, capability: int = 90, **how: Any) -> np.ndarray:
    """(N, PH, PW, O) in the element's storage, by one kernel; it may touch nothing that is not its own."""
    shape, element, arrays = case.shape, case.element, numbers(case)
    assert launcher.supports(shape, element, capability), f"{launcher.__name__} refuses {case}"
    y = memory.poisoned((shape.conv.images, *shape.pool.out_size, shape.conv.out_channels), element.storage)
    buffers = {"images": arrays.images, "weight": launcher.pack(arrays.weight, element), "bias": arrays.bias}
    buffers = {name: memory.guarded(array) for name, array in buffers.items()}
    addresses = {name: array.ctypes.data for name, array in buffers.items()}
    launches = launcher.launches(
        shape, element, tile, capability, **addresses, y=y.ctypes.data, pixels=case.normalisation
    )
    emulator.run(launches, **how)
    memory.check_guards(y, *buffers.values())
    return y


def chain(case: Case) -> np.ndarray:
    """The same by three kernels: images in or preprocess, stem_mma, max_pool2d."""
    conv, pool, element, arrays = case.shape.conv, case.shape.pool, case.element, numbers(case)
    x = memory.poisoned((conv.images, conv.height, conv.width, stem.CHANNELS), element.storage)
    middle = memory.poisoned((conv.images, *conv.out_size, conv.out_channels), element.storage)
    y = memory.poisoned((conv.images, *pool.out_size, conv.out_channels), element.storage)
    positions, end = conv.height * conv.width, {"x": arrays.images.ctypes.data, "y": x.ctypes.data}
    if case.normalisation is not None:
        emulator.run(preprocess.launches(conv.images * positions, *case.normalisation, 4, element, **end))
    else:
        emulator.run(layout.nchw_to_nhwc(conv.images, conv.in_channels, positions, 4, element, **end))
    weight = stem_mma.pack(arrays.weight, element)
    addresses = {"x": x.ctypes.data, "weight": weight.ctypes.data, "bias": arrays.bias.ctypes.data, "residual": 0}
    tile = stem_mma.tiles(conv, element, 90)[0]
    emulator.run(stem_mma.launches(conv, element, tile, **addresses, y=middle.ctypes.data, workspace=0, tickets=0))
    emulator.run(max_pool2d.launches(pool, element, x=middle.ctypes.data, y=y.ctypes.data))
    return y


def expected(case: Case) -> np.ndarray:
    """The result in float64 by `npresnet.ops`, rounded once to what y can hold: right where sums are exact."""
    conv, arrays, window = case.shape.conv, numbers(case), case.shape.window
    how: Any = {"stride": conv.window.stride, "padding": conv.window.padding}
    y = ops.conv2d(arrays.normalised.astype(np.float64), arrays.weight, arrays.bias.astype(np.float64), **how)
    if conv.activation:
        y = np.maximum(y, 0)
    pooled = ops.max_pool2d(
        y, window.kernel_size, stride=window.stride, padding=window.padding, ceil_mode=case.shape.ceil_mode
    )
    plain = ELEMENTS["float32"] if case.element.name == "tf32" else case.element
    return restore(store(pooled.transpose(0, 2, 3, 1), plain), plain)


def check(launcher: ModuleType, case: Case, tile: Any, **how: Any) -> None:
    """Integers are exact. Raises AssertionError."""
    found, right = restore(run(launcher, case, tile, **how), case.element), expected(case)
    wrong = ~((found == right) | (np.isnan(found) & np.isnan(right)))
    first = np.argwhere(wrong)[:1].tolist()
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} wrong, first [n, p, q, o] = {first}: {found[wrong][0]}"


RESNETS = Window.of(7, 2, 3)
POOL = Window.of(3, 2, 1)


def shape(
    size: tuple[int, int, int],
    channels: tuple[int, int],
    window: Window = RESNETS,
    pool: Window = POOL,
    ceil_mode: bool = False,
    relu: bool = True,
) -> PooledStem:
    """images, height, width; channels in and out."""
    return PooledStem(ConvShape(*size, *channels, window, activation=int(relu)), pool, ceil_mode)
