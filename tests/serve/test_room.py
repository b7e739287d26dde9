"""What is decoded and not yet computed is bounded in bytes, whatever the number of requests."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

import npresnet
from npresnet.serve import app, cam
from npresnet.serve.room import Room
from tests.serve.conftest import jpeg
from tests.serve.test_limits import until


async def made(size: int) -> int:
    await asyncio.sleep(0)
    return size


def test_at_most_so_much_in_turn():
    async def scenario() -> tuple[list[int], int]:
        room, held, entered, most = Room(10, 3), [0], [], [0]

        async def use(size: int) -> None:
            async with room.holding(lambda: made(size), int) as found:
                entered.append(found)
                held[0] += found
                most[0] = max(most[0], held[0] if found <= 10 else 0)
                assert found <= 10 or held[0] == found
                await asyncio.sleep(0.001)
                held[0] -= found

        await asyncio.gather(*[use(size) for size in (4, 7, 3, 25, 1, 5, 5, 10, 2)])
        return entered, most[0]

    assert asyncio.run(asyncio.wait_for(scenario(), 10)) == ([4, 7, 3, 25, 1, 5, 5, 10, 2], 10)


def test_who_goes_or_fails_leaves_its_place():
    async def scenario() -> None:
        room, leave = Room(10, 2), asyncio.Event()

        async def use(size: int) -> int:
            async with room.holding(lambda: made(size), int):
                await leave.wait()
                return size

        async def fails() -> int:
            raise ValueError

        inside, waits, later = (asyncio.ensure_future(use(size)) for size in (9, 8, 7))
        await asyncio.sleep(0.01)
        waits.cancel()
        for _ in range(3):
            with pytest.raises(ValueError):
                async with room.holding(fails, int):
                    pass
        await asyncio.sleep(0.01)
        inside.cancel()
        leave.set()
        assert await later == 7
        assert await use(10) == 10

    asyncio.run(asyncio.wait_for(scenario(), 10))


@pytest.mark.parametrize("path", ["/cam", "/predict"])
def test_pictures_that_wait_are_few(weights, monkeypatch, path):
    """The others wait as they were sent."""
    model = npresnet.load(weights, threads=1)
    service_app = app(model, batch_wait_ms=0)
    service, decoded = service_app.state.service, []
    read, prepare = cam._decoded, model.preprocess
    monkeypatch.setattr(cam, "_decoded", lambda *given: [decoded.append(1), read(*given)][1])
    monkeypatch.setattr(model, "preprocess", lambda *given: [decoded.append(1), prepare(*given)][1])
    monkeypatch.setattr(service, "pictures", Room(1, 2), raising=False)
    monkeypatch.setattr(service, "_prepared", Room(1, 2), raising=False)
    with TestClient(service_app) as client, ThreadPoolExecutor(9) as clients:
        closed = asyncio.Event()
        in_turn, result = service.in_turn, service._batcher.result

        async def later(wait_for, given):
            await closed.wait()
            return await wait_for(given)

        monkeypatch.setattr(service, "in_turn", lambda given: later(in_turn, given))
        monkeypatch.setattr(service._batcher, "result", lambda given: later(result, given))
        answers = [clients.submit(client.post, path, content=jpeg(seed)) for seed in range(9)]
        try:
            until(lambda: service.inside == 9 and len(decoded) >= 3)
            client.get("/healthz")
            assert len(decoded) == 3  # one inside, two before it
        finally:
            client.portal.call(closed.set)
        assert {answer.result().status_code for answer in answers} == {200}
