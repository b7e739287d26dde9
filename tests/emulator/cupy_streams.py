"""Streams, events and graphs: what goes on a stream waits there until somebody synchronises.

Results read too early are NaN, and host memory that is used again too early has changed.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import deque
from typing import Any

from tests.emulator.cupy_failures import CUDARuntimeError
from tests.emulator.cupy_machine import Machine


class Stream:
    """Work that waits: callables, done when somebody synchronises."""

    numbers = itertools.count(1)

    def __init__(self, machine: Machine, *, null: bool = False, non_blocking: bool = False):
        self.machine, self.non_blocking, self.ptr = machine, non_blocking, 0
        if not null:
            machine.failures.meet("create stream")
        self.ptr = 0 if null else 4096 * next(self.numbers)
        self.device_id = machine.current_device()
        self.waiting: deque[Any] = deque()
        self.recorded: list[Any] | None = None
        self.lock = threading.RLock()
        machine.streams[self.ptr, self.device_id] = weakref.ref(self)

    def __del__(self) -> None:
        if self.ptr:
            self.machine.failures.destroyed("a stream")

    def __enter__(self) -> Stream:
        self._require_device()
        self.machine.enter_stream(self)
        return self

    def __exit__(self, *error: object) -> None:
        self.machine.leave_stream()

    def use(self) -> Stream:
        self._require_device()
        self.machine.local.current[self.device_id] = self
        return self

    def _require_device(self) -> None:
        if self.device_id != self.machine.current_device():
            raise RuntimeError("The device that the stream is created on does not match with the current device")

    def put(self, work: Any) -> None:
        if self.recorded is None:
            self.waiting.append(work)
        else:
            self.recorded.append(work)

    def drain(self, marker: object = None) -> None:
        """Do what waits, all of it or up to a marker."""
        with self.lock:
            while self.waiting and (marker is None or marker in self.waiting):
                work = self.waiting.popleft()
                if callable(work):
                    work()

    def synchronize(self) -> None:
        if self.recorded is not None:
            raise CUDARuntimeError(900, "cudaErrorStreamCaptureUnsupported: operation not permitted while capturing")
        self.machine.failures.meet("synchronize")
        self.drain()

    def begin_capture(self, mode: int | None = None) -> None:
        if self.ptr == 0 or not self.non_blocking:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self.machine.failures.meet("begin capture")
        self.recorded = []

    def end_capture(self) -> Graph:
        if self.recorded is None:
            raise CUDARuntimeError(901, "cudaErrorStreamCaptureInvalidated")
        recorded, self.recorded = self.recorded, None
        self.machine.failures.meet("end capture")
        return Graph(recorded, self.device_id)

    def wait_event(self, event: Event) -> None:
        """Up to where the event is recorded now: recording it again, later, is another matter."""
        recorded_on, marker = event.stream, event.marker
        if recorded_on is not None:
            self.put(lambda: recorded_on.drain(marker))


class Event:
    def __init__(self, block: bool = False, disable_timing: bool = False):
        self.stream: Stream | None = None
        self.marker: object = None
        self.machine, self.made = Machine.active, False
        self.machine.failures.meet("create event")
        self.made = True

    def __del__(self) -> None:
        if self.made:
            self.machine.failures.destroyed("an event")

    def record(self, stream: Stream | None = None) -> None:
        self.stream = stream or self.machine.current_stream()
        self.marker = object()
        self.stream.put(self.marker)

    def wait(self) -> None:
        assert self.stream is not None
        self.stream.drain(self.marker)

    def synchronize(self) -> None:
        self.machine.failures.meet("synchronize")
        self.wait()


class Graph:
    def __init__(self, recorded: list[Any], device_id: int):
        self.recorded, self.device_id = recorded, device_id
        self.launched = 0
        self.machine = Machine.active

    def __del__(self) -> None:
        self.machine.failures.destroyed("a graph")

    def upload(self, stream: Stream | None = None) -> None:
        self.machine.failures.meet("upload graph")

    def launch(self, stream: Stream | None = None) -> None:
        stream = stream or Machine.active.current_stream()
        self.machine.failures.meet("launch graph")
        if stream.device_id != self.device_id:
            raise CUDARuntimeError(400, "cudaErrorInvalidResourceHandle: the graph belongs to another device")
        self.launched += 1
        for work in self.recorded:
            stream.put(work)
