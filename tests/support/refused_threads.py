"""A system that starts no more threads, as a container at its limit of processes."""

from __future__ import annotations

import pytest

from npresnet.system import threads


def grant(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """The system starts `count` more threads, and then refuses."""
    left, start_new_thread = [count], threads.start_new_thread

    def start(function, arguments):
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start_new_thread(function, arguments)

    monkeypatch.setattr(threads, "start_new_thread", start)
