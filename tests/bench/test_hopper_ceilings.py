"""The ceilings' kernels compute what they should, in every order; what is planted in them is found."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import cuda
from npresnet.bench import hopper_ceilings as ceilings
from npresnet.bench.gpu_timer import GpuTimer
from npresnet.cuda.geometry import ConvShape
from npresnet.window import Window
from tests.cuda import faults
from tests.emulator import emulator
from tests.emulator.cupy_stand_in import CupyStandIn
from tests.emulator.memory import check_guards, guarded, poisoned

pytestmark = emulator.needed
EVERY_WAY = [{}, *emulator.EVERY_WAY[2:]]


def copied(kind: str, channels: int, passes: int, blocks: int, tiles: int = 1, **how) -> tuple[np.ndarray, np.ndarray]:
    """(sums of each block, what they should be)"""
    rng = np.random.default_rng(0)
    shape = ceilings.copied_shape(ceilings.WINDOWS[kind], blocks * tiles, channels)
    x = guarded(rng.integers(0, 1 << 16, shape[:4]).astype(np.uint16))
    y = poisoned((blocks, ceilings.COPY_THREADS), np.uint32)
    launch = ceilings.copies(shape, passes, blocks, x=x.ctypes.data, y=y.ctypes.data)
    assert launch.kernel == f"copies_{kind}"
    emulator.run([launch], **how)
    check_guards(x, y)
    return y.sum(axis=1, dtype=np.uint32), ceilings.last_sums(x, shape.window, passes, blocks)


@pytest.mark.parametrize("way", EVERY_WAY, ids=str)
@pytest.mark.parametrize(
    ("kind", "channels", "passes", "blocks", "tiles"),
    [("tile", 64, 3, 3, 2), ("tile", 128, 5, 2, 2), ("im2col", 64, 2, 2, 1), ("im2col", 128, 1, 1, 2)],
)
def test_the_last_boxes_are_those_that_were_asked_for(way, kind, channels, passes, blocks, tiles):
    found, expected = copied(kind, channels, passes, blocks, tiles, **way)
    np.testing.assert_array_equal(found, expected)


def test_a_pass_brings_every_box_once():
    """Where the stages hold all of it, the sums are those of x."""
    x = np.random.default_rng(1).integers(0, 1 << 16, (6, 16, 8, 128)).astype(np.uint16)
    assert ceilings.last_sums(x, Window.of(1), 1, 3).sum(dtype=np.uint32) == x.view(np.uint32).sum(dtype=np.uint32)
    found, _ = copied("tile", 128, 1, 3, 2)
    again, _ = copied("tile", 128, 2, 3, 2)  # all boxes twice: each block has also what was another's
    assert again.sum(dtype=np.uint32) == np.uint32(2) * found.sum(dtype=np.uint32)
    assert (again != 2 * found).any()


def test_a_share_that_is_not_equal_is_refused():
    with pytest.raises(ValueError, match="equal share"):
        ceilings.copies(ConvShape(3, 16, 8, 64, 64, Window.of(1)), 1, 2, x=0, y=0)


COPY_FAULTS = {
    "a stage is filled while it is": (
        "else barrier_wait(full(stage), round);",
        "else if (!PLANTED) barrier_wait(full(stage), round);",
    ),
    "the other parity": ("unsigned round = 1; ", "unsigned round = PLANTED ? 0 : 1; "),
    "sums before the last round": (
        "__syncthreads();  // from here on",
        "if (!PLANTED) __syncthreads();  // from here on",
    ),
    "a tap is another": ("s * conv.dilation_w, r *", "(PLANTED ? r : s) * conv.dilation_w, r *"),
    "a slab is left out": ("for (int c = 0; c < conv.C", "for (int c = PLANTED ? SLAB : 0; c < conv.C"),
    "too few bytes": (
        "barrier_expect(full(stage), BOX_BYTES)",
        "barrier_expect(full(stage), PLANTED ? 64 : BOX_BYTES)",
    ),
    "barriers are not fenced": ("    barrier_init_fence();", "    if (!PLANTED) barrier_init_fence();"),
}


@pytest.mark.parametrize("fault", COPY_FAULTS)
def test_a_fault_of_the_copies_is_caught(fault):
    edits, number = faults.edits_of(COPY_FAULTS), faults.number(COPY_FAULTS, fault)
    np.testing.assert_array_equal(*copied("im2col", 128, 1, 1, edits=edits))
    with faults.caught():
        for way in emulator.EVERY_WAY[:4]:
            np.testing.assert_array_equal(*copied("im2col", 128, 1, 1, edits=edits, planted=number, **way))


def multiplied(columns: int, steps: int, with_copies: bool, **how) -> tuple[np.ndarray, np.ndarray]:
    """(sums of two blocks, what they should be)"""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-7, 8, (rows, 64)).astype(np.float16) for rows in (ceilings.PRODUCT_ROWS, columns))
    arrays = {"a": guarded(a), "b": guarded(b), "other": np.full((ceilings.OTHER_ROWS, 64), 0x3C00, np.uint16)}
    y = poisoned((2, ceilings.PRODUCT_ROWS, columns), np.float32)
    addresses = {name: array.ctypes.data for name, array in {**arrays, "y": y}.items()}
    emulator.run([ceilings.products(columns, steps, 2, with_copies=with_copies, **addresses)], **how)
    check_guards(y)
    return y, np.broadcast_to(steps * (a.astype(np.float32) @ b.astype(np.float32).T), y.shape)


@pytest.mark.parametrize("way", EVERY_WAY, ids=str)
@pytest.mark.parametrize("with_copies", [False, True])
@pytest.mark.parametrize("columns", ceilings.COLUMNS)
def test_products_are_exact(way, columns, with_copies):
    steps = 15 if columns == 64 and with_copies else 3  # the ring goes round twice
    np.testing.assert_array_equal(*multiplied(columns, steps, with_copies, **way))


PRODUCT_FAULTS = {
    "the sums are not fenced": ("    wgmma_fence();\n    multiply", "    if (!PLANTED) wgmma_fence();\n    multiply"),
    "the last products are not waited for": ("  wgmma_wait<0>();", "  if (!PLANTED) wgmma_wait<0>();"),
    "no stage is given back": ("if (COPIES && step > 0)", "if (COPIES && step > 0 && !PLANTED)"),
    "both warpgroups take the first rows": ("at.a + consumer * WGMMA", "at.a + (PLANTED ? 0 : consumer) * WGMMA"),
    "operands are not waited for": ("  barrier_wait(at.loaded(), 0);", "  if (!PLANTED) barrier_wait(at.loaded(), 0);"),
    "a copy lands in b": ("return b() + N * SLAB_BYTES + stage", "return b() + (PLANTED ? 0 : N) * SLAB_BYTES + stage"),
    "the producer runs ahead": ("barrier_wait(at.empty", "if (!PLANTED) barrier_wait(at.empty"),
    "the consumer runs ahead": ("if (COPIES) barrier_wait", "if (COPIES && !PLANTED) barrier_wait"),
    "rows are exchanged": ("first[i / 2 % 2 * 8", "first[(i / 2 + (PLANTED ? 1 : 0)) % 2 * 8"),
}


@pytest.mark.parametrize("fault", PRODUCT_FAULTS)
def test_a_fault_of_the_products_is_caught(fault):
    edits, number = faults.edits_of(PRODUCT_FAULTS), faults.number(PRODUCT_FAULTS, fault)
    np.testing.assert_array_equal(*multiplied(64, 15, True, edits=edits))
    with faults.caught():
        for way in emulator.EVERY_WAY[:4]:
            np.testing.assert_array_equal(*multiplied(64, 15, True, edits=edits, planted=number, **way))


@pytest.mark.parametrize("pdl", [False, True])
def test_a_chain_of_nodes_counts_itself(pdl):
    counter = guarded(np.zeros(1, np.uint32))
    emulator.run([ceilings.node(counter.ctypes.data, pdl=pdl)] * 5)
    check_guards(counter)
    assert counter[0] == 5


def test_a_launch_that_overlaps_and_does_not_wait_is_found():
    counter, edits = np.zeros(1, np.uint32), (("  wait_for_launch_ahead();\n", ""),)
    launch = ceilings.node(counter.ctypes.data, pdl=True)
    with pytest.raises(emulator.EmulatorError, match=r"node: block .* no thread has executed wait_for_launch_ahead"):
        emulator.run([launch], edits=edits)
    emulator.run([launch._replace(pdl=False)], edits=edits)


@pytest.fixture
def timer(monkeypatch, tmp_path):
    stand_in = CupyStandIn()
    stand_in.install(monkeypatch, tmp_path)
    gpu = cuda.open_gpu("cuda")
    yield GpuTimer(gpu, gpu.stream(), emulated=True)
    stand_in.check()
    stand_in.forget()


MEASURES = {
    "copies": (lambda timer: ceilings.time_copies(timer, 1), {"tile", "im2col"}),
    "products": (
        lambda timer: ceilings.time_products(timer, 1),
        {f"N = {n}{more}" for n in (64, 128, 256) for more in ("", " and copies")},
    ),
    "node": (ceilings.time_nodes, {"plain", "pdl"}),
}


@pytest.mark.parametrize("kernel", MEASURES)
def test_what_was_measured_was_right_else_it_is_a_problem(timer, monkeypatch, kernel):
    measure, names = MEASURES[kernel]
    found = measure(timer)
    assert set(found["times"]) == names
    assert "problem" not in found
    assert found["rates"] == {}, "nothing is timed on the emulator"

    make = getattr(ceilings, kernel)

    def empty(*arguments, **named):  # a launch that does nothing of its work
        launch = make(*arguments, **named)
        return launch._replace(args=(*launch.args[:-1], np.int32(0))) if len(launch.args) > 1 else launch

    if kernel == "node":
        monkeypatch.setattr(ceilings, "EMULATED_NODES", 3)
        monkeypatch.setattr(timer.gpu, "fill", lambda *_: None)  # what earlier runs have counted is still there
    monkeypatch.setattr(ceilings, kernel, empty)
    assert measure(timer)["problem"].startswith(min(names, key=list(found["times"]).index))


def test_rates_are_work_over_time(timer, monkeypatch):
    monkeypatch.setattr(GpuTimer, "race", lambda self, racers: {racer.name: {"ms": 2.0} for racer in racers})
    found = ceilings.time_products(timer, 2)
    steps = ceilings.EMULATED_STEPS
    assert found["flops"]["N = 64"] == found["flops"]["N = 256 and copies"] == 2 * 2 * 128 * 64 * 64 * steps
    assert found["rates"]["N = 64"] == pytest.approx(found["flops"]["N = 64"] / 2e-3 / 1e12, rel=1e-3)
    read = 2 * steps * (128 + 2 * 64) * 128
    assert found["shared_tbs"]["N = 64"] == pytest.approx(read / 2e-3 / 1e12, rel=1e-3)
    written = 2 * steps * 64 * 128
    assert found["shared_tbs"]["N = 64 and copies"] == pytest.approx((read + written) / 2e-3 / 1e12, rel=1e-3)
