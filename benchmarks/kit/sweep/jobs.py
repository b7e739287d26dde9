"""One process a network: a crash, a leak or a hang is that of one row."""

from __future__ import annotations

import multiprocessing
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

PRELOADED = ["benchmarks.kit.sweep.libraries"]


class Job(NamedTuple):
    """A function with its arguments, which returns records; `unknown` is the record of a job that did not end."""

    function: Callable[..., list[dict[str, Any]]]
    arguments: tuple[Any, ...]
    unknown: dict[str, Any]
    is_large: bool = False
    limits: float = 1  # how many times the limit it may take


def run(jobs: Sequence[Job], *, processes: int, limit_s: float, keep: Callable[[list[dict[str, Any]]], None]) -> None:
    """Run all jobs, the large ones one after another; `keep` gets the records of each, one job at a time."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":  # libraries are imported once
        context.set_forkserver_preload(PRELOADED)
    large: queue.SimpleQueue[Job] = queue.SimpleQueue()
    others: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        (large if job.is_large else others).put(job)
    lock = threading.Lock()

    def work(queues: Sequence[queue.SimpleQueue[Job]]) -> None:
        for waiting in queues:
            while True:
                try:
                    job = waiting.get_nowait()
                except queue.Empty:
                    break
                found = _one(context, job, limit_s * job.limits)
                with lock:
                    keep(found)

    threads = [
        threading.Thread(target=work, args=((large, others) if index == 0 else (others,),))
        for index in range(processes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _one(context: Any, job: Job, limit_s: float) -> list[dict[str, Any]]:
    """The job's records; its `unknown` with a message where the process died or was too slow."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, job.function, job.arguments))
    process.start()
    sender.close()
    try:
        if not receiver.poll(limit_s):
            return [job.unknown | {"verdict": "crash", "message": f"no result after {limit_s:.0f} s"}]
        records: list[dict[str, Any]] = receiver.recv()
        return records
    except EOFError:
        process.join()
        return [job.unknown | {"verdict": "crash", "message": f"the process ended with {process.exitcode}"}]
    finally:
        process.kill()
        process.join()
        receiver.close()


def _child(sender: Any, function: Callable[..., list[dict[str, Any]]], arguments: tuple[Any, ...]) -> None:
    sender.send(function(*arguments))
    sender.close()
