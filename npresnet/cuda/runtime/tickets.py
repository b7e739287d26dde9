"""The counters by which blocks of split convolutions know who comes last: see `launchers.split_k`."""

from __future__ import annotations

from typing import Any

from npresnet.cuda.launchers.split_k import TICKETS_BYTES
from npresnet.cuda.runtime.gpu import Buffer, Gpu


def new_tickets(gpu: Gpu, stream: Any) -> Buffer:
    """Counters for the launches of one stream, at zero. Nothing else may be written there.

    A launch that has begun draws all of its tickets, which leaves them at zero, or takes the whole process with it.
    """
    buffer = gpu.allocate(TICKETS_BYTES, "counters: this")
    with gpu.active():
        gpu.fill(buffer.address, 0, TICKETS_BYTES, stream)
        stream.synchronize()
    return buffer
