"""Threads, wgmma and the copy engine on the same shared memory: what each fence is for, and what misses it."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.runtime import tensor_map
from tests.emulator import emulator, memory
from tests.emulator.conformance_cases import whole_numbers
from tests.emulator.test_pipeline import HALF, TEXT

pytestmark = [emulator.needed, pytest.mark.in_a_child]

X, LANDED = (memory.guarded(whole_numbers(seed, (64, 64)).astype(np.float16)) for seed in (3, 4))
NOT_FENCED = "which has not executed fence_async_proxy since"
# what is left out of `proxies`, in the order of its enumeration, and what the emulator says of it
LACKS = {
    "nothing": "",
    "barrier_init_fence": "the barrier at shared address 8192 was initialised by thread (0, 0, 0), which has not "
    "executed barrier_init_fence since",
    "fence after stores": f"wgmma: shared address 0 was written by thread (0, 0, 0), {NOT_FENCED}",
    "fence after cp.async": f"wgmma: shared address 0 was written by thread (0, 0, 0), {NOT_FENCED}",
    "one thread's fence": f"was written by thread (77, 0, 0), {NOT_FENCED}",
    "fence after cp.async has landed": f"wgmma: shared address 0 was written by thread (0, 0, 0), {NOT_FENCED}",
    "barrier after the fence": "which has met nobody at a barrier after its fence_async_proxy",
    "fence before the barrier": "which has met nobody at a barrier after its fence_async_proxy",
    "wgmma_fence at first": "wgmma_float16: no wgmma_fence since the block began or since wgmma_wait",
    "wgmma_fence after a wait": "wgmma_float16: no wgmma_fence since the block began or since wgmma_wait",
    "wgmma_wait before a store": "is overwritten while a wgmma that reads it is in flight",
    "barrier after wgmma_wait": "is overwritten while a wgmma that reads it is in flight",
    "fence before the copy engine": f"tensor_copy_2d: shared address 0 was written by thread (0, 0, 0), {NOT_FENCED}",
    "wait for the copy engine": "a store: shared address 1024 is used while an asynchronous copy to it is in flight",
}

# the others need copies that land late, or threads that run ahead
ALWAYS = (
    "fence after stores",
    "fence after cp.async",
    "one thread's fence",
    "wgmma_fence at first",
    "wgmma_fence after a wait",
    "fence before the copy engine",
)


def outcome(lack, way):
    """ "" where y is right, or what went wrong."""
    y = memory.poisoned((64, 64), np.float32)
    tiles = tensor_map.tile(LANDED.ctypes.data, HALF, 64, 64, 64)
    args = (tiles, *map(np.uint64, (X.ctypes.data, y.ctypes.data)), np.int32(list(LACKS).index(lack)))
    launch = Launch(Source("faulty.cu"), "proxies", (1, 1, 1), (128, 1, 1), args, 8200)
    try:
        emulator.run([launch], source=TEXT, **way)
    except emulator.EmulatorError as error:
        return str(error)
    memory.check_guards(y)
    x = X.astype(np.float32)
    return "" if np.array_equal(y, x @ x.T + LANDED) else "wrong numbers"


@pytest.mark.parametrize("way", emulator.EVERY_WAY, ids=lambda way: "-".join(way.values()))
def test_all_fences_are_enough(way):
    assert outcome("nothing", way) == ""


@pytest.mark.parametrize("lack", [lack for lack in LACKS if lack != "nothing"])
def test_what_is_left_out_is_named(lack):
    found = [outcome(lack, way) for way in emulator.EVERY_WAY]
    assert any(LACKS[lack] in text for text in found), found


@pytest.mark.parametrize("lack", ALWAYS)
def test_a_missing_fence_shows_in_every_order(lack):
    """The program is wrong, not one run of it."""
    for way in emulator.EVERY_WAY:
        assert LACKS[lack].rpartition("thread")[0] in outcome(lack, way)
