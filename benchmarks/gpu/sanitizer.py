"""compute-sanitizer on a small network: out-of-bounds accesses, races, barriers, uninitialised memory.

python -m benchmarks.gpu.sanitizer float16      what runs under it
"""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.gpu import subjects
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.stages import Case, Finding
from npresnet.cuda import ELEMENTS, open_gpu

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
NETWORK, SIZE, IMAGES = "cifar_resnet20", 32, 3
PATIENCE_S = 200
PASSED = "the logits are finite"


def cases(bench: Bench) -> Iterator[Case]:
    """Every tool in every precision."""
    for dtype in bench.dtypes(ELEMENTS):
        for tool in TOOLS:
            yield Case(f"{tool} {dtype}", functools.partial(_check, bench, tool, dtype))


def _check(bench: Bench, tool: str, dtype: str) -> Finding:
    sanitizer = find()
    if bench.emulated or sanitizer is None:
        return {"absent": "the emulator needs none" if bench.emulated else "compute-sanitizer is not installed"}
    command = [sanitizer, "--tool", tool, sys.executable, "-m", "benchmarks.gpu.sanitizer", dtype]
    root = Path(__file__).resolve().parents[2]  # where npresnet and benchmarks are imported from
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return {"absent": f"did not end within {PATIENCE_S} s"}
    return verdict(done.stdout + done.stderr)


def find() -> str | None:
    """compute-sanitizer on the path, in a CUDA toolkit, or in its wheel."""
    if found := shutil.which("compute-sanitizer"):
        return found
    spec = importlib.util.find_spec("nvidia")
    roots = [Path("/usr/local/cuda"), *map(Path, (spec.submodule_search_locations or ()) if spec else ())]
    for root in roots:
        for path in (*root.glob("bin/compute-sanitizer"), *root.glob("*/bin/compute-sanitizer")):
            return str(path)
    return None


def verdict(told: str) -> Finding:
    """The finding from the tool's output. It does not work everywhere: containers may forbid it."""
    summary = re.search(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)", told)
    if summary is None or PASSED not in told:
        lines = [line for line in told.splitlines() if line.strip()]
        return {"absent": f"it does not work here: {lines[-1][:300] if lines else 'it said nothing'}"}
    errors = int(summary[1])
    told_first = re.search(r"^========= (?!COMPUTE-SANITIZER)(.+)", told, re.MULTILINE)
    first = told_first[1][:300] if told_first else ""
    return {"errors": errors} | ({"problem": f"{errors} errors, the first: {first}"} if errors else {})


def main(dtype: str) -> None:
    """Run the network once, including its graph."""
    with subjects.executable(open_gpu("cuda"), NETWORK, dtype) as executable:
        logits = executable(subjects.images(IMAGES, SIZE))["logits"]
    if np.isfinite(logits).all():
        print(PASSED)


if __name__ == "__main__":
    main(sys.argv[1])
