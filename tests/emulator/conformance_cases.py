"""What the kernels of kernels/conformance/intrinsics.cu are given, and how closely their results must agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from npresnet.cuda.elements import ELEMENTS, Element, store
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.runtime import tensor_map
from npresnet.network import Array
from npresnet.window import Window


class Question(NamedTuple):
    """One launch on fixed data.

    capability    80: from sm_80 on
    only_there    there alone: 90 means sm_90a
    inputs        arrays to upload
    shape, dtype  of the output
    tolerance     absolute; 0: every bit, but one NaN is like another
    arguments     (addresses of the inputs, address of the output) -> the kernel's arguments; None: just these
    """

    name: str
    kernel: str
    capability: int
    only_there: bool
    inputs: tuple[Array, ...]
    shape: tuple[int, ...]
    dtype: Any
    grid: int = 1
    block: int = 32
    shared_bytes: int = 0
    tolerance: float = 0.0
    arguments: Callable[[list[int], int], tuple[Any, ...]] | None = None

    def launch(self, inputs: list[int], output: int) -> Launch:
        """Its launch, for these addresses. A TensorMap among the arguments is for the caller to encode."""
        args = tuple(map(np.uint64, (*inputs, output)))
        if self.arguments is not None:
            args = self.arguments(inputs, output)
        return Launch(SOURCE, self.kernel, (self.grid, 1, 1), (self.block, 1, 1), args, self.shared_bytes)

    def runs_on(self, capability: int) -> bool:
        """Whether a device of that capability has the instruction."""
        return capability == self.capability if self.only_there else capability >= self.capability


SOURCE = Source("conformance/intrinsics.cu")


def random_bits(seed: int, count: int) -> Array:
    """SplitMix64: `count` numbers of 64 random bits, the same with every NumPy."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def whole_numbers(seed: int, shape: tuple[int, ...], limit: int = 8) -> Array:
    """-limit .. limit as float32: their products and sums are exact in every element."""
    draws = random_bits(seed, int(np.prod(shape))) % np.uint64(2 * limit + 1)
    return (draws.astype(np.float32) - np.float32(limit)).reshape(shape)


def fractions(seed: int, shape: tuple[int, ...]) -> Array:
    """Between -1 and 1, float32."""
    draws = random_bits(seed, int(np.prod(shape))) >> np.uint64(40)
    return (draws.astype(np.float32) * np.float32(2**-23) - 1).reshape(shape)


def awkward_floats() -> Array:
    """1024 float32 that rounding goes wrong on: ties, limits, subnormals, infinities, NaN, then random bits."""
    limits = [0.0, -0.0, 65504, 65519.996, 65520, 2**-24, 2**-25, 3 * 2**-26, 6.1e-5, 3.4e38, -3.4e38, 1e-45]
    special = np.array([*limits, np.inf, -np.inf, np.nan], np.float32)
    ties = np.arange(256, dtype=np.uint32) << np.uint32(12) | np.uint32(0x3F800000)
    rest = random_bits(1, 1024 - len(special) - 256).astype(np.uint32)
    return np.concatenate([special, ties.view(np.float32), rest.view(np.float32)])


def between_tf32s(seed: int, shape: tuple[int, ...]) -> Array:
    """float32 that a copy of tf32 must round: ties, numbers just beside them, any others; at first what is special."""
    draws = random_bits(seed, int(np.prod(shape)))
    low = np.array([0x1000, 0x0FFF, 0x1001, 0], np.uint32)[(draws >> np.uint64(32)) % np.uint64(4)]
    bits = draws.astype(np.uint32)
    exponents = np.uint32(100) + (bits >> np.uint32(23)) % np.uint32(56)
    bits = (bits & np.uint32(0x807FFFFF)) | exponents << np.uint32(23)
    is_near = (draws >> np.uint64(40) & np.uint64(1)).astype(bool)
    values = np.where(is_near, bits & np.uint32(0xFFFFE000) | low, bits)
    special = np.array([np.inf, -np.inf, np.nan, 3.4028235e38, -3.4028235e38, 1e-45, -0.0], np.float32)
    values[: len(special)] = special.view(np.uint32)
    found: Array = values.view(np.float32).reshape(shape)
    return found


def questions() -> list[Question]:
    """Every intrinsic, those of the oldest devices first."""
    hoppers = (*_hopper_copies(), *_rounded_copies(), *_wgmma_cases(), *_overlapping_rows())
    return [*_conversions(), *_warps_and_copies(), *_mma_cases(), *hoppers]


def _conversions() -> list[Question]:
    floats, halves = awkward_floats(), np.arange(65536, dtype=np.uint16)
    some = halves[::17].copy()[:3840]
    return [
        Question("float_to_half", "to_half", 75, False, (floats,), (1024,), np.uint16, 8, 128),
        Question("half_to_float", "from_half", 75, False, (some,), (3840,), np.float32, 30, 128),
        Question("float_to_bfloat16", "to_bfloat16", 75, False, (floats,), (1024,), np.uint16, 8, 128),
        Question("bfloat16_to_float", "from_bfloat16", 75, False, (some,), (3840,), np.float32, 30, 128),
        Question("float_to_tf32", "to_tf32", 80, False, (floats,), (1024,), np.uint32, 8, 128),
    ]


def _warps_and_copies() -> list[Question]:
    words = whole_numbers(2, (8, 128, 4), 1000)
    rows = (random_bits(3, 256) % np.uint64(65536)).astype(np.uint16).reshape(32, 8)
    return [
        Question("shuffles", "shuffles", 75, False, (whole_numbers(4, (32,), 1000),), (10, 32), np.float32),
        Question("larger", "larger", 75, False, (awkward_floats()[:32],), (32,), np.float32),
        Question("copy_async", "copies", 75, False, (words,), (8, 128, 4), np.float32, 1, 128, 3 * 2048),
        Question("load_matrix", "load_matrices", 75, False, (rows,), (2, 32, 4), np.uint32, 1, 32, 512),
    ]


def _mma_cases() -> list[Question]:
    found = []
    for name, capability in (("float16", 75), ("bfloat16", 80), ("tf32", 80)):
        k = 32 // ELEMENTS[name].item_bytes
        for draw, tolerance in ((whole_numbers, 0.0), (fractions, 2e-5)):
            operands = (draw(5, (16, k)), draw(6, (8, k)))
            inputs = (*(store(x, ELEMENTS[name]) for x in operands), draw(7, (16, 8)))
            title = f"mma_{name} {draw.__name__}"
            found.append(
                Question(title, f"case_mma_{name}", capability, False, inputs, (16, 8), np.float32, tolerance=tolerance)
            )
    return found


def _hopper_copies() -> list[Question]:
    half = ELEMENTS["float16"]
    rows = store(whole_numbers(8, (150, 200), 100), half)
    box = 64 * 128
    found = [
        Question("barriers", "barriers", 90, True, (fractions(9, (10, 32)),), (10, 32), np.float32, 1, 64, 512),
        Question("registers", "registers", 90, True, (fractions(10, (256,)),), (256,), np.float32, 1, 384),
    ]
    for column, row in ((0, 0), (64, 20), (160, 120), (-8, -3)):

        def tile_arguments(inputs: list[int], output: int, column: int = column, row: int = row) -> tuple[Any, ...]:
            tiles = tensor_map.tile(inputs[0], half, 150, 200, 64)
            return (tiles, np.uint64(output), np.int32(box), np.int32(column), np.int32(row))

        title = f"tensor_copy_2d {column} {row}"
        found.append(_box_case(title, "tensor_2d", rows, box, tile_arguments))
    for window, at in (
        (Window((3, 3), (1, 1), (1, 1), (1, 1)), (0, -1, -1, 0, 2, 1)),
        (Window((3, 3), (2, 2), (1, 1), (1, 1)), (64, 3, 1, 1, 0, 2)),
        (Window((3, 3), (1, 1), (2, 2), (2, 2)), (0, -2, 5, 1, 4, 2)),
        (Window((1, 1), (2, 2), (0, 0), (1, 1)), (64, 4, 2, 1, 0, 0)),
    ):
        found.append(_im2col_case(window, at, half, box))
    return found


def _rounded_copies() -> list[Question]:
    """A map of tf32 rounds what it brings."""
    tf32, box = ELEMENTS["tf32"], 64 * 128

    def tile_arguments(inputs: list[int], output: int) -> tuple[Any, ...]:
        tiles = tensor_map.tile(inputs[0], tf32, 150, 200, 64)
        return (tiles, np.uint64(output), np.int32(box), np.int32(-8), np.int32(-3))

    rows = between_tf32s(14, (150, 200))
    window = Window((3, 3), (2, 2), (1, 1), (1, 1))
    return [
        _box_case("tensor_copy_2d_tf32 -8 -3", "tensor_2d", rows, box, tile_arguments),
        _im2col_case(window, (32, -1, -1, 0, 1, 1), tf32, box),
    ]


def _im2col_case(window: Window, at: tuple[int, ...], element: Element, box: int) -> Question:
    """`at`: c, w, h, n, offset_w, offset_h. Windows are square."""
    shape = ConvShape(2, 9, 11, 96, 1, window)
    size = (2, 9, 11, 96)
    is_tf32 = element.name == "tf32"
    images = between_tf32s(15, size) if is_tf32 else store(whole_numbers(11, size, 100), element)

    def arguments(inputs: list[int], output: int) -> tuple[Any, ...]:
        pixels = tensor_map.im2col(inputs[0], element, shape, 64)
        return (pixels, np.uint64(output), np.int32(box), *map(np.int32, at))

    square = (window.kernel_size[0], window.stride[0], window.padding[0], window.dilation[0])
    title = " ".join(map(str, ("tensor_copy_im2col_tf32" if is_tf32 else "tensor_copy_im2col", *square, *at)))
    return _box_case(title, "tensor_im2col", images, box, arguments)


def _box_case(title: str, kernel: str, tensor: Array, box_bytes: int, arguments: Callable[..., Any]) -> Question:
    shape = (box_bytes // 128, 128 // tensor.itemsize)
    dtype = np.uint16 if tensor.itemsize == 2 else np.uint32
    shared_bytes = box_bytes + 8  # and the barrier
    return Question(title, kernel, 90, True, (tensor,), shape, dtype, 1, 128, shared_bytes, arguments=arguments)


def _overlapping_rows() -> list[Question]:
    """The descriptor without swizzle whose rows are 16 bytes apart."""
    found = []
    for name in ("float16", "bfloat16", "tf32"):
        element = ELEMENTS[name]
        filters = whole_numbers(16, (64, 128 // element.item_bytes), 1)
        patch = whole_numbers(17, (119, 16 // element.item_bytes), 1)
        inputs, kernel = (store(filters, element), store(patch, element)), f"overlap_wgmma_{name}"
        shared_bytes = 64 * 128 + 119 * 16
        found.append(
            Question(f"overlapping_{name}", kernel, 90, True, inputs, (64, 112), np.float32, 1, 128, shared_bytes)
        )
    return found


def _wgmma_cases() -> list[Question]:
    found = []
    for name in ("float16", "bfloat16", "tf32"):
        element = ELEMENTS[name]
        k = 128 // element.item_bytes
        for n in (64, 112, 128, 256):
            kernel, shared_bytes = f"case_wgmma_{name}_{n}", (64 + n) * 128
            for draw, tolerance in ((whole_numbers, 0.0), (fractions, 5e-5))[: 2 if n == 64 else 1]:
                inputs = (store(draw(12, (64, k)), element), store(draw(13, (n, k)), element))
                title = f"wgmma_{name} {n} {draw.__name__}"
                found.append(
                    Question(title, kernel, 90, True, inputs, (64, n), np.float32, 1, 128, shared_bytes, tolerance)
                )
    return found
