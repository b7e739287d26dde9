"""compute-sanitizer: out-of-bounds accesses, races, barriers, uninitialised memory.

python -m benchmarks.gpu.sanitizer float16 cuda:0      what runs under it

That is every kernel and tile of a few small layers, between zones that it checks itself, and two small networks with
stem, pools, groups, residuals and classifier. CuPy's pool is off: in it, an access beside a buffer is one to another.
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

from benchmarks.gpu import exact, exact_stem, subjects
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.guarded import WholeNumbers
from benchmarks.gpu.stages import Case, Finding
from npresnet.cuda import ELEMENTS, open_gpu
from npresnet.cuda.compiler.choices import candidates
from npresnet.cuda.runtime.gpus import import_cupy

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
LAYERS = ("3x3 + residual", "7x7/2 of images", "3x3 in groups", "3x3 of odd sizes", "deep 3x3")
NETWORKS = {"cifar_resnet20": 32, "resnet14": 48}  # sizes of the images
IMAGES = 3
PASSED = "all kernels ran, and the logits are finite"


def cases(bench: Bench) -> Iterator[Case]:
    """Every tool in every precision; with `quick` one, in one."""
    few = 1 if bench.quick or bench.emulated else None
    for dtype in bench.dtypes(("float16", "float32", "bfloat16", "tf32"))[:few]:
        for tool in TOOLS[:few]:
            yield Case(f"{tool} {dtype}", functools.partial(_check, bench, tool, dtype))


def _check(bench: Bench, tool: str, dtype: str) -> Finding:
    if bench.emulated:
        exercise(bench, dtype)
        return {"absent": "the program ran without it: the emulator needs none"}
    sanitizer = find()
    if sanitizer is None:
        return {"absent": "compute-sanitizer is not installed"}
    program = [sys.executable, "-m", "benchmarks.gpu.sanitizer", dtype, bench.gpu.device]
    root = Path(__file__).resolve().parents[2]  # where npresnet and benchmarks are imported from
    # without a limit of its own: the stage's ends this process and all that it started, the program under the tool too
    done = subprocess.run([sanitizer, "--tool", tool, *program], cwd=root, capture_output=True, text=True)
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
    """The finding from the tool's output. What it counted comes first, whatever else happened.

    Without a summary, and without a report of a place in a kernel, it has checked nothing, for it does not work
    everywhere: containers may forbid it. Nor has a tool that lost track by an error of its own. A program that failed
    under it without an error of its own is a problem.
    """
    summaries = re.findall(r"^=* *(?:ERROR|RACECHECK) SUMMARY: (\d+)", told, re.MULTILINE)
    plain = [line for line in told.splitlines() if line.strip()]
    reported = re.search(r"^========= (\S.*)\n========= +(?:at|by thread) ", told, re.MULTILINE)
    if not summaries and reported:
        return {"problem": f"it ended before it had counted; it has told: {reported[1][:300]}"}
    if not summaries:
        return {"absent": f"it does not work here: {plain[-1][:300] if plain else 'it said nothing'}"}
    errors = sum(map(int, summaries))
    if errors:
        first = re.search(r"^========= (?!COMPUTE-SANITIZER)(.+)", told, re.MULTILINE)
        return {"errors": errors, "problem": f"{errors} errors, the first: {first[1][:300] if first else ''}"}
    if broken := re.search(r"^========= (Internal Sanitizer Error.*)", told, re.MULTILINE):
        return {"absent": f"it does not work here: {broken[1][:300]}"}
    if PASSED not in told:
        own = [line for line in plain if not line.startswith("=========")]
        return {"errors": 0, "problem": f"the program failed under it: {own[-1][:300] if own else plain[-1][:300]}"}
    return {"errors": 0}


def exercise(bench: Bench, dtype: str) -> None:
    """Run every kernel once. Raises AssertionError for what `guarded` finds and for logits that are not finite."""
    element, named = ELEMENTS[dtype], exact.layers(bench)
    for layer in (named[name] for name in LAYERS if name in named):
        numbers, found = WholeNumbers(bench, layer, element), candidates(layer, element, exact.processor(bench))
        numbers.prepare(found)
        for choice in found:
            _, faults = numbers.run(choice)
            assert not faults, f"{choice}: {'; '.join(faults)}"
    for case in exact_stem.cases(bench, [dtype]):
        finding = case.measure()
        assert "problem" not in finding, f"{case.name}: {finding['problem']}"
    sizes = dict.fromkeys(bench.networks(list(NETWORKS)), bench.image_size) if bench.emulated else NETWORKS
    for name, size in sizes.items():
        with subjects.executable(bench.gpu, name, dtype) as executable:  # the graph included
            logits = executable(subjects.images(IMAGES, size))["logits"]
        assert np.isfinite(logits).all(), f"{name}: logits that are not finite"


def main(dtype: str, device: str) -> None:
    """What runs under the sanitizer."""
    import_cupy().cuda.set_allocator(None)
    gpu = open_gpu(device)
    exercise(Bench(gpu, gpu.stream()), dtype)
    print(PASSED)


if __name__ == "__main__":
    main(*sys.argv[1:])
