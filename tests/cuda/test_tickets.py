"""Tickets as they are compiled: the emulator has its own, and sees nothing of the instruction that draws one."""

from __future__ import annotations

import re

import pytest

from npresnet.cuda.runtime import nvrtc, source
from tests.cuda.test_compile import pytestmark as needs_wheels
from tests.support.compiling import MAJORS

pytestmark = needs_wheels

KERNEL = """
extern "C" __global__ void draw(unsigned* counters) { counters[1] = draw_ticket(counters, 5); }
"""


def ptx(text: str, major: int) -> str:
    return nvrtc.compile(text + KERNEL, "draw.cu", "sm_80", (), major=major).ptx.decode()


@pytest.mark.parametrize("major", MAJORS)
def test_a_counter_goes_from_the_last_of_five_to_zero_again(major):
    """And the ticket both gives and takes: what was left before is seen after."""
    text = source.read("common/tickets.cuh")
    assert largest_drawn(ptx(text, major)) == 4
    assert largest_drawn(ptx(text.replace('"r"(tickets - 1)', '"r"(tickets)'), major)) == 5
    assert largest_drawn(ptx(text.replace("atom.acq_rel", "atom.relaxed"), major)) is None


def largest_drawn(text: str) -> int | None:
    """The number after which the counter is zero again."""
    drawn = re.search(r"atom\.acq_rel\.gpu\.inc\.u32 %r\d+, \[%rd\d+\], (%r\d+|\d+);", text)
    if drawn is None:
        return None
    if drawn[1].isdigit():
        return int(drawn[1])
    (value,) = re.findall(rf"mov\.\w+\s+{drawn[1]}, (\d+);", text)
    return int(value)
