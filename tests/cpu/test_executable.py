"""A call from images to results: batches, callers at the same time, memory, errors, the end."""

import contextlib
import os
import signal
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest

from npresnet import arch, cpu, ops, passes
from npresnet.cpu.compiler import programs
from npresnet.cpu.compiler.programs import KEPT_SHAPES
from npresnet.cpu.compiler.split import GROUP
from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.runtime.blas import guard
from npresnet.cpu.runtime.running import BUFFER
from npresnet.errors import DeviceError, ShapeError
from npresnet.network import INPUT, Network, Node
from tests.support.children import exit_code

SHAPE = (3, 40, 52)
PATIENCE_S = 60


@pytest.fixture(scope="module")
def network() -> Network:
    return arch.build(arch.random_tensors("resnet18", num_classes=10))[0]


@pytest.fixture
def executable(network):
    made = cpu.compile(passes.optimize(network), threads=2)
    yield made
    made.close()


def pictures(count: int, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, *shape), dtype=np.float32)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_any_batch_agrees_with_the_specification(network, executable, count):
    x = pictures(count)
    logits = executable(x)["logits"]
    assert logits.shape == (count, 10)
    assert logits.dtype == np.float32
    if count:
        expected = ops.run(network, x.astype(np.float64))["logits"]
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_results_belong_to_the_caller(executable):
    x = pictures(3)
    first = executable(x)["logits"]
    kept = first.copy()
    second = executable(pictures(3) + 1)["logits"]
    assert np.array_equal(first, kept)
    assert not np.shares_memory(first, second)
    assert first.flags.writeable


@pytest.mark.parametrize(
    "change",
    [
        lambda x: np.asfortranarray(x),
        lambda x: x[:, :, ::-1, ::-1][:, :, ::-1, ::-1],
        lambda x: np.repeat(x, 2, axis=3)[..., ::2],
        lambda x: x.astype(np.float64),
        lambda x: x.astype(">f4"),
        lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, 3)), 3, 1),
    ],
    ids=["fortran", "reversed", "every second column", "float64", "big-endian", "channels last"],
)
def test_strides_and_float_types_do_not_matter(executable, change):
    x = pictures(3)
    given = change(x)
    before = given.copy()
    given.flags.writeable = False
    assert np.array_equal(executable(given)["logits"], executable(x)["logits"])
    assert np.array_equal(given, before)


def test_nan_stays_with_its_image(executable):
    x = pictures(4)
    clean = executable(x)["logits"]
    x[2, 1, 7, 9] = np.nan
    logits = executable(x)["logits"]
    assert np.isnan(logits[2]).all()
    assert np.array_equal(np.delete(logits, 2, axis=0), np.delete(clean, 2, axis=0))
    x[2, 1, 7, 9] = 0
    assert not np.isnan(executable(x)["logits"]).any()  # nothing of it is left in the buffers


def test_callers_at_the_same_time(executable):
    """Eight threads, batches of 1 to 4, two image sizes: every result has the bits of a lone call."""
    work = [pictures(1 + i % 4, SHAPE if i % 3 else (3, 33, 47)) for i in range(8)]
    alone = [executable(x)["logits"] for x in work]
    wrong, done = [], []

    def caller(number: int) -> None:
        for _ in range(10):
            if not np.array_equal(executable(work[number])["logits"], alone[number]):
                wrong.append(number)
        done.append(number)

    threads = [threading.Thread(target=caller, args=(number,), daemon=True) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(done) == list(range(8))
    assert not wrong


def test_steady_state_allocates_results_and_nothing_else(executable):
    """But for NumPy's own buffers of 8,192 elements an operand; one image's activations take 12 MB in all."""
    for count in (1, 4):
        x = pictures(count, (3, 224, 224))
        for _ in range(3):
            executable(x)
        tracemalloc.start()
        executable(x)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 2 * 3 * 8192 * 4 + 20_000  # two threads, three operands


def test_memory_does_not_grow_with_the_batch(network):
    executable = cpu.compile(passes.optimize(network), threads=2)
    for count in range(1, 2 * GROUP + 1):  # groups of any size up to GROUP
        executable(pictures(count))
    tracemalloc.start()
    executable(pictures(1)[np.zeros(300, int)])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    inputs_bytes = 4 * 300 * int(np.prod(SHAPE))
    assert peak_bytes < inputs_bytes + 250_000


def test_plans_for_a_crowd_of_callers_do_not_stay(executable):
    """Forty callers at once have plans each; what is kept for later suffices for as many as there are CPUs."""
    x, crowd = pictures(4), 40
    expected = executable(x)["logits"]
    executable(x[:1])
    (shelf,) = executable._programs._shelves.values()
    for compiled in shelf.programs.values():
        for pool in (compiled.plans, compiled.jobs):
            for item in [pool.take() for _ in range(crowd)]:
                pool.give(item)
        assert 2 <= len(compiled.plans._idle) <= 2 * max(2, cpu.usable_cpus())
        assert len(compiled.jobs._idle) == 1
    assert np.array_equal(executable(x)["logits"], expected)


def test_an_image_beyond_all_memory_is_refused_by_its_size(executable):
    """No pixel of it exists: all are the same number. At once, before anything is made for each of its rows."""
    one = np.zeros(1, np.float32)
    for side in (2**22, 2**28):
        x = np.lib.stride_tricks.as_strided(one, (1, 3, side, side), (0, 0, 0, 0))
        with pytest.raises(DeviceError, match=rf"\(3, {side}, {side}\).* MB"):
            executable(x)


def test_an_image_without_memory_left_ends_in_a_device_error(executable, monkeypatch):
    def no_memory(*_):
        raise MemoryError

    x = pictures(1)
    expected = executable(x)["logits"]
    executable._programs._shelves.clear()
    with monkeypatch.context() as patched:
        patched.setattr("npresnet.cpu.runtime.memory.aligned_floats", no_memory)
        with pytest.raises(DeviceError, match=r"\(3, 40, 52\)"):
            executable(x)
    assert np.array_equal(executable(x)["logits"], expected)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.filterwarnings("error")
def test_the_callers_floating_point_settings_decide_nothing(executable, count):
    """Infinity minus infinity is NaN without a word, in the caller's worker as in the others."""
    x = pictures(count).astype(np.float64)
    expected = executable(x)["logits"]
    x[0, :, 3, 5] = np.inf, -np.inf, 1e300
    for settings in ("warn", "raise"):
        with np.errstate(all=settings):
            logits = executable(x)["logits"]
        assert np.isnan(logits[0]).all()
        assert np.array_equal(logits[1:], expected[1:])


@pytest.mark.parametrize("count", [1, 4])
def test_the_callers_numpy_settings_come_back(executable, count, monkeypatch):
    """Also after an error inside a call."""
    before = np.getbufsize(), np.geterr()
    for failing in (False, True):
        seen = []

        def maximum(a, b, out, failing=failing, seen=seen):
            seen.append((np.getbufsize(), np.geterr()["over"]))
            if failing:
                raise ZeroDivisionError
            np.maximum(a, b, out=out)

        monkeypatch.setattr(kernels, "maximum", maximum)
        fresh = cpu.compile(executable.network, threads=2)  # plans hold the kernels that they were made with
        with pytest.raises(ZeroDivisionError) if failing else contextlib.nullcontext():
            fresh(pictures(count))
        assert set(seen) == {(BUFFER, "ignore")}
        assert (np.getbufsize(), np.geterr()) == before
        fresh.close()


def test_only_the_last_few_image_sizes_are_kept(executable):
    for size in range(32, 64):
        executable(pictures(1, (3, size, size)))
    assert list(executable._programs._shelves) == [(3, size, size) for size in range(64 - KEPT_SHAPES, 64)]


def test_four_image_sizes_in_turn_are_compiled_once(network, monkeypatch):
    """With batches of every kind: what is kept is counted in image sizes, not in programs."""
    compiled = []
    compile_program = programs.compile_program
    monkeypatch.setattr(programs, "compile_program", lambda *args: compiled.append(args) or compile_program(*args))
    executable = cpu.compile(passes.optimize(network), threads=2)

    def run_all() -> int:
        for size in range(40, 40 + KEPT_SHAPES):
            for count in (1, 2, 3, 4, 6, 8):
                executable(pictures(count, (3, size, size)))
        return len(compiled)

    assert run_all() == run_all() > 4 * KEPT_SHAPES


def test_a_running_call_completes_after_close_and_keeps_nothing(network, monkeypatch):
    executable = cpu.compile(passes.optimize(network), threads=2)
    expected = executable(pictures(5))["logits"]
    executable._programs._shelves.clear()
    hold = guard.hold
    monkeypatch.setattr(guard, "hold", lambda call: (hold(call), executable.close()))
    assert np.array_equal(executable(pictures(5))["logits"], expected)
    assert not executable._programs._shelves
    with pytest.raises(DeviceError, match="closed"):
        executable(pictures(1))


@pytest.mark.parametrize("count", [1, 5])
def test_no_memory_inside_a_tile_is_a_device_error(network, monkeypatch, count):
    def no_memory(*_):
        raise MemoryError

    executable = cpu.compile(passes.optimize(network), threads=2)
    expected = executable(pictures(count))["logits"]
    executable._programs._shelves.clear()
    with monkeypatch.context() as patched:
        patched.setattr(kernels, "maximum", no_memory)
        with pytest.raises(DeviceError, match=rf"{count} images of \(3, 40, 52\)"):
            executable(pictures(count))
        executable._programs._shelves.clear()
    assert np.array_equal(executable(pictures(count))["logits"], expected)


def test_results_beyond_all_memory_are_refused(executable):
    x = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (10**14, *SHAPE), (0, 0, 0, 0))
    with pytest.raises(DeviceError, match="100000000000000 images"):
        executable(x)


def test_steps_of_no_image_are_refused(executable):
    for ask in (lambda: executable.steps(SHAPE, 0), lambda: executable.stopwatch(pictures(0))):
        with pytest.raises(ShapeError, match="at least one image"):
            ask()


@pytest.mark.parametrize("count", [1, 4])
def test_an_error_inside_a_tile_is_raised_and_the_next_call_is_right(executable, count, monkeypatch):
    x = pictures(count)
    expected = executable(x)["logits"]
    plan_kernels = {"calls": 0}
    true_maximum = kernels.maximum

    def failing(*arrays):
        plan_kernels["calls"] += 1
        if plan_kernels["calls"] == 7:
            raise FloatingPointError("planted")
        true_maximum(*arrays)

    executable._programs._shelves.clear()
    monkeypatch.setattr(kernels, "maximum", failing)
    with pytest.raises(FloatingPointError, match="planted"):
        executable(x)
    monkeypatch.undo()
    assert np.array_equal(executable(x)["logits"], expected)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one thread")
@pytest.mark.parametrize("count", [1, 200])
def test_ctrl_c_during_a_call(executable, count):
    x = pictures(1)[np.zeros(count, int)]
    expected = executable(x[:1])["logits"]
    interrupted = 0
    for delay_s in (0.0005, 0.001, 0.002, 0.004):
        timer = threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                executable(x)
        except KeyboardInterrupt:
            interrupted += 1
        assert np.array_equal(executable(x[:1])["logits"], expected)
    assert interrupted == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_computes_too(executable):
    x = pictures(3)
    expected = executable(x)["logits"]
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(executable(x)["logits"], expected) else 1)
    assert exit_code(child) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_children_forked_in_the_middle_of_other_threads_calls_compute_too(network):
    """Whatever locks of ours those threads hold at that moment, of BLAS, plans and weights, stay theirs."""
    x = pictures(1)
    small = cpu.compile(passes.optimize(network), threads=2)
    expected = small(x)["logits"]
    stopped = threading.Event()

    def compute() -> None:
        while not stopped.is_set():
            small(x[:, :, :8, :8])

    callers = [threading.Thread(target=compute, daemon=True) for _ in range(2)]
    for caller in callers:
        caller.start()
    codes: list[int | None] = []
    try:
        while len(codes) < 10 and None not in codes:
            fresh = cpu.compile(passes.optimize(network), threads=2)  # whose weights another thread prepacks just now
            first = threading.Thread(target=fresh, args=(x,), daemon=True)
            first.start()
            time.sleep(0.008 * len(codes))
            child = os.fork()
            if child == 0:
                try:
                    found = [model(x)["logits"] for model in (small, fresh)]
                    os._exit(0 if all(np.array_equal(logits, expected) for logits in found) else 1)
                finally:
                    os._exit(2)  # an error here shall not go on with the parent's tests
            codes.append(exit_code(child))
            first.join()
    finally:
        stopped.set()
    assert codes == [0] * 10


def test_closed(network):
    executable = cpu.compile(passes.optimize(network), threads=2)
    executable(pictures(1))
    executable.close()
    executable.close()
    with pytest.raises(DeviceError, match="closed"):
        executable(pictures(1))


def test_shapes_that_do_not_fit(executable):
    with pytest.raises(ShapeError, match=r"\(3, 40, 52\)"):
        executable(pictures(1)[0])
    with pytest.raises(ShapeError, match="3 input channels, got 1"):
        executable(pictures(1, (1, 40, 40)))


def test_several_outputs_and_a_value_read_late():
    """The input itself, a value in the middle and the end, each asked for by name."""
    network = Network(
        (
            Node("a", "relu", (INPUT,)),
            Node("b", "add", ("a", INPUT)),
            Node("c", "add", ("b", "a"), activation="relu"),
        ),
        {"middle": "a", "same": "a", "end": "c", "image": INPUT},
    )
    x = pictures(3, (2, 5, 7))
    got = cpu.compile(network, threads=2)(x)
    assert list(got) == ["middle", "same", "end", "image"]
    for asked, expected in ops.run(network, x).items():
        assert np.array_equal(got[asked], expected)
