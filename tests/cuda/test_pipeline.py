"""Batches of pixels that overlap: the right results whatever the order in which a GPU gets to its streams."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import permutations
from time import sleep

import numpy as np
import pytest

from npresnet import cuda
from npresnet.cuda.launch import Launch
from npresnet.cuda.pending import Pending
from npresnet.cuda.runtime.gpu import Call
from npresnet.errors import ShapeError
from npresnet.images import Preprocess
from npresnet.model.prediction import Prediction
from npresnet.network import Network
from tests.cuda.running import compiled, small_network
from tests.cuda.test_pixels import COLOUR, normalisation, normalised
from tests.emulator import emulator
from tests.emulator.cupy_streams import Event, Stream

pytestmark = emulator.needed


def pipeline(network: Network | None = None, dtype: str = "float32", how: Preprocess = COLOUR) -> cuda.Pipeline:
    gpu = cuda.open_gpu("cuda")
    network = small_network() if network is None else network
    return cuda.Pipeline(network, gpu, cuda.ELEMENTS[dtype], cuda.Weights(gpu), normalisation(how))


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


RIGHT: dict[tuple[bytes, str], np.ndarray] = {}  # computed once


def right(pixels: np.ndarray, dtype: str = "float32") -> np.ndarray:
    """Logits of images that the CPU has normalised."""
    key = pixels.tobytes(), dtype
    if key not in RIGHT:
        RIGHT[key] = compiled(small_network(), dtype)(normalised(pixels, COLOUR))["logits"]
    return RIGHT[key]


# --- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_logits_have_the_bits_of_images_normalised_by_the_cpu_and_are_ranked(gpus, dtype):
    gpus()
    pixels = pictures(3)
    values, ranking, times = pipeline(dtype=dtype).submit(list(pixels), top=2).result()
    np.testing.assert_array_equal(values, right(pixels, dtype))
    assert times.preparing > 0
    assert times[1:] == (1.0, 1.0, 1.0)  # every two events of the stand-in are 1 ms apart
    for logits, probabilities, best in zip(values, *ranking, strict=True):
        prediction = Prediction(logits, top_k=2)
        assert list(best) == [candidate.index for candidate in prediction.top]
        np.testing.assert_allclose(probabilities, prediction.probabilities, rtol=1.2e-7)


@pytest.mark.parametrize("kernel", ["softmax_top_k", "linear"])
def test_compiling_each_kernel_belongs_to_preparing(gpus, monkeypatch, kernel):
    gpus()
    run, bind, slow_s = pipeline(), cuda.Gpu.bind, 0.3

    def slow(gpu: cuda.Gpu, launches: list[Launch]) -> list[Call]:
        if any(kernel in launch.kernel for launch in launches):
            sleep(slow_s)
        return bind(gpu, launches)

    monkeypatch.setattr(cuda.Gpu, "bind", slow)
    assert run.submit(pictures(1), top=2).result().times.preparing >= slow_s * 1e3


def test_more_candidates_than_classes_and_none(gpus):
    gpus()
    run = pipeline()
    assert run.submit(pictures(1), top=9).result().ranking[1].shape == (1, 5)
    assert run.submit(pictures(1)).result().ranking is None


def test_results_belong_to_the_caller(gpus):
    gpus()
    run = pipeline()
    first = run.submit(pictures(2), top=1).result()
    kept = first.values.copy(), first.ranking[0].copy()
    for seed in range(3):
        run.submit(pictures(2, seed), top=1).result()
    np.testing.assert_array_equal(first.values, kept[0])
    np.testing.assert_array_equal(first.ranking[0], kept[1])


def test_an_image_that_does_not_fit_is_told_by_its_result(gpus):
    gpus()
    run = pipeline()
    before = run.submit(pictures(1))
    wrong = run.submit(np.zeros((1, 16, 16, 3), np.uint8))
    after = run.submit(pictures(1, seed=1))
    for _ in range(2):
        with pytest.raises(ShapeError, match="fc: expects 32 features"):
            wrong.result()
    np.testing.assert_array_equal(before.result().values, right(pictures(1)))
    np.testing.assert_array_equal(after.result().values, right(pictures(1, seed=1)))


# --- order -----------------------------------------------------------------------------------------------------------

EAGER = [order for length in range(4) for order in permutations(("_upload", "_compute", "_download"), length)]


def check_batches(order: tuple[str, ...], plant: Callable[[cuda.Pipeline], None] = lambda run: None) -> None:
    """Five batches, two on their way, of which the GPU begins with these streams.

    All is prepared before the fault is planted: nothing is freed then, to which a copy could go that comes too late.
    """
    run, batches = pipeline(), [pictures(count, seed) for seed, count in enumerate((1, 2, 3, 3, 3))]
    for batch in reversed(batches):
        run.submit(batch, top=1).result()
    plant(run)
    on_their_way: list[Pending] = []
    for batch in batches:
        on_their_way.append(run.submit(batch, top=1))
        if len(on_their_way) > 1:
            for name in order:
                getattr(run, name).synchronize()
    for batch, pending in zip(batches, on_their_way, strict=True):
        np.testing.assert_array_equal(pending.result().values, right(batch))


def fails(order: tuple[str, ...], plant: Callable[[cuda.Pipeline], None]) -> bool:
    try:
        check_batches(order, plant)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("order", EAGER, ids=lambda order: " ".join(order) or "lazy")
def test_whichever_stream_runs_ahead(gpus, order):
    gpus()
    check_batches(order)


WAITS = ["the station is empty", "the pixels have come", "the results have gone", "the results are there"]


@pytest.mark.parametrize("number", range(len(WAITS)), ids=WAITS)
def test_a_missing_wait_is_noticed(gpus, monkeypatch, number):
    """Each batch puts four waits on its streams: one is left out."""
    gpus()
    wait_event = Stream.wait_event

    def plant(run: cuda.Pipeline) -> None:
        count = iter(range(1 << 30))

        def wait(stream: Stream, event: Event) -> None:
            if next(count) % len(WAITS) != number:
                wait_event(stream, event)

        patch.setattr(Stream, "wait_event", wait)

    for order in EAGER:
        with monkeypatch.context() as patch:
            if fails(order, plant):
                return
    pytest.fail("no order of the streams shows it")


def test_host_memory_that_is_used_again_too_early_is_noticed(gpus, monkeypatch):
    gpus()
    submit = cuda.Pipeline.submit

    def forgetful(run: cuda.Pipeline, *args: object, **how: object) -> Pending:
        run._pending = [run._new_pending(), run._new_pending()]  # nobody is waited for
        return submit(run, *args, **how)

    assert fails((), lambda run: monkeypatch.setattr(cuda.Pipeline, "submit", forgetful))


def test_results_that_nobody_waits_for_are_noticed(gpus, monkeypatch):
    gpus()
    assert fails((), lambda run: monkeypatch.setattr(Event, "synchronize", lambda event: None))


def test_growing_batches_make_room_when_all_before_are_through(gpus):
    gpus()
    run, batches = pipeline(), [pictures(count, count) for count in (1, 4, 2, 8, 3)]
    on_their_way = [run.submit(batch, top=2) for batch in batches]
    for batch, pending in zip(batches, on_their_way, strict=True):
        np.testing.assert_array_equal(pending.result().values, right(batch))


def test_larger_results_of_the_same_program_make_room_as_well(gpus):
    gpus()
    run = pipeline()
    run.submit(pictures(2)).result()
    first = run.submit(pictures(2))
    second = run.submit(pictures(2, seed=1), top=5)
    np.testing.assert_array_equal(first.result().values, right(pictures(2)))
    np.testing.assert_array_equal(second.result().values, right(pictures(2, seed=1)))


def test_pixels_and_values_are_moved_within_the_gpu_and_no_byte_more(gpus, monkeypatch):
    """Behind a result the arena may end."""
    gpus()
    run, usual, sizes = pipeline(), cuda.Gpu.copy, []

    def copy(gpu: cuda.Gpu, to: int, source: int, size_bytes: int, stream: Stream) -> None:
        sizes.append(size_bytes)
        usual(gpu, to, source, size_bytes, stream)

    monkeypatch.setattr(cuda.Gpu, "copy", copy)
    outcome = run.submit(pictures(3), top=2).result()
    assert sizes == [pictures(3).nbytes, outcome.values.nbytes]


def test_a_batch_is_uploaded_while_the_one_before_is_computed(gpus):
    gpus()
    run = pipeline()
    for batch in (pictures(2), pictures(2)):
        run.submit(batch).result()
    first = run.submit(pictures(2))
    second = run.submit(pictures(2, seed=1))
    assert run._compute.waiting
    run._upload.synchronize()
    staged = run._slots[1 - run._turn]
    assert staged.upload[1].marker not in run._upload.waiting
    assert staged.work[0].marker in run._compute.waiting  # the graph of neither has to be through
    np.testing.assert_array_equal(second.result().values, right(pictures(2, seed=1)))
    np.testing.assert_array_equal(first.result().values, right(pictures(2)))


def test_at_most_two_are_on_their_way_and_nobody_has_to_fetch_results(gpus):
    gpus()
    run = pipeline()
    on_their_way = [run.submit(pictures(1, seed)) for seed in range(5)]
    assert [pending._slot is not None for pending in on_their_way] == [False] * 3 + [True] * 2
    for seed, pending in reversed(list(enumerate(on_their_way))):
        np.testing.assert_array_equal(pending.result().values, right(pictures(1, seed)))


def test_threads_at_once(gpus):
    gpus()
    run, errors = pipeline(), []

    def work(number: int) -> None:
        try:
            for turn in range(4):
                batches = [pictures(1 + (number + turn + k) % 3, seed=number) for k in range(2)]
                on_their_way = [run.submit(batch, top=1) for batch in batches]
                for batch, pending in zip(batches, on_their_way, strict=True):
                    np.testing.assert_array_equal(pending.result().values, right(batch))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []
