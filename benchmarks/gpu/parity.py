"""Parity: logits of networks against float64, with PyTorch's in the same precision, and by every kernel and tile.

Three stages: MAIN networks, once at a large batch too; all other networks; MAIN with every launcher in turn, each of
its tiles wherever it supports a layer.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np

from benchmarks.gpu import subjects
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.references import IMAGES
from benchmarks.gpu.stages import Case, Finding
from benchmarks.gpu.subjects import MAIN
from npresnet import cuda, passes
from npresnet.bench import torchvision_models
from npresnet.cuda import ELEMENTS, Element, Executable
from npresnet.cuda.compiler import choices
from npresnet.cuda.compiler.choices import Choice, Layer, Processor
from npresnet.cuda.compiler.reduction import segmentations
from npresnet.cuda.launchers import conv2d
from npresnet.network import Array

# bounds of the logits' relative L2 error: above rounding, below the error of a wrong kernel
GATES = {"float32": 1e-5, "tf32": 3e-3, "float16": 5e-3, "bfloat16": 3e-2}
LARGE_BATCH = 256


def main(bench: Bench) -> Iterator[Case]:
    """MAIN in every precision, and at a batch that takes other kernels than a small one."""
    for name in bench.networks(MAIN):
        for dtype in bench.dtypes(GATES):
            yield Case(f"{name} {dtype}", functools.partial(_compare, bench, name, dtype))
        for dtype in bench.dtypes(("float16", "float32") if bench.emulated else ("float16",)):
            images = 3 if bench.emulated else LARGE_BATCH
            yield Case(f"{name} {dtype} batch {images}", functools.partial(_compare_batch, bench, name, dtype, images))


def others(bench: Bench) -> Iterator[Case]:
    """Network by network, so that its float64 logits are computed once."""
    for name in bench.networks([name for name in torchvision_models.names() if name not in MAIN]):
        for dtype in bench.dtypes(GATES):
            yield Case(f"{name} {dtype}", functools.partial(_compare, bench, name, dtype))


def tiles(bench: Bench) -> Iterator[Case]:
    """Launcher by launcher: whether any layer takes it is found when it is measured."""
    for name in bench.networks(MAIN):
        for dtype in bench.dtypes(GATES):
            for launcher in choices.LAUNCHERS:
                measure = functools.partial(_compare_tiles, bench, name, dtype, launcher)
                yield Case(f"{name} {dtype} {launcher}", measure)


def _compare(bench: Bench, name: str, dtype: str) -> Finding:
    x = _images(bench)
    exact, source = bench.references.logits(name, len(x), bench.image_size)
    with subjects.executable(bench.gpu, name, dtype) as executable:
        found = executable(x)["logits"]
        alone = executable(x[1:2])["logits"]
    finding: Finding = {"error": relative_error(found, exact), "gate": GATES[dtype], **_agreement(found, exact)}
    # a layer's kernel and split of K depend on the batch, so an image's last bits may too
    finding |= {"error_alone": relative_error(alone, exact[1:2]), "float64": source}
    if bench.peer is not None:
        theirs = bench.peer.logits(name, dtype, x)
        finding |= {"torch_error": relative_error(theirs, exact), "torch_same_top1": _agreement(theirs, exact)["top1"]}
    return _judged(finding, dtype, finding["error"], finding["error_alone"])


def _compare_batch(bench: Bench, name: str, dtype: str, images: int) -> Finding:
    """The first images against float64, all of them against the same network at a small batch."""
    few, x = len(_images(bench)), subjects.images(images, bench.image_size)
    exact, source = bench.references.logits(name, few, bench.image_size)
    with subjects.executable(bench.gpu, name, dtype) as executable:
        found = executable(x)["logits"]
        parts = [executable(x[first : first + few])["logits"] for first in range(0, images, few)]
    finding: Finding = {"error": relative_error(found[:few], exact), "gate": GATES[dtype], "float64": source}
    finding |= _agreement(found[:few], exact) | {"error_of_all": relative_error(found, np.concatenate(parts))}
    return _judged(finding, dtype, finding["error"], finding["error_of_all"] / 2)  # both sides are rounded


def _compare_tiles(bench: Bench, name: str, dtype: str, launcher: str) -> Finding:
    x, element = _images(bench), ELEMENTS[dtype]
    exact, source = bench.references.logits(name, len(x), bench.image_size)
    # no segments: one that has a convolution within has no launcher of ours
    apart, weights = segmentations(passes.optimize(subjects.network(name)))[:1], cuda.Weights(bench.gpu)
    errors: dict[str, float] = {}
    turn, turns = 0, 1
    while turn < turns:
        print(f"turn {turn}", file=sys.stderr, flush=True)  # the last words, should it hang or die
        with launched_by(launcher, turn) as taken:
            executable = Executable(apart, bench.gpu, element, weights)
            found = executable(x)["logits"]
            executable.close()
        if not taken:
            return {"absent": "no layer takes it"}
        told = ", ".join(sorted({str(choice.tile) for choice in taken}))
        errors[f"turn {turn}: {told}"] = relative_error(found, exact)
        turn, turns = turn + 1, max(taken.values())
    worst = max(errors, key=lambda tile: np.inf if np.isnan(errors[tile]) else errors[tile])
    finding: Finding = {"error": errors[worst], "gate": GATES[dtype], "worst": worst, "turns": turns}
    return _judged(finding | {"float64": source}, dtype, errors[worst])


@contextmanager
def launched_by(launcher: str, turn: int) -> Iterator[dict[Choice, int]]:
    """Every convolution that `launcher` supports takes its candidate number `turn`, modulo how many it has.

    Gives {the choices that were taken: of how many}.
    """
    taken: dict[Choice, int] = {}

    def choose(layer: Layer, element: Element, gpu: Processor) -> Choice:
        found = choices.candidates_of(launcher, layer, element, gpu)
        if not found:
            return choices.choose(layer, element, gpu)
        choice = found[turn % len(found)]
        taken[choice] = len(found)
        return choice

    with mock.patch.object(conv2d, "choose", choose):
        yield taken


def _images(bench: Bench) -> Array:
    return subjects.images(2 if bench.emulated or bench.quick else IMAGES, bench.image_size)


def _judged(finding: Finding, dtype: str, *errors: float) -> Finding:
    worst = max(errors, key=lambda error: np.inf if np.isnan(error) else error)
    if not worst <= GATES[dtype]:  # NaN fails too
        finding["problem"] = f"relative error {worst:.2e} against float64, gate {GATES[dtype]:g}"
    return finding


def relative_error(found: Array, exact: Array) -> float:
    """|found - exact| / |exact| over all logits, in the Euclidean norm; 4 digits."""
    difference = np.linalg.norm(found.astype(np.float64) - exact) / np.linalg.norm(exact)
    return float(f"{difference:.4g}")


def _agreement(found: Array, exact: Array) -> dict[str, str]:
    same = np.argmax(found, axis=1) == np.argmax(exact, axis=1)
    return {"top1": f"{int(same.sum())} of {len(same)}"}
