"""The emulator itself: what CUDA allows gives right numbers in every order, what it forbids ends in a message."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.runtime import source
from tests.emulator import build, emulator, memory

pytestmark = [emulator.needed, pytest.mark.in_a_child]

TEXT = source.read("common/hopper.cuh") + '#line 1 "faulty.cu"\n' + (Path(__file__).parent / "faulty.cu").read_text()
COUNT = 64  # threads of a block, unless a test says otherwise
NOTHING, BARRIER, WAIT = np.int32(0), np.int32(1), np.int32(2)  # what faulty.cu's kernels leave out


def launch(kernel, *args, grid=1, block=COUNT, shared_bytes=0):
    return Launch(Source("faulty.cu"), kernel, (grid, 1, 1), (block, 1, 1), args, shared_bytes)


def run(kernel, *arrays, edits=(), **options):
    """Runs one kernel of faulty.cu on arrays; launch's keywords and emulator.run's."""
    geometry = {key: options.pop(key) for key in ("grid", "block", "shared_bytes") if key in options}
    args = [np.uint64(a.ctypes.data) if isinstance(a, np.ndarray) else a for a in arrays]
    emulator.run([launch(kernel, *args, **geometry)], source=TEXT, edits=edits, **options)


def message(*args, **options):
    with pytest.raises(emulator.EmulatorError) as caught:
        run(*args, **options)
    return str(caught.value)


@pytest.fixture
def x():
    return np.arange(COUNT, dtype=np.float32)


@pytest.fixture
def y():
    return memory.poisoned((COUNT,), np.float32)


@pytest.mark.parametrize("way", emulator.EVERY_WAY, ids=lambda way: "-".join(way.values()))
def test_threads_exchange_through_shared_memory(way, x, y):
    for kernel in ("reverse_static", "reverse_dynamic", "reverse_by_copies"):
        y[:] = 0
        run(kernel, x, y, NOTHING, shared_bytes=4 * COUNT, **way)
        np.testing.assert_array_equal(y, x[::-1])


@pytest.mark.parametrize("kernel", ["reverse_static", "reverse_dynamic", "reverse_by_copies"])
def test_a_missing_barrier_shows_in_some_order(kernel, x, y):
    def is_right(way):
        run(kernel, x, y, BARRIER, shared_bytes=4 * COUNT, **way)
        return np.array_equal(y, x[::-1])

    assert not all(is_right(way) for way in emulator.EVERY_WAY)


@pytest.mark.parametrize("kernel", ["reverse_static", "reverse_dynamic"])
def test_a_block_begins_with_poisoned_shared_memory(kernel, x, y):
    """The second block finds nothing of what the first one left."""
    wide = memory.poisoned((2, COUNT), np.float32)
    run(f"leftover_{kernel[8:]}", x, wide, grid=2, shared_bytes=4 * COUNT)
    np.testing.assert_array_equal(wide[0], x)
    assert np.isnan(wide[1]).all()


def test_a_copy_that_is_not_waited_for_shows_lazily(x, y):
    run("reverse_by_copies", x, y, WAIT, shared_bytes=4 * COUNT, copies="lazy")
    assert np.isnan(y).all()
    run("reverse_by_copies", x, y, WAIT, shared_bytes=4 * COUNT, copies="eager")
    np.testing.assert_array_equal(y, x[::-1])


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (0, r"deadlock: 32 threads wait at __syncthreads, 32 threads wait at barrier_wait \(shared address 0\)"),
        (1, "deadlock: 48 threads wait at __syncthreads, 16 threads wait at warp_sync"),
        (2, "are at different operations: some at "),
        (3, "copy_async_16: shared address 8 is not a multiple of 16"),
        (4, "copy_async_16: global address .* is not a multiple of 16"),
        (5, "load_matrix_x4: shared address 2 is not a multiple of 16"),
        (6, "copy_async_16: shared addresses 4096 to 4112 are out of range, the block has 4096 bytes"),
        (7, "the pointer does not point into shared memory"),
        (8, "used while an asynchronous copy to it is in flight"),
        (9, "copy_async_16: shared address 0 is used while an asynchronous copy"),
        (10, "written outside of the block's shared memory"),
        (11, "access outside of the block's shared memory"),
        (12, r"access to memory that belongs to no array.*nil"),
        (13, "a thread's stack overflowed"),
        (14, "more than 1 arrivals in one phase"),
        (15, "there is no barrier at shared address 16"),
        (16, "barrier_wait: shared address 4 is not a multiple of 8"),
        (17, r"faulty\.cu:\d+: index 17 is outside of the array"),
        (18, "division of integers by zero"),
        (19, "__trap"),
        (20, "parity 2"),
        (21, "access outside of the block's shared memory"),
    ],
)
def test_what_cuda_forbids(mode, words, x, y):
    text = message("faults", x, y, np.int32(mode), shared_bytes=4096)
    assert text.startswith("faults: block (0, 0, 0)")
    assert re.search(words, text), text
    run("reverse_static", x, y, NOTHING)  # and the process goes on
    np.testing.assert_array_equal(y, x[::-1])


def test_signals_are_caught_whoever_has_replaced_the_handlers(x, y):
    assert "shared memory" in message("faults", x, y, np.int32(11), shared_bytes=4096)
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL):
        signal.signal(number, signal.SIG_DFL)
    assert "shared memory" in message("faults", x, y, np.int32(11), shared_bytes=4096)


def test_a_fault_names_block_and_thread(x, y):
    text = message("fault_in", x, y, np.int32(5), np.int32(33), grid=9)
    assert text == "fault_in: block (5, 0, 0), thread (33, 0, 0): __trap() was reached"
    assert "block (5, 0, 0), thread (33" in message("fault_in", x, y, np.int32(5), np.int32(33), grid=9, threads=3)


VECTORS = """
extern "C" __global__ void vectors(const float4* x, float4* y) { y[threadIdx.x] = x[threadIdx.x]; }
KERNEL(vectors)
"""


def test_misaligned_vectors_are_found_when_asked_for(x, y):
    call = launch("vectors", np.uint64(x.ctypes.data), np.uint64(y.ctypes.data + 4), block=8)
    with pytest.raises(emulator.EmulatorError, match=r"is not a multiple of 16"):
        emulator.run([call], source=VECTORS, check_alignment=True)


def test_guards_catch_what_is_written_beside_an_array(x):
    y = memory.guarded(np.zeros(COUNT - 1, np.float32))
    run("reverse_static", x, y, NOTHING)
    with pytest.raises(AssertionError, match=r"4 bytes were written beside the array, the first at \+252"):
        memory.check_guards(y)


def test_reading_beside_an_array_gives_nan(x, y):
    run("reverse_static", memory.guarded(x[1:]), y, NOTHING)
    assert np.isnan(y[0])


def test_launches_run_in_order_and_blocks_spread_over_threads(x, y):
    before, a, b = x.copy(), np.uint64(x.ctypes.data), np.uint64(y.ctypes.data)
    there, back = launch("reverse_static", a, b, NOTHING), launch("reverse_static", b, a, NOTHING)
    emulator.run([there, back, there], source=TEXT)
    np.testing.assert_array_equal(y, before[::-1])
    np.testing.assert_array_equal(x, before)
    wide = memory.poisoned((40, COUNT), np.float32)
    run("rows", x, wide, grid=40, threads=3)
    np.testing.assert_array_equal(wide, x + 100 * np.arange(40, dtype=np.float32)[:, None])


def test_random_orders_repeat_and_differ(y):
    def order(seed):
        log = np.zeros(1 + 8 * 4, np.int32)
        run("who_comes_when", log, block=256, schedule=f"random:{seed}")
        return log.tolist()

    assert order(1) == order(1)
    assert order(1) != order(2)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((np.uint64(0),), "the kernel takes 3 arguments, not 1"),
        (
            (np.uint64(0), np.int32(0), np.int32(0)),
            "argument 1 is of NumPy's kind i4, the kernel takes kind u of 8 bytes",
        ),
    ],
)
def test_arguments_are_checked(args, words):
    assert words in message("reverse_static", *args)


def test_geometry_is_checked(x, y):
    assert "1 to 1024 threads" in message("reverse_static", x, y, NOTHING, block=1025)
    assert "at most 227 KiB" in message("reverse_static", x, y, NOTHING, shared_bytes=1 << 18)
    assert "no block" in message("reverse_static", x, y, NOTHING, grid=0)


def test_a_kernel_that_is_not_there_and_text_that_is_no_source(x, y):
    assert "KERNEL(nothing)" in message("nothing", x, y)
    with pytest.raises(emulator.EmulatorError, match="'float gone;' is 0 times in the source"):
        run("reverse_static", x, y, NOTHING, edits=(("float gone;", ""),))
    with pytest.raises(emulator.EmulatorError, match="does not accept"):
        emulator.run([launch("k")], source="no C++")


def test_no_compiler_is_said_plainly(monkeypatch):
    build.headers_and_compiler.cache_clear()
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(emulator.EmulatorError, match="needs the compiler"):
        emulator.run([launch("k")], source="// never built")
    build.headers_and_compiler.cache_clear()


def test_several_may_build_the_same_source_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "folder", lambda: tmp_path)
    text = 'extern "C" __global__ void nothing() {}\nKERNEL(nothing)\n'
    threads = [threading.Thread(target=build.build.__wrapped__, args=(text, (), 90)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted("".join(path.suffixes) for path in tmp_path.iterdir()) == [".machine.so", ".so"]


def test_many_kernels_need_few_of_a_process_s_mappings():
    """A stack and its guard are two mappings; Linux allows a process 65,530. All kernels use the same stacks."""
    before = mappings()
    for i in range(3):
        source = f'extern "C" __global__ void k(int* x) {{ x[threadIdx.x] = {i}; }}\nKERNEL(k)\n'
        y = np.full(1024, -1, np.int32)
        emulator.run([launch("k", np.uint64(y.ctypes.data), block=1024)], source=source)
        assert (y == i).all()
    assert mappings() < before + 1.5 * 2 * 1024


def mappings() -> int:
    return len(Path("/proc/self/maps").read_text().splitlines())
