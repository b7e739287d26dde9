"""Batches: who is computed with whom, when, and what is left of a batch that fails."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from npresnet.errors import ShapeError
from npresnet.serve.batching import Batcher


def image(value: float, side: int = 2) -> np.ndarray:
    return np.full((1, 3, side, side), value, np.float32)


class Net:
    """Doubles an image's first value; records its batches; negative values are refused; may be held up."""

    def __init__(self):
        self.batches: list[list[float]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        assert len({one.shape for one in x}) == 1
        self.entered.set()
        assert self.gate.wait(10)
        self.batches.append(x[:, 0, 0, 0].tolist())
        if (x < 0).any():
            raise ShapeError("negative")
        return 2 * x[:, 0, 0, :1]


def run(net: Net, scenario, **options):
    """The result of scenario(batcher), bounded in time; nothing is left waiting."""

    async def all_of_it():
        batcher = Batcher(net, **{"max_batch": 4, "wait_s": 0.02, **options}, observe=lambda images, seconds: None)
        try:
            return await asyncio.wait_for(scenario(batcher), 20)
        finally:
            net.gate.set()
            batcher.close()

    return asyncio.run(all_of_it())


def test_images_in_flight_together_are_one_batch():
    net = Net()

    async def scenario(batcher):
        return await asyncio.gather(*(batcher.result(image(value)) for value in range(4)))

    assert [row.tolist() for row in run(net, scenario, wait_s=10)] == [[0], [2], [4], [6]]  # full: nobody waits
    assert net.batches == [[0, 1, 2, 3]]


def test_one_alone_waits_as_long_as_it_may():
    net = Net()

    async def scenario(batcher):
        began = asyncio.get_running_loop().time()
        await batcher.result(image(1))
        return asyncio.get_running_loop().time() - began

    assert 0.3 <= run(net, scenario, wait_s=0.3) < 5


def test_at_most_max_batch_in_order():
    net = Net()

    async def scenario(batcher):
        return await asyncio.gather(*(batcher.result(image(value)) for value in range(10)))

    assert [row[0] for row in run(net, scenario)] == [2 * value for value in range(10)]
    assert net.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_while_one_batch_is_computed_the_next_collects():
    net = Net()
    net.gate.clear()

    async def scenario(batcher):
        first = asyncio.ensure_future(batcher.result(image(0)))
        await asyncio.to_thread(net.entered.wait, 10)
        later = [asyncio.ensure_future(batcher.result(image(value))) for value in (1, 2, 3)]
        await asyncio.sleep(0.1)
        net.gate.set()
        return await asyncio.gather(first, *later)

    run(net, scenario, wait_s=0)
    assert net.batches == [[0], [1, 2, 3]]


def test_shapes_are_not_mixed():
    net = Net()

    async def scenario(batcher):
        sides = (2, 3, 2, 5, 3, 2)
        return await asyncio.gather(*(batcher.result(image(i, side)) for i, side in enumerate(sides)))

    assert [row[0] for row in run(net, scenario)] == [0, 2, 4, 6, 8, 10]
    assert net.batches == [[0, 2, 5], [1, 4], [3]]


def test_a_bad_image_spoils_no_other():
    net = Net()

    async def scenario(batcher):
        return await asyncio.gather(*(batcher.result(image(v)) for v in (1, -1, 2, 3)), return_exceptions=True)

    one, bad, two, three = run(net, scenario)
    assert (one[0], two[0], three[0]) == (2, 4, 6)
    assert isinstance(bad, ShapeError)
    assert net.batches == [[1, -1, 2, 3], [1], [-1], [2], [3]]


@pytest.mark.parametrize("while_computing", [False, True])
def test_who_has_gone_costs_nothing_more(while_computing):
    net = Net()
    net.gate.clear()

    async def scenario(batcher):
        first = asyncio.ensure_future(batcher.result(image(0)))
        await asyncio.to_thread(net.entered.wait, 10)
        gone, stays = (asyncio.ensure_future(batcher.result(image(value))) for value in (1, 2))
        await asyncio.sleep(0.05)
        (first if while_computing else gone).cancel()
        await asyncio.sleep(0)
        net.gate.set()
        return await asyncio.gather(first, gone, stays, return_exceptions=True)

    first, gone, stays = run(net, scenario, wait_s=0)
    assert stays[0] == 4
    if while_computing:
        assert isinstance(first, asyncio.CancelledError)
        assert (gone[0], net.batches) == (2, [[0], [1, 2]])
    else:
        assert isinstance(gone, asyncio.CancelledError)
        assert (first[0], net.batches) == (0, [[0], [2]])


def test_calls_run_between_batches_in_the_same_thread():
    net, threads = Net(), []

    async def scenario(batcher):
        await batcher.call(lambda: threads.append(threading.get_ident()))
        await batcher.result(image(1))
        await batcher.call(lambda: threads.append(threading.get_ident()))

    run(net, scenario)
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
