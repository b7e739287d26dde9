from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from npresnet.errors import NpresnetError
from npresnet.teach.access_pictures import draw
from npresnet.teach.simt import KernelError, launch


def reverse(cuda, x, y):
    S = cuda.shared("S", 32)
    i = cuda.threadIdx.x
    S[i] = x[i]
    yield
    y[i] = S[31 - i]


def reverse_without_barrier(cuda, x, y):
    S = cuda.shared("S", 32)
    i = cuda.threadIdx.x
    S[i] = x[i]
    y[i] = S[31 - i]


def rotate_without_barrier(cuda, x, y):
    S = cuda.shared("S", 32)
    i = cuda.threadIdx.x
    S[i] = x[i]
    y[i] = S[(i + 1) % 32]


def copy_every(step):
    def copy(cuda, x, y):
        i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
        if i * step < len(x):
            y[i] = x[i * step]

    return copy


def matmul(cuda, a, b, c):
    """Tiles of 8x8 through shared memory, two barriers a tile."""
    A, B = cuda.shared("A", (8, 8)), cuda.shared("B", (8, 8))
    row, column = cuda.threadIdx.y, cuda.threadIdx.x
    i, j = cuda.blockIdx.y * 8 + row, cuda.blockIdx.x * 8 + column
    total = 0.0
    for k in range(0, a.shape[1], 8):
        A[row, column] = a[i, k + column]
        B[row, column] = b[k + row, j]
        yield
        for t in range(8):
            total += A[row, t] * B[t, column]
        yield
    c[i, j] = total


def ramp(n: int = 32) -> np.ndarray:
    return np.arange(n, dtype=np.float32)


def test_a_barrier_lets_threads_trade_what_they_wrote():
    x, y = ramp(), np.zeros(32, np.float32)
    launch(reverse, x, y)
    assert (y == x[::-1]).all()


def test_a_matrix_product_over_blocks_is_exact():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-9, 9, (16, 24)).astype(np.float32) for _ in range(2))
    c = np.zeros((16, 16), np.float32)
    launch(matmul, a, b.T.copy(), c, grid=(2, 2), block=(8, 8))
    assert (c == a @ b.T).all()


@pytest.mark.parametrize("kernel", [reverse_without_barrier, rotate_without_barrier])
def test_a_missing_barrier_names_both_threads_and_the_cell(kernel):
    with pytest.raises(
        KernelError, match=r"^thread 31 reads S\[0\], which thread 0 wrote since the last barrier\. .*`yield`.*missing"
    ):
        launch(kernel, ramp(), np.zeros(32, np.float32))


def test_a_hazard_is_told_before_the_error_that_it_leads_to():
    def kernel(cuda, x):
        S = cuda.shared("S", 32, int)
        i = cuda.threadIdx.x
        S[i] = 31 - i
        x[S[31 - i] - 20] = 1  # an index made of what is not there yet

    with pytest.raises(KernelError, match=r"nobody has written yet\. Shared memory starts as rubbish"):
        launch(kernel, ramp())


@pytest.mark.parametrize("missing", [0, 1])
def test_either_barrier_of_a_tiled_product_is_needed(missing):
    source = matmul

    def faulty(cuda, a, b, c):
        for number, _ in enumerate(source(cuda, a, b, c)):
            if number % 2 != missing:
                yield

    with pytest.raises(KernelError, match="since the last barrier"):
        launch(
            faulty,
            np.ones((8, 16), np.float32),
            np.ones((16, 8), np.float32),
            np.zeros((8, 8), np.float32),
            block=(8, 8),
        )


def test_blocks_may_not_trade_at_all():
    def shift(cuda, x):
        i = cuda.blockIdx.x
        x[i + 1] = x[i]

    with pytest.raises(KernelError, match=r"^block 1 reads x\[1\], which block 0 wrote: no barrier separates blocks"):
        launch(shift, ramp(3), grid=2, block=1)


def test_two_threads_may_not_write_one_cell_nor_overwrite_what_another_reads():
    def write(cuda, x):
        x[0] = cuda.threadIdx.x

    with pytest.raises(KernelError, match=r"thread 31 writes x\[0\], which thread 30 wrote"):
        launch(write, ramp())

    def read_then_write(cuda, x):
        i = cuda.threadIdx.x
        value = x[i + 1]
        x[i] = value

    with pytest.raises(KernelError, match=r"thread 31 writes x\[31\], which thread 30 read since"):
        launch(read_then_write, ramp(33))


def test_a_barrier_that_some_threads_skip():
    def some(cuda, x):
        if cuda.threadIdx.x < 16:
            yield
        x[cuda.threadIdx.x] = 1

    with pytest.raises(KernelError, match="thread 0 waits at a barrier that thread 16 never reaches"):
        launch(some, ramp())


@pytest.mark.parametrize(("index", "text"), [(32, "x[32]"), (-1, "x[-1]"), ((0, 0), "x[0, 0]")])
def test_outside_an_array(index, text):
    def kernel(cuda, x):
        x[index] = 1

    with pytest.raises(NpresnetError) as raised:
        launch(kernel, ramp(), block=1)
    assert str(raised.value) == f"thread 0 writes {text}, but x has the shape (32,)"


def test_shared_memory_is_rubbish_until_written():
    def kernel(cuda, x):
        x[0] = cuda.shared("S", 4)[3]

    with pytest.raises(KernelError, match=r"reads S\[3\], which nobody has written"):
        launch(kernel, ramp(), block=1)


def test_a_block_is_not_too_large():
    with pytest.raises(KernelError, match="1 to 1024 threads, not 1025"):
        launch(reverse, ramp(), ramp(), block=1025)


@pytest.mark.parametrize(
    ("step", "item", "sectors"),
    [(1, np.float32, 4), (2, np.float32, 8), (8, np.float32, 32), (1, np.float64, 8), (1, np.float16, 2)],
)
def test_the_sectors_that_a_load_touches(step, item, sectors):
    x, y = np.arange(32 * step).astype(item), np.zeros(32, item)
    run = launch(copy_every(step), x, y)
    load, store = run.warps()
    assert (load.array, load.writes, len(load.sectors)) == ("x", False, sectors)
    assert load.least_sectors == len(store.sectors) == 32 * np.dtype(item).itemsize // 32
    assert run.sectors == sectors + len(store.sectors)


def test_lanes_that_sit_out_and_lanes_that_share():
    def kernel(cuda, x, y):
        i = cuda.threadIdx.x
        if i < 5:
            y[i] = x[0]

    load, store = launch(kernel, ramp(), ramp()).warps()
    assert load.cells == dict.fromkeys(range(5), 0)
    assert (load.least_sectors, store.least_sectors) == (1, 1)


@pytest.mark.parametrize(("pitch", "turns"), [(32, 32), (33, 1), (34, 2), (1, 1)])
def test_bank_conflicts_of_a_column(pitch, turns):
    def kernel(cuda, y):
        S = cuda.shared("S", 32 * 34)
        i = cuda.threadIdx.x
        S[i * pitch] = 1
        yield
        y[i] = S[i * pitch]

    run = launch(kernel, ramp())
    assert [warp.turns for warp in run.warps() if warp.shared] == [turns, turns]
    assert all(line.least == 1 for line in run.lines() if line.shared)


def test_the_same_line_in_a_loop_is_one_load_each_time_round():
    def kernel(cuda, x, y):
        for k in range(3):
            y[cuda.threadIdx.x + 32 * k] = x[k]

    run = launch(kernel, ramp(), ramp(96), block=64 // 2)
    assert [line.warps for line in run.lines()] == [3, 3]
    assert "stores y" in str(run)


@pytest.mark.parametrize("kernel", [copy_every(1), copy_every(40), reverse])
def test_pictures_are_sound_svg_with_a_wire_for_each_lane(kernel):
    x = np.arange(32 * 40, dtype=np.float32)
    for warp in launch(kernel, x, np.zeros(32, np.float32)).warps():
        root = ElementTree.fromstring(draw(warp))
        wires = [element for element in root.iter() if element.get("class") == "wire"]
        assert len(wires) == len(warp.cells) == 32
        filled = [element for element in root.iter() if element.get("class") == "touched"]
        assert len(filled) == (0 if warp.shared else len(warp.sectors))
        assert str(warp.turns if warp.shared else len(warp.sectors)) in root.get("aria-label")


def test_names_are_escaped_in_pictures():
    def kernel(cuda, x):
        cuda.shared("<S&>", 1)[0] = 1

    (warp,) = launch(kernel, ramp(), block=1).warps()
    assert ElementTree.fromstring(draw(warp)).get("aria-label").startswith("line")
