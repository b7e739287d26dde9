"""Batches of pixels that overlap: the right results whatever the order in which a GPU gets to its streams."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pytest

from npresnet import cuda
from npresnet.cuda.ticket import Ticket
from npresnet.errors import DeviceError, NpresnetError, ShapeError
from npresnet.images import Preprocess
from npresnet.model.prediction import Prediction
from npresnet.network import Network
from tests.cuda.running import compiled, small_network
from tests.cuda.test_pixels import COLOUR, normalisation, normalised
from tests.emulator import emulator
from tests.emulator.cupy_memory import CUDARuntimeError
from tests.emulator.cupy_streams import Event, Stream

pytestmark = emulator.needed


def pipeline(network: Network | None = None, dtype: str = "float32", how: Preprocess = COLOUR) -> cuda.Pipeline:
    gpu = cuda.open_gpu("cuda")
    network = small_network() if network is None else network
    return cuda.Pipeline(network, gpu, cuda.ELEMENTS[dtype], cuda.Weights(gpu), normalisation(how))


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def right(pixels: np.ndarray, dtype: str = "float32") -> np.ndarray:
    """Logits of images that the CPU has normalised."""
    return compiled(small_network(), dtype)(normalised(pixels, COLOUR))["logits"]


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


def test_an_image_that_does_not_fit_is_told_by_its_ticket(gpus):
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


def check_batches(order: tuple[str, ...]) -> None:
    """Five batches, two on their way, of which the GPU begins with these streams; buffers grow at the third."""
    run, batches = pipeline(), [pictures(count, seed) for seed, count in enumerate((1, 2, 3, 3, 3))]
    for batch in batches[:4]:
        run.submit(batch).result()  # from here on nothing has to be prepared, which would wait
    tickets: list[Ticket] = []
    for batch in batches:
        tickets.append(run.submit(batch, top=1))
        if len(tickets) > 1:
            for name in order:
                getattr(run, name).synchronize()
    for batch, ticket in zip(batches, tickets, strict=True):
        np.testing.assert_array_equal(ticket.result().values, right(batch))


@pytest.mark.parametrize("order", EAGER, ids=lambda order: " ".join(order) or "lazy")
def test_whichever_stream_runs_ahead(gpus, order):
    gpus()
    check_batches(order)


WAITS = ["the station is empty", "the pixels have come", "the results have gone", "the results are there"]


def without_wait(monkeypatch, number: int) -> None:
    """Each batch puts four waits on its streams: leave this one out."""
    count, wait_event = iter(range(1 << 30)), Stream.wait_event

    def wait(stream: Stream, event: Event) -> None:
        if next(count) % len(WAITS) != number:
            wait_event(stream, event)

    monkeypatch.setattr(Stream, "wait_event", wait)


@pytest.mark.parametrize("number", range(len(WAITS)), ids=WAITS)
def test_a_missing_wait_is_noticed(gpus, monkeypatch, number):
    gpus()
    without_wait(monkeypatch, number)
    assert any(map(fails, EAGER))


def test_host_memory_that_is_used_again_too_early_is_noticed(gpus, monkeypatch):
    gpus()
    submit = cuda.Pipeline.submit

    def forgetful(run: cuda.Pipeline, *args: object, **how: object) -> Ticket:
        run._tickets = [Ticket(run._gpu), Ticket(run._gpu)]  # nobody is waited for
        return submit(run, *args, **how)

    monkeypatch.setattr(cuda.Pipeline, "submit", forgetful)
    assert fails(())


def test_results_that_nobody_waits_for_are_noticed(gpus, monkeypatch):
    gpus()
    monkeypatch.setattr(Event, "synchronize", lambda event: None)
    assert fails(())


def fails(order: tuple[str, ...]) -> bool:
    try:
        check_batches(order)
    except (AssertionError, DeviceError):  # other numbers, or memory that has gone already
        return True
    return False


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
    tickets = [run.submit(pictures(1, seed)) for seed in range(5)]
    assert [ticket._slot is not None for ticket in tickets] == [False] * 3 + [True] * 2
    for seed, ticket in reversed(list(enumerate(tickets))):
        np.testing.assert_array_equal(ticket.result().values, right(pictures(1, seed)))


def test_threads_at_once(gpus):
    gpus()
    run, errors = pipeline(), []

    def work(number: int) -> None:
        try:
            for turn in range(4):
                batches = [pictures(1 + (number + turn + k) % 3, seed=number) for k in range(2)]
                tickets = [run.submit(batch, top=1) for batch in batches]
                for batch, ticket in zip(batches, tickets, strict=True):
                    np.testing.assert_array_equal(ticket.result().values, right(batch))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


# --- failures, memory ------------------------------------------------------------------------------------------------


def test_too_large_a_batch_leaves_the_pipeline_usable(gpus):
    stand_in = gpus(memory_bytes=100_000)
    run = pipeline()
    before = run.submit(pictures(2))
    with pytest.raises(DeviceError, match=r"200 images.* takes .* MB .*fewer images at a time"):
        run.submit(pictures(200)).result()
    np.testing.assert_array_equal(before.result().values, right(pictures(2)))
    np.testing.assert_array_equal(run.submit(pictures(3)).result().values, right(pictures(3)))
    assert stand_in.gpus[0].most_used <= 100_000


def test_room_for_the_network_but_not_for_the_pixels(gpus):
    stand_in = gpus()
    run = pipeline()
    run.submit(pictures(1)).result()
    run._programs.get((3, 8, 8), 100)
    stand_in.gpus[0].memory_bytes = stand_in.gpus[0].used + 1000
    with pytest.raises(DeviceError, match=r"beside the network, the pixels of 100 images: this takes"):
        run.submit(pictures(100)).result()
    np.testing.assert_array_equal(run.submit(pictures(2)).result().values, right_in_little_memory(stand_in))


def right_in_little_memory(stand_in) -> np.ndarray:
    stand_in.gpus[0].memory_bytes = 1 << 30
    return right(pictures(2))


FAILING = {
    "at the upload": (cuda.Gpu, "upload"),
    "within the GPU": (cuda.Gpu, "copy"),
    "at the download": (cuda.Gpu, "download"),
    "while it runs": (Event, "synchronize"),
}


@pytest.mark.parametrize("where", FAILING)
def test_a_gpu_that_fails_is_a_device_error_of_the_ticket(gpus, monkeypatch, where):
    gpus()
    run = pipeline()
    first = run.submit(pictures(2))

    def fail(*_: object) -> None:
        raise CUDARuntimeError(719, "cudaErrorLaunchFailure: unspecified launch failure")

    with monkeypatch.context() as patch:
        patch.setattr(*FAILING[where], fail)
        second = run.submit(pictures(2, seed=1))
        for _ in range(2):
            with pytest.raises(DeviceError, match="cudaErrorLaunchFailure"):
                second.result()
    np.testing.assert_array_equal(run.submit(pictures(2, seed=2)).result().values, right(pictures(2, seed=2)))
    np.testing.assert_array_equal(first.result().values, right(pictures(2)))


@pytest.mark.parametrize("where", FAILING)
def test_an_interrupt_does_no_harm(gpus, monkeypatch, where):
    gpus()
    run = pipeline()
    first = run.submit(pictures(2))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*FAILING[where], interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.submit(pictures(2, seed=1)).result()
    np.testing.assert_array_equal(run.submit(pictures(2, seed=2)).result().values, right(pictures(2, seed=2)))
    np.testing.assert_array_equal(first.result().values, right(pictures(2)))


@pytest.mark.parametrize("way", ["closed", "dropped"])
def test_memory_is_given_back_when_nothing_writes_to_it_any_more(gpus, way):
    """Work on memory that has gone would be an error of the stand-in's."""
    stand_in = gpus()
    run = pipeline()
    for kept in held(run):
        ticket = run.submit(pictures(2, seed=kept))
    if way == "closed":
        run.close()
        with pytest.raises(DeviceError, match="closed"):
            run.submit(pictures(1)).result()
        run.close()
    else:
        del run
    gc.collect()
    assert stand_in.gpus[0].used == 0
    np.testing.assert_array_equal(ticket.result().values, right(pictures(2, seed=1)))


def held(run: cuda.Pipeline) -> Iterator[int]:
    run.submit(pictures(2)).result()
    yield from range(2)


def test_errors_are_npresnet_s(gpus):
    gpus()
    grey = pipeline(how=Preprocess(resize=None, crop=None, mean=(0.5,), std=(0.5,)))
    with pytest.raises(NpresnetError, match="3 channels, the pixels have 1"):
        grey.submit(np.zeros((1, 8, 8, 3), np.uint8)).result()
