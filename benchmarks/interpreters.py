"""One image's time under several Python interpreters, such as one with and one without the global interpreter lock.

    python benchmarks/interpreters.py /opt/3.13/bin/python /opt/3.13t/bin/python

Each interpreter has npresnet installed. A network with random weights; one process for each interpreter and number of
threads, which lives through all rounds; rounds in turn, and a round's figure is the median of its calls. The bits of
the logits must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit.script import say
from npresnet.bench.arguments import count

WORKER = """
import hashlib, json, statistics, sys, threading, time
import numpy, npresnet
model = npresnet.build(sys.argv[1], seed=0, threads=int(sys.argv[2]))
x = numpy.random.default_rng(0).standard_normal((1, 3, 224, 224), numpy.float32)
bits = hashlib.sha256(model(x).tobytes()).hexdigest()[:16]
has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
facts = {"bits": bits, "python": sys.version.split()[0], "gil": has_gil, "numpy": numpy.__version__}
print(json.dumps(facts), flush=True)
for line in sys.stdin:
    callers, calls = map(int, line.split())
    times = []
    def call():
        for _ in range(calls):
            began = time.perf_counter()
            model(x)
            times.append(time.perf_counter() - began)
    threads = [threading.Thread(target=call) for _ in range(callers)]
    began = time.perf_counter()
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(json.dumps([1000 * statistics.median(times), callers * calls / (time.perf_counter() - began)]), flush=True)
"""
CASES = ((1, 1), (2, 1), (1, 2))  # (the model's threads, Python threads that call it)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", default=[sys.executable], metavar="PYTHON")
    parser.add_argument("--model", default="resnet18", help="a name")
    parser.add_argument("--rounds", type=count, default=30)
    parser.add_argument("--calls", type=count, default=10, help="of a round")
    return parser.parse_args(arguments)


class Worker:
    """A process of one interpreter with a model of so many threads; it ends with its input."""

    def __init__(self, python: str, model: str, threads: int, environ: dict[str, str]):
        words = [python, "-c", WORKER, model, str(threads)]
        self._process = subprocess.Popen(
            words, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=os.path.dirname(python)
        )
        self.facts: dict[str, Any] = self._answer()

    def round(self, callers: int, calls: int) -> tuple[float, float]:
        """(ms of a call, calls a second)."""
        assert self._process.stdin is not None
        print(callers, calls, file=self._process.stdin, flush=True)
        ms, a_second = self._answer()
        return ms, a_second

    def end(self) -> None:
        """Wait for its end."""
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args!r} ended with {self._process.wait()}")
        return json.loads(line)


def main(arguments: list[str]) -> int:
    """Print medians with quartiles."""
    options = parse(arguments)
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "OPENBLAS_", "OMP_"))}
    numbers = sorted({threads for threads, _ in CASES})
    workers = {(p, n): Worker(p, options.model, n, environ) for p in options.pythons for n in numbers}
    for (python, threads), worker in workers.items():
        say(f"{python}, threads={threads}: {worker.facts}")
    found: dict[tuple[str, int, int], list[tuple[float, float]]] = {}
    for turn in range(options.rounds):
        order = options.pythons[turn % 2 :] + options.pythons[: turn % 2]
        for threads, callers in CASES:
            for python in order:
                found.setdefault((python, threads, callers), []).append(
                    workers[python, threads].round(callers, options.calls)
                )
    for worker in workers.values():
        worker.end()
    for (python, threads, callers), rounds in sorted(found.items(), key=lambda item: item[0][1:]):
        ms, a_second = ([each[which] for each in rounds] for which in (0, 1))
        print(f"threads={threads} callers={callers} {python}: {_spread(ms)} ms, {_spread(a_second)} calls/s")
    same = len({worker.facts["bits"] for worker in workers.values()}) == 1
    print("the same bits everywhere" if same else "the bits differ")
    return 0 if same else 1


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2f}"
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
