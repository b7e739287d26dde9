"""The child process that uses the GPU: it lists the cases, and measures them one by one as the parent says.

    {"do": "open", "device", "emulated", "quick", "dtypes", "references"}
                                            -> {"gpu": what it is, "cases": {stage: [case]}}
    {"do": "measure", "stage", "case"}      -> {"finding", "usable": whether another case may follow in this process}

One JSON object a line, on stdin and stdout. The end of stdin ends the process, even within a case, so that none that
hangs outlives its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from benchmarks.gpu import calls
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.references import References
from benchmarks.gpu.stages import Case, listed, measured
from benchmarks.gpu.torch_peer import Peer, find_peer
from npresnet.bench.process import without_paths
from npresnet.bench.worker import run
from npresnet.cuda import open_gpu
from npresnet.errors import NpresnetError


class Worker:
    """One method for each request."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._bench: Bench | None = None
        self._cases: dict[str, dict[str, Case]] = {}
        self._stand_in: Any = None

    def open(self, device: str, emulated: bool, quick: bool, dtypes: list[str], references: str) -> dict[str, Any]:
        """Raises DeviceError where there is no GPU that can be used."""
        if emulated:
            self._stand_in = self._stack.enter_context(emulated_machine())
        gpu = open_gpu(device)
        peer, trouble = (None, "") if emulated else _peer(device)
        self._bench = bench = Bench(
            gpu,
            gpu.stream(),
            emulated=emulated,
            quick=quick,
            peer=peer,
            precisions=dtypes,
            references=References(Path(references) if references else None),
        )
        self._cases = {stage.name: {case.name: case for case in listed(stage, bench)} for stage in calls.STAGES}
        about = bench.describe()
        if trouble:
            about["versions"]["torch"] = trouble
        return {"gpu": about, "cases": {stage: list(cases) for stage, cases in self._cases.items()}}

    def measure(self, stage: str, case: str) -> dict[str, Any]:
        """Any exception of the case is its problem."""
        assert self._bench is not None, "open first"
        print(f"{stage}: {case}", file=sys.stderr, flush=True)
        finding, usable = measured(self._cases[stage][case], self._bench)
        if self._stand_in is not None and self._stand_in.gpus[0].faults:
            return {"finding": {"problem": "; ".join(self._stand_in.gpus[0].faults)}, "usable": False}
        return {"finding": finding, "usable": usable}


def _peer(device: str) -> tuple[Peer | None, str]:
    """(PyTorch, or why it cannot be a peer): an installation that is broken costs its columns, not the report."""
    try:
        return find_peer(device), ""
    except Exception as error:
        return None, without_paths(f"does not work: {type(error).__name__}: {error}")


@contextmanager
def emulated_machine() -> Iterator[Any]:
    """A machine whose GPU is the tests' emulator of kernels behind CuPy's calling convention."""
    import pytest

    from tests.emulator.cupy_stand_in import CupyStandIn

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        stand_in = CupyStandIn(capability=90, multiprocessors=4)
        stand_in.install(patch, Path(folder))
        yield stand_in


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer until the process ends."""
    worker, waiting = Worker(), queue.SimpleQueue[str]()
    threading.Thread(target=_read, args=(requests, waiting), daemon=True).start()
    while True:
        request = json.loads(waiting.get())
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except NpresnetError as error:
            answer = {"error": str(error)}
        answers.write(json.dumps(answer, default=str) + "\n")
        answers.flush()


def _read(requests: TextIO, waiting: queue.SimpleQueue[str]) -> None:
    for line in requests:
        waiting.put(line)
    with contextlib.suppress(AttributeError, OSError):  # Windows has no groups of processes
        if os.getpid() == os.getpgrp():
            os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    run(serve)
