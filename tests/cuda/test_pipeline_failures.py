"""Pipelines that meet too little memory, a GPU that refuses or fails, interrupts, and their own end."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator

import numpy as np
import pytest

from npresnet import cuda
from npresnet.cuda.pending import Pending, Wanted
from npresnet.cuda.runtime.staging import Slot, Station
from npresnet.errors import DeviceError, NpresnetError
from npresnet.images import Preprocess
from tests.cuda.test_pipeline import pictures, pipeline, right
from tests.emulator import emulator
from tests.emulator.cupy_streams import Event

pytestmark = emulator.needed


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


def test_pixels_find_room_later_while_another_batch_is_on_its_way(gpus):
    """Of a program that was ready already."""
    gpus()
    run = pipeline()
    run.submit(pictures(2)).result()
    run._programs.get((3, 8, 8), 100)
    run.submit(pictures(2)).result()  # its graph anew, in the larger arena
    first, second = run.submit(pictures(2)), run.submit(pictures(100))
    np.testing.assert_array_equal(first.result().values, right(pictures(2)))
    np.testing.assert_array_equal(second.result().values, right(pictures(100)))


def test_a_station_that_grows_needs_no_room_for_the_smaller_one(gpus):
    gpus(memory_bytes=10 << 10)
    station = Station(cuda.open_gpu("cuda"))
    for sizes in ((4 << 10, 1 << 10), (8 << 10, 1 << 10), (8 << 10, 2 << 10)):
        assert not station.has_room(*sizes)
        station.reserve(*sizes, images=1)
        assert station.has_room(*sizes)


@pytest.mark.parametrize(("owner", "name"), [(Slot, "reserve"), (Wanted, "copies")])
def test_too_little_memory_on_the_host(gpus, monkeypatch, owner, name):
    """For the pixels on their way; for the caller's copies of the results."""
    gpus()
    run = pipeline()
    before = run.submit(pictures(2))
    np.testing.assert_array_equal(before.result().values, right(pictures(2)))
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, no_memory)
        for _ in range(3):
            with pytest.raises(DeviceError, match=r"the computer \(not the GPU\) has no memory left"):
                run.submit(pictures(2)).result()
    np.testing.assert_array_equal(run.submit(pictures(3)).result().values, right(pictures(3)))


def no_memory(*_: object) -> None:
    raise MemoryError


def right_in_little_memory(stand_in) -> np.ndarray:
    stand_in.gpus[0].memory_bytes = 1 << 30
    return right(pictures(2))


@pytest.mark.parametrize("call", ["copy", "launch graph", "launch", "synchronize"])
def test_after_a_refusal_the_pipeline_goes_on(gpus, call):
    """CUDA works on, also on what is on its way already."""
    stand_in = gpus()
    run = pipeline()
    run.submit(pictures(2), top=1).result()
    first = run.submit(pictures(2), top=1)
    stand_in.failures.plan(call, 1)
    on_their_way = [run.submit(pictures(2, seed), top=1) for seed in range(4)]
    errors = [error_of(pending) for pending in (first, *on_their_way)]
    assert sum("cuda:0 (Emulated GPU) fails: " in error for error in errors) == 1
    for seed, pending in enumerate(on_their_way):
        if not errors[1 + seed]:
            np.testing.assert_array_equal(pending.result().values, right(pictures(2, seed)))


@pytest.mark.parametrize("error", [DeviceError("no"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("where", ["upload", "copy", "download"])
def test_what_was_put_before_a_failure_is_through(gpus, monkeypatch, where, error):
    """It reads and writes its slot and the station, which the next batch may replace by larger ones."""
    gpus()
    run = pipeline()
    run.submit(pictures(2), top=1).result()

    def fails(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(cuda.Gpu, where, fails)
        with pytest.raises(type(error)):
            run.submit(pictures(2, seed=1), top=1).result()
    assert nothing_waits(run)
    np.testing.assert_array_equal(run.submit(pictures(3)).result().values, right(pictures(3)))


def test_a_slot_whose_wait_has_failed_is_no_longer_written_to(gpus):
    stand_in = gpus()
    run = pipeline()
    run.submit(pictures(2)).result()
    pending = run.submit(pictures(2))
    stand_in.failures.plan("synchronize", 1)
    assert "fails: " in error_of(pending)
    assert nothing_waits(run)


def nothing_waits(run: cuda.Pipeline) -> bool:
    return not any(stream.waiting for stream in (run._upload, run._compute, run._download))


def error_of(pending: Pending) -> str:
    """Its words; "" if there is none."""
    try:
        pending.result()
    except DeviceError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("call", ["copy", "launch graph", "launch", "synchronize"])
@pytest.mark.parametrize("status", [700, 719])
def test_after_a_sticky_error_every_batch_says_restart(gpus, call, status):
    stand_in = gpus()
    run = pipeline()
    done = run.submit(pictures(2), top=1)
    done.result()
    waiting = run.submit(pictures(2), top=1)
    stand_in.failures.plan(call, status)
    on_their_way = [waiting, *(run.submit(pictures(2, seed), top=1) for seed in range(3))]
    for pending in reversed(on_their_way):
        assert re.search("has failed .*restart it", error_of(pending))
    assert done.result().values.shape == (2, 5)
    run.close()
    del run
    gc.collect()
    assert stand_in.failures.noise == []


FAILING = {
    "at the upload": (cuda.Gpu, "upload"),
    "within the GPU": (cuda.Gpu, "copy"),
    "at the download": (cuda.Gpu, "download"),
    "while it runs": (Event, "synchronize"),
}


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
        pending = run.submit(pictures(2, seed=kept))
    if way == "closed":
        run.close()
        with pytest.raises(DeviceError, match="closed"):
            run.submit(pictures(1)).result()
        run.close()
    else:
        del run
    gc.collect()
    assert stand_in.gpus[0].used == 0
    np.testing.assert_array_equal(pending.result().values, right(pictures(2, seed=1)))


def held(run: cuda.Pipeline) -> Iterator[int]:
    run.submit(pictures(2)).result()
    yield from range(2)


def test_errors_are_npresnet_s(gpus):
    gpus()
    grey = pipeline(how=Preprocess(resize=None, crop=None, mean=(0.5,), std=(0.5,)))
    with pytest.raises(NpresnetError, match="3 channels, the pixels have 1"):
        grey.submit(np.zeros((1, 8, 8, 3), np.uint8)).result()
