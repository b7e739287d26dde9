"""The convolutions that show the way, run by the emulator: direct, im2col + gemm, tiled; and the end of a split K."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import conv2d_direct, conv2d_im2col, conv2d_tiled, split_k
from npresnet.window import Window
from tests.cuda import faults
from tests.cuda.conv_cases import WINDOWS, Case, assert_close, cases, check_conv, check_every_way, run_conv, shapes
from tests.emulator import emulator

pytestmark = [emulator.needed, pytest.mark.in_a_child]

DIRECT, IM2COL = (conv2d_direct, conv2d_direct.Tile()), (conv2d_im2col, conv2d_im2col.Tile())
TILED_16, TILED_32 = (conv2d_tiled, conv2d_tiled.Tile(16)), (conv2d_tiled, conv2d_tiled.Tile(32))
KERNELS = {f"{launcher.FILE} {tile}": (launcher, tile) for launcher, tile in (DIRECT, IM2COL, TILED_16, TILED_32)}
# Not square, so that exchanged axes cannot go unnoticed; two images, a ragged number of positions and channels.
LAYER = ConvShape(2, 9, 8, 12, 20, Window.of((5, 3), 1, (1, 1), (2, 1)))


@pytest.mark.parametrize("exact", [True, False], ids=["integers", "floats"])
def test_direct_computes_every_window_and_ragged_channel_count(exact):
    for case in cases(shapes(), ELEMENTS, exact=exact):
        check_conv(conv2d_direct, case, conv2d_direct.Tile())


@pytest.mark.parametrize("exact", [True, False], ids=["integers", "floats"])
def test_im2col_and_gemm_compute_every_window_and_ragged_channel_count(exact):
    for case in list(cases(shapes(), ["float32", "bfloat16"], exact=exact))[exact::2]:
        check_conv(conv2d_im2col, case, conv2d_im2col.Tile())


@pytest.mark.parametrize("exact", [True, False], ids=["integers", "floats"])
@pytest.mark.parametrize("size", [16, 32])
def test_tiled_computes_every_window_and_ragged_channel_count(size, exact):
    for case in list(cases(shapes(), ["float32", "float16"], exact=exact))[exact::2]:
        check_conv(conv2d_tiled, case, conv2d_tiled.Tile(size))


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_schedule_changes_anything(kernel):
    for way in emulator.EVERY_WAY:
        check_conv(KERNELS[kernel][0], Case(LAYER, residual=True, exact=True), KERNELS[kernel][1], **way)


@pytest.mark.parametrize("kernel", KERNELS)
def test_nan_stays_in_its_image(kernel):
    launcher, tile = KERNELS[kernel]
    for relu in (False, True):
        case = Case(LAYER._replace(activation=relu), nan_image=1)
        y, right = run_conv(launcher, case, tile)
        assert_close(y, right, case.element)
        assert not np.isnan(y[0]).any()
        assert np.isnan(y[1]).any()


@pytest.mark.parametrize("kernel", KERNELS)
def test_residual_may_be_the_memory_of_y(kernel):
    launcher, tile = KERNELS[kernel]
    shape, element = ConvShape(1, 6, 6, 8, 12, Window.of(3, 1, 1)), ELEMENTS["float32"]
    rng = np.random.default_rng(2)
    x, residual = (rng.standard_normal(size).astype(np.float32) for size in ((1, 6, 6, 8), (1, 6, 6, 12)))
    packed, bias = launcher.pack(rng.standard_normal((12, 8, 3, 3)), element), np.zeros(12, np.float32)
    space = np.empty(launcher.workspace_bytes(shape, element, tile), np.uint8)
    tickets = np.zeros(split_k.TICKETS, np.uint32)
    arrays = {"x": x, "weight": packed, "bias": bias, "workspace": space, "tickets": tickets}
    addresses = {name: array.ctypes.data for name, array in arrays.items()}
    apart, y = np.empty_like(residual), residual.copy()
    emulator.run(launcher.launches(shape, element, tile, **addresses, residual=y.ctypes.data, y=apart.ctypes.data))
    emulator.run(launcher.launches(shape, element, tile, **addresses, residual=y.ctypes.data, y=y.ctypes.data))
    np.testing.assert_array_equal(y, apart)


FAULTS = {
    TILED_16: {
        "no barrier before the slice is read": (
            "__syncthreads();  // the slice is complete", "if (!PLANTED) __syncthreads();"),
        "no barrier before the slice is replaced": (
            "__syncthreads();  // everybody has read it", "if (!PLANTED) __syncthreads();"),
        "window row and column exchanged": (
            "r = tap / conv.KW, s = tap % conv.KW",
            "r = PLANTED ? tap % conv.KW : tap / conv.KW, s = PLANTED ? tap / conv.KW : tap % conv.KW"),
        "padding ignored": (
            "i * conv.stride_h - conv.padding_h", "i * conv.stride_h - (PLANTED ? 0 : conv.padding_h)"),
        "filters beyond the last are stored": (
            "if (m >= M || filter >= group_filters)", "if (m >= M || (filter >= group_filters && !PLANTED))"),
    },
    DIRECT: {
        "window row and column exchanged": (
            "(((size_t)o * conv.KH + r) * conv.KW + s)",
            "(PLANTED ? ((size_t)o * conv.KW + s) * conv.KH + r : ((size_t)o * conv.KH + r) * conv.KW + s)"),
        "the residual is forgotten": ("if (residual) value +=", "if (residual && !PLANTED) value +="),
    },
}  # fmt: skip


@pytest.mark.parametrize(("kernel", "fault"), [(kernel, fault) for kernel in FAULTS for fault in FAULTS[kernel]])
def test_planted_faults_are_caught(kernel, fault):
    with faults.caught():
        check_kernel(kernel, faults.number(FAULTS[kernel], fault))


@pytest.mark.parametrize("kernel", FAULTS)
def test_without_a_fault_nothing_is_caught(kernel):
    check_kernel(kernel, planted=0)


def check_kernel(kernel, planted):
    launcher, tile = kernel
    case = Case(LAYER, residual=kernel is DIRECT, exact=True)
    check_every_way(launcher, case, tile, faults.edits_of(FAULTS[kernel]), planted)


def test_everything_is_supported_everywhere():
    for shape in shapes():
        for element in ELEMENTS.values():
            for launcher in (conv2d_direct, conv2d_im2col, conv2d_tiled):
                assert launcher.supports(shape, element, 75)
                assert launcher.tiles(shape, element, 75)


def test_a_pointwise_layer_needs_no_matrix():
    shape, element, tile = ConvShape(1, 8, 8, 32, 16, Window.of(1)), ELEMENTS["float16"], conv2d_im2col.Tile()
    addresses = dict.fromkeys(("x", "weight", "bias", "residual", "y", "workspace", "tickets"), 0)
    assert conv2d_im2col.workspace_bytes(shape, element, tile) == 0
    assert len(conv2d_im2col.launches(shape, element, tile, **addresses)) == 1
    strided = shape._replace(window=Window.of(1, 2))
    assert conv2d_im2col.workspace_bytes(strided, element, tile) == 4 * 4 * 32 * 2
    assert len(conv2d_im2col.launches(strided, element, tile, **addresses)) == 2


def test_the_cases_hold_what_windows_can_be():
    for name in ("kernel_size", "stride", "padding", "dilation"):
        values = {getattr(window, name) for _, window in WINDOWS}
        assert len(values) >= 4, name
        assert any(height != width for height, width in values), name
