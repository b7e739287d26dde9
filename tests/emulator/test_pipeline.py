"""A Hopper pipeline - bulk copies into a ring, wgmma out of it, mbarriers between - and the mistakes that one makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.runtime import source, tensor_map
from tests.emulator import emulator, memory
from tests.emulator.conformance_cases import whole_numbers

pytestmark = [emulator.needed, pytest.mark.in_a_child]

TEXT = source.read("common/hopper.cuh") + '#line 1 "faulty.cu"\n' + (Path(__file__).parent / "faulty.cu").read_text()
HALF = ELEMENTS["float16"]
STEPS = 5
A, B = (memory.guarded(whole_numbers(seed, (64, 64 * STEPS)).astype(np.float16)) for seed in (1, 2))
MISTAKES = (
    "NONE EARLY_RELEASE WRONG_PARITY TOO_MANY_BYTES TOO_FEW_BYTES NO_SWIZZLE WRONG_STEP NO_WAIT_AT_THE_END "
    "WAIT_OFF_BY_ONE RELEASE_FOR_OTHERS"
).split()


def outcome(mistake, way):
    """ "right", "wrong" or the emulator's message."""
    y = memory.poisoned((64, 64), np.float32)
    maps = [tensor_map.tile(x.ctypes.data, HALF, 64, 64 * STEPS, 64) for x in (A, B)]
    args = (*maps, np.uint64(y.ctypes.data), np.int32(STEPS), np.int32(MISTAKES.index(mistake)))
    launch = Launch(Source("faulty.cu"), "pipeline", (1, 1, 1), (160, 1, 1), args, 4 * 8192 + 32)
    try:
        emulator.run([launch], source=TEXT, **way)
    except emulator.EmulatorError as error:
        return str(error)
    memory.check_guards(y)
    return "right" if np.array_equal(y, A.astype(np.float32) @ B.T.astype(np.float32)) else "wrong"


@pytest.mark.parametrize("way", emulator.EVERY_WAY, ids=lambda way: "-".join(way.values()))
def test_a_right_pipeline_is_right_in_every_order(way):
    assert outcome("NONE", way) == "right"


@pytest.mark.parametrize("mistake", MISTAKES[1:])
def test_a_mistake_shows(mistake):
    outcomes = [outcome(mistake, way) for way in emulator.EVERY_WAY]
    assert any(found != "right" for found in outcomes)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("EARLY_RELEASE", "is overwritten while a wgmma that reads it is in flight"),
        ("WAIT_OFF_BY_ONE", "is overwritten while a wgmma that reads it is in flight"),
        ("RELEASE_FOR_OTHERS", "is overwritten while a wgmma that reads it is in flight"),
        ("TOO_MANY_BYTES", "deadlock"),
        ("WRONG_PARITY", "deadlock: 128 threads wait at barrier_wait (shared address 32768), 1 threads wait"),
        ("NO_WAIT_AT_THE_END", "it ended while a wgmma was in flight"),
    ],
)
def test_some_mistakes_are_named(mistake, words):
    found = [outcome(mistake, way) for way in emulator.EVERY_WAY]
    assert any(words in text for text in found), found
