"""Inputs of one format in child processes, under a limit of address space and a clock; what became of them.

Input number i is made from the seed and i alone, so that a failure can be made again. A child that dies or hangs costs
one input, which is a failure; another child goes on behind it.
"""

from __future__ import annotations

import json
import os
import random
import select
import tempfile
import traceback
import warnings
from dataclasses import dataclass, field
from types import ModuleType

from tests.fuzz.judge import Verdict, judge

ADDRESS_SPACE_BYTES = 1 << 30  # beyond what the process has when it begins
CLOCK_S = 20.0  # wall time of one input, on a busy machine
_NOTHING = Verdict(False, False, 0.0, 0.0)


@dataclass
class Report:
    """Totals; `failures` are (number of the input, what went wrong)."""

    inputs: int = 0
    loaded: int = 0
    compared: int = 0
    slowest: Verdict = _NOTHING
    largest: Verdict = _NOTHING
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, number: int, verdict: Verdict) -> None:
        self.inputs += 1
        self.loaded += verdict.loaded
        self.compared += verdict.compared
        self.slowest = max(self.slowest, verdict, key=lambda one: one.seconds)
        self.largest = max(self.largest, verdict, key=lambda one: one.growth_mb)
        if verdict.failure:
            self.failures.append((number, verdict.failure))


def make(name: str, format: ModuleType, seed: int, number: int) -> bytes:
    raw: bytes = format.make(random.Random(f"{name} {seed} {number}"))
    return raw


def run(name: str, format: ModuleType, inputs: int, seed: int = 0, first: int = 0) -> Report:
    """Judge the inputs from number `first` on."""
    report, number = Report(), first
    make(name, format, seed, number)  # seeds, and what they import, once for all children
    while number < first + inputs:
        number = _with_a_child(report, name, format, range(number, first + inputs), seed)
    return report


def _with_a_child(report: Report, name: str, format: ModuleType, numbers: range, seed: int) -> int:
    """Judge inputs in one child until it ends; returns the number of the next one."""

    def add(verdict: Verdict) -> None:
        excused = (
            verdict.failure and hasattr(format, "is_excused") and format.is_excused(make(name, format, seed, number))
        )
        report.add(number, _NOTHING if excused else verdict)

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _serve(writing, name, format, numbers, seed)
    os.close(writing)
    number, told = numbers.start, b""
    try:
        while number < numbers.stop:
            more = os.read(reading, 1 << 16) if select.select([reading], [], [], CLOCK_S)[0] else None
            if not more:
                add(_NOTHING._replace(failure="the process " + ("died" if more == b"" else "hung")))
                return number + 1
            *lines, told = (told + more).split(b"\n")
            for line in lines:
                add(Verdict(*json.loads(line)))
                number += 1
        return number
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(reading)


def _serve(writing: int, name: str, format: ModuleType, numbers: range, seed: int) -> None:
    try:
        warnings.simplefilter("ignore")  # zipfile's, of members with one name
        limit_memory()
        getattr(format, "begin", bool)()
        with tempfile.TemporaryDirectory() as folder, os.fdopen(writing, "wb", buffering=0) as pipe:
            path = os.path.join(folder, "w.bin")
            for number in numbers:
                with open(path, "wb") as file:
                    file.write(make(name, format, seed, number))
                pipe.write(json.dumps(judge(path, format)).encode() + b"\n")
    except BaseException:  # of the fuzzer itself: the parent counts it as a failure
        traceback.print_exc()
    finally:
        os._exit(0)


def limit_memory() -> None:
    """Limit this process's address space, on Linux."""
    import resource

    try:
        with open("/proc/self/statm") as file:
            used_bytes = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + ADDRESS_SPACE_BYTES,) * 2)
