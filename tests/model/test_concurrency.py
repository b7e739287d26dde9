"""Several threads use one model concurrently: every call returns the same result as alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

import npresnet
from tests.support.small import ARCH, batch, picture, shared_model, write_pictures

ROUNDS = 6


def run_concurrently(jobs: list[Callable[[], None]]) -> None:
    """Start all jobs together; raise the first error of any."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[], None]) -> None:
        try:
            start.wait()
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not [thread for thread in threads if thread.is_alive()], "a thread hangs"
    if errors:
        raise errors[0]


def repeated(call: Callable[[], np.ndarray]) -> Callable[[], None]:
    """A job that repeats a call and compares its result bit for bit with that of a single call."""
    expected = call()

    def job() -> None:
        for _ in range(ROUNDS):
            np.testing.assert_array_equal(call(), expected)

    return job


def test_batches_of_different_sizes():
    model = shared_model()
    inputs = [batch(count, size=size, seed=count) for count, size in ((1, 32), (2, 32), (5, 32), (3, 24), (1, 40))]
    run_concurrently([repeated(lambda x=x: model(x)) for x in inputs])


def test_all_kinds_of_calls(tmp_path):
    model = shared_model()
    paths = write_pictures(tmp_path, 5)
    x = batch(3)
    run_concurrently(
        [
            repeated(lambda: model(x)),
            repeated(lambda: model.features(x, ["layer1"])["layer1"]),
            repeated(lambda: model.features(x, ["layer2", "avgpool"])["avgpool"]),
            repeated(lambda: np.stack([p.logits for p in model.predict(paths, batch_size=2)])),
            repeated(lambda: np.stack([p.logits for _, p in model.stream(paths, batch_size=3)])),
            repeated(lambda: model.embed(paths[1])),
            repeated(lambda: model.cam(picture(4))),
        ]
    )


def test_more_features_than_are_cached():
    """Compiled parts are evicted while other threads run them."""
    model = shared_model()
    x = batch(2)
    names = ["conv1", "bn1", "layer1.0", "layer1.1", "layer2.0", "layer2", "layer3.1", "avgpool"]
    run_concurrently([repeated(lambda name=name: model.features(x, [name])[name]) for name in names])


def test_two_models_concurrently():
    x = batch(4)
    with npresnet.build(ARCH, threads=1, seed=1) as one, npresnet.build(ARCH, threads=3, seed=2) as other:
        run_concurrently([repeated(lambda: one(x)), repeated(lambda: other(x)), repeated(lambda: shared_model()(x))])


def test_closing_while_others_run():
    """A running call succeeds or raises that the model is closed."""
    model = npresnet.build(ARCH, threads=2)
    x = batch(6)
    expected = model(x)
    is_closed = threading.Event()

    def use() -> None:
        while True:
            try:
                np.testing.assert_array_equal(model(x), expected)
            except npresnet.DeviceError:
                assert is_closed.is_set()
                return

    def close() -> None:
        model(x)
        is_closed.set()
        model.close()

    run_concurrently([use, use, use, close])
    with pytest.raises(npresnet.DeviceError):
        model(x)


def test_the_number_of_blas_threads_is_restored(two_blas_threads):
    from threadpoolctl import threadpool_info

    def blas_threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    x = batch(2)
    run_concurrently([repeated(lambda: shared_model()(x)) for _ in range(4)])
    assert set(blas_threads()) == {2}
