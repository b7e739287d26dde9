"""A call from images to results: batches, concurrent callers, memory, settings of NumPy."""

import contextlib
import threading
import tracemalloc

import numpy as np
import pytest

from npresnet import cpu, ops, passes
from npresnet.cpu.compiler import programs
from npresnet.cpu.compiler.programs import KEPT_SHAPES
from npresnet.cpu.compiler.split import GROUP
from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.runtime.running import BUFFER
from npresnet.network import INPUT, Network, Node
from tests.support.pictures import SHAPE, pictures

PATIENCE_S = 60


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
    assert not np.isnan(executable(x)["logits"]).any()  # the buffers keep nothing of it


def test_callers_at_the_same_time(executable):
    """Eight threads, batches of 1 to 4, two image sizes: every result has the bits of a single call."""
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
    """Except NumPy's own buffers of 8,192 elements an operand; one image's activations take 12 MB in total."""
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
    """Forty concurrent callers have a plan each; as many are kept as there can be callers on the CPUs."""
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


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.filterwarnings("error")
def test_the_callers_floating_point_settings_decide_nothing(executable, count):
    """Infinity minus infinity is NaN without a warning, in the caller's worker and in the others."""
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
        fresh = cpu.compile(executable.network, threads=2)  # plans refer to the kernels that they were compiled with
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


def test_several_outputs_and_a_value_read_late():
    """The input itself, a value in the middle and the last one as outputs."""
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
