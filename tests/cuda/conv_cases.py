"""Convolutions for the tests of the GPU kernels: their numbers, the float64 reference, a run under the emulator.

case = Case(shape, ELEMENTS["float16"], residual=True)
check_conv(conv2d_mma, case, tile)                            # runs it and compares
y, right = run_conv(conv2d_mma, case, tile, edits=[(...)])    # a planted fault: then assert_close fails
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from npresnet import ops
from npresnet.cuda.compiler.choices import Layer, Processor, candidates_of
from npresnet.cuda.elements import ELEMENTS, Element, restore, store
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import split_k
from npresnet.window import Window
from tests.emulator import emulator, memory

# An image's size and a window on it: every stride, padding and dilation somewhere, square and not.
WINDOWS = (
    ((5, 7), Window.of(1)),
    ((6, 5), Window.of(1, 2)),
    ((7, 5), Window.of(3, 1, 1)),
    ((9, 6), Window.of(3, 2, 1)),
    ((9, 7), Window.of(3, 1, 2, 2)),
    ((6, 8), Window.of(3)),
    ((13, 11), Window.of(7, 2, 3)),
    ((11, 9), Window.of((5, 3), (1, 2), (0, 2), (2, 1))),
    ((8, 10), Window.of((1, 3), (3, 1), (0, 1), (1, 3))),
    ((3, 2), Window.of((2, 4), 1, (1, 3))),  # wider than the image: most taps lie outside
    ((4, 4), Window.of(1, 1, 1)),  # outputs that see no pixel at all
)
# (in_channels, out_channels, groups): no multiple of any tile or of a 16-byte access
RAGGED = ((1, 1, 1), (3, 7, 1), (7, 33, 1), (33, 3, 1), (4, 4, 4), (6, 9, 3), (14, 66, 2))


class Case(NamedTuple):
    """One convolution; its numbers follow from the seed.

    residual   whether one is added
    exact      small integers: every float32 sum of them is exact in any order, so results must agree bit for bit
    nan_image  the image whose middle pixel is NaN
    """

    shape: ConvShape
    element: Element = ELEMENTS["float32"]
    residual: bool = False
    exact: bool = False
    nan_image: int | None = None
    seed: int = 0

    @property
    def channels(self) -> tuple[int, int, int]:
        """(in_channels, out_channels, groups)"""
        return self.shape.in_channels, self.shape.out_channels, self.shape.groups

    def __str__(self) -> str:
        """N2x7x5 c33-o3g1 k3x3s1x1p1x1d1x1 relu residual float16 exact"""
        s, w = self.shape, self.shape.window
        axes = zip("kspd", (w.kernel_size, w.stride, w.padding, w.dilation), strict=True)
        words = [f"N{s.images}x{s.height}x{s.width}", f"c{s.in_channels}-o{s.out_channels}g{s.groups}"]
        words.append("".join(f"{letter}{pair[0]}x{pair[1]}" for letter, pair in axes))
        words += [name for name in ("relu",) if s.activation] + [name for name in ("residual",) if self.residual]
        return " ".join([*words, self.element.name, *(["exact"] if self.exact else [])])


class Numbers(NamedTuple):
    """A case's arrays, as they are stored: x (N, H, W, C), residual (N, OH, OW, O) or None, in the element's storage.

    weight  (O, C/groups, KH, KW) float64, exactly what the element can hold
    bias    (O,) float32
    """

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    residual: np.ndarray | None


class Expected(NamedTuple):
    """The result in float64, and how far float32 sums may be from it: both (N, OH, OW, O)."""

    values: np.ndarray
    slack: np.ndarray


def shapes(
    channels: Iterable[tuple[int, int, int]] = RAGGED, windows: Iterable[tuple[Any, Window]] = WINDOWS
) -> Iterator[ConvShape]:
    """Every (in_channels, out_channels, groups) with every window; one to three images, ReLU on and off by turns."""
    windows = tuple(windows)
    for number, (in_channels, out_channels, groups) in enumerate(channels):
        for turn, ((height, width), window) in enumerate(windows):
            images, relu = 1 + (turn + number) % 3, (turn + number) % 2 == 0
            yield ConvShape(images, height, width, in_channels, out_channels, window, groups, relu)


def cases(
    shapes: Iterable[ConvShape], elements: Iterable[str] = ("float32",), *, exact: bool = False
) -> Iterator[Case]:
    """A case for every shape; the elements take turns, and a residual comes and goes."""
    names = tuple(elements)
    for seed, shape in enumerate(shapes):
        yield Case(shape, ELEMENTS[names[seed % len(names)]], residual=seed // 2 % 2 == 1, exact=exact, seed=seed)


def numbers(case: Case) -> Numbers:
    """The arrays of a case. For tf32 x is rounded to tf32, so that products are exact on every kernel."""
    shape, rng = case.shape, np.random.default_rng(case.seed)
    height, width = shape.out_size
    filters = (shape.out_channels, shape.in_channels // shape.groups, *shape.window.kernel_size)

    def draw(*size: int) -> np.ndarray:
        return rng.integers(-3, 4, size).astype(np.float64) if case.exact else rng.standard_normal(size)

    x = draw(shape.images, shape.height, shape.width, shape.in_channels)
    if case.nan_image is not None:
        x[case.nan_image, shape.height // 2, shape.width // 2] = np.nan
    weight = restore(store(draw(*filters), case.element), case.element).astype(np.float64)
    bias = draw(shape.out_channels).astype(np.float32)
    residual = _plain(draw(shape.images, height, width, shape.out_channels), case.element) if case.residual else None
    return Numbers(store(x, case.element), weight, bias, residual)


def expected(case: Case, arrays: Numbers) -> Expected:
    """The convolution in float64 by `npresnet.ops`, of exactly the numbers that the kernel is given.

    A float32 sum of n products, in any order, is off by at most n roundings of the sum of the products' magnitudes;
    tensor cores cut off instead of rounding to the nearest, hence 2**-23 and not 2**-24. Bias and residual are two
    more.
    """
    window, groups = case.shape.window, case.shape.groups
    settings: Any = {"stride": window.stride, "padding": window.padding, "dilation": window.dilation, "groups": groups}
    x = restore(arrays.x, case.element).astype(np.float64).transpose(0, 3, 1, 2)
    bias = arrays.bias.astype(np.float64)
    values = ops.conv2d(x, arrays.weight, bias, **settings).transpose(0, 2, 3, 1)
    size = ops.conv2d(np.abs(x), np.abs(arrays.weight), np.abs(bias), **settings).transpose(0, 2, 3, 1)
    if arrays.residual is not None:
        residual = restore(arrays.residual, case.element).astype(np.float64)
        values, size = values + residual, size + np.abs(residual)
    return Expected(np.maximum(values, 0) if case.shape.activation else values, size * (case.shape.K + 2) * 2.0**-23)


def run_conv(
    launcher: ModuleType,
    case: Case,
    tile: Any,
    *,
    copies: str = "lazy",
    schedule: str = "ascending",
    architecture: int = 90,
    edits: emulator.Edits = (),
    planted: int = 0,
) -> tuple[np.ndarray, Expected]:
    """Pack, launch under the emulator, read y back: (N, OH, OW, O) float32. No kernel may touch what is not its own.

    architecture, edits, planted  as `emulator.run` takes them; the edits are made to the launcher's own source
    """
    shape, element, arrays = case.shape, case.element, numbers(case)
    assert launcher.supports(shape, element, architecture), f"{launcher.__name__} refuses {case}"
    buffers = {"x": arrays.x, "weight": launcher.pack(arrays.weight, element), "bias": arrays.bias}
    if arrays.residual is not None:
        buffers["residual"] = arrays.residual
    buffers = {name: memory.guarded(array) for name, array in buffers.items()}
    before = {name: array.tobytes() for name, array in buffers.items()}
    y = memory.poisoned((shape.images, *shape.out_size, shape.out_channels), element.storage)
    workspace = memory.poisoned((launcher.workspace_bytes(shape, element, tile),), np.uint8)
    addresses = {"residual": 0} | {name: array.ctypes.data for name, array in buffers.items()}
    tickets = memory.guarded(np.zeros(split_k.TICKETS, np.uint32))
    addresses |= {"y": y.ctypes.data, "workspace": workspace.ctypes.data, "tickets": tickets.ctypes.data}
    for launch in launcher.launches(shape, element, tile, **addresses):
        own = edits if launch.source.file == launcher.FILE else ()
        how: Any = {"copies": copies, "schedule": schedule, "architecture": architecture}
        emulator.run([launch], **how, edits=own, planted=planted)
    memory.check_guards(y, workspace, tickets, *buffers.values())
    assert not tickets.any(), f"tickets are left: {case}"
    for name, array in buffers.items():
        assert array.tobytes() == before[name], f"wrote into its input {name}: {case}"
    return restore(y, element), expected(case, arrays)


def check_conv(launcher: ModuleType, case: Case, tile: Any, **how: Any) -> None:
    """Run it and compare: integers bit for bit, other numbers within the bound that rounding allows."""
    y, right = run_conv(launcher, case, tile, **how)
    if case.exact:
        assert_exact(y, right, case.element)
    else:
        assert_close(y, right, case.element)


def check_all(launcher: ModuleType, cases: Iterable[Case], tile_of: Callable[[Case], Any]) -> None:
    """`check_conv` of all cases; the error lists every case that fails. A crash ends them all."""
    failed = []
    for case in cases:
        try:
            check_conv(launcher, case, tile_of(case))
        except (AssertionError, emulator.EmulatorError) as error:
            failed.append(f"{case}: {error}")
    assert not failed, "\n".join(failed)


def check_every_way(launcher: ModuleType, case: Case, tile: Any, edits: emulator.Edits, planted: int) -> None:
    """`check_conv` in all the ways of running that a kernel must not depend on; edits and planted as for a run."""
    for way in emulator.EVERY_WAY:
        check_conv(launcher, case, tile, edits=edits, planted=planted, **way)


def assert_exact(y: np.ndarray, right: Expected, element: Element) -> None:
    """Integers: float32 sums have no error, and the result is the true one rounded once to what y can hold."""
    rounded = restore(_plain(right.values, element), element)
    wrong = ~((y == rounded) | (np.isnan(y) & np.isnan(rounded)))
    assert not wrong.any(), _where(y, rounded, wrong)


def assert_close(y: np.ndarray, right: Expected, element: Element) -> None:
    """Each output within the bound of its own float32 sum, plus half a step of rounding that sum to y's storage once.

    All of them together are far better than the worst that rounding can do: errors of both signs cancel, which leaves
    1e-6 of the norm for float32 sums of up to some thousand products, and less than half a step for the storage.
    """
    step = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(element.name, 2.0**-24)  # half a unit in the last place
    subnormal = 2.0**-25 if element.name == "float16" else 0.0
    allowed = right.slack * (1 + step) + np.abs(right.values) * step + subnormal
    error = np.abs(y.astype(np.float64) - right.values)
    wrong = ~((error <= allowed) | (np.isnan(y) & np.isnan(right.values)))
    assert not wrong.any(), _where(y, right.values, wrong)
    finite = np.isfinite(right.values)
    norm, off = np.linalg.norm(right.values[finite]), np.linalg.norm(error[finite])
    coarse = step if element.item_bytes == 2 else 0.0
    assert off <= (coarse + 1e-6) * norm, f"relative L2 error {off / norm:.3g}, allowed {coarse + 1e-6:.3g}"


def _plain(values: np.ndarray, element: Element) -> np.ndarray:
    """As y and the residual are stored: a tf32 network keeps them as whole float32 numbers."""
    return store(values, ELEMENTS["float32"] if element.name == "tf32" else element)


def _where(y: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> str:
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    count = f"{wrong.sum()} of {wrong.size} outputs are wrong"
    return f"{count}, first [n, i, j, o] = {list(first)}: {y[first]}, not {right[first]}"


def likely_best(launcher: str, shape: ConvShape, element: Element, multiprocessors: int = 132) -> Any:
    """The tile of this launcher that a Hopper GPU without measured tables would take."""
    gpu = Processor("GPU", 90, multiprocessors)
    return candidates_of(launcher, Layer(shape, shape.in_channels, has_residual=False), element, gpu)[0].tile
