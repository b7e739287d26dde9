"""Prove each rung, then time it, and put the time beside what this machine can do.

A rung is proved twice. On small whole numbers, where any order of summation is exact, it must give the same numbers as
a float64 convolution. On the layer's real numbers no output may be further off than rounding in any order can explain:

    |out - exact| <= g * (sum of |weight * x| + |bias| + |residual|)    g = n*u / (1 - n*u), u = 2^-24, n = K + 2

(Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.1; K products are summed for an output).
Winograd's algorithm computes other sums: its rounding is bounded by the largest of these times what its matrices can
amplify (`amplification`). An activation multiplies an error by its slope at most; one that does arithmetic, unlike
ReLU, rounds a few times itself (`activation_rounding`). A rung that fails shows no time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from npresnet.bench import machine
from npresnet.bench.peak import gemm_peak_gflops
from npresnet.bench.results import header
from npresnet.bench.timing import median, time_calls
from npresnet.cpu.runtime.blas import guard
from npresnet.network import Array
from npresnet.ops.conv2d import conv2d
from npresnet.system.settings import quiet
from npresnet.teach.ladder.layer import RealLayer
from npresnet.teach.ladder.rungs import Ceiling, Rung, cpu_rungs

UNIT_ROUNDOFF = 2.0**-24  # of float32
ACTIVATION_ROUNDOFFS = 8  # of an activation's own arithmetic: an exponential, a division, a product or two


@dataclass(frozen=True)
class Step:
    """One rung's result.

    status      "equal", or why it shows no time
    computed    the part of the layer that was computed; the time is that of the whole, extrapolated if this is below 1
    error       RMS of (out - float64) over RMS of float64
    ms          median; gflops counts 2 FLOPs for each multiply-add of the direct sum, whatever the algorithm
    note        why it is no faster than the rung before, if it is not
    code        what computes it, as text
    """

    name: str
    idea: str
    lines: int
    device: str
    status: str
    computed: float
    error: float | None = None
    ms: float | None = None
    gflops: float | None = None
    of_peak: float | None = None
    gb_per_s: float | None = None
    of_bandwidth: float | None = None
    note: str = ""
    code: str = ""


@dataclass(frozen=True)
class Ladder:
    """A layer's climb, and the machine's two ceilings, on one thread."""

    model: str
    layer: str
    image: str
    shape: Mapping[str, Any]
    macs: int
    size_bytes: int
    gemm_peak_gflops: float
    bandwidth_gb_per_s: float
    steps: list[Step] = field(default_factory=list)
    blas: list[dict[str, str]] = field(default_factory=list)
    command: str = "npresnet ladder"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the heading that all results files have; a figure is rounded to five digits.

        Without the code, which is the page's.
        """
        fields = {name: value for name, value in asdict(self).items() if name not in ("blas", "command")}
        steps = [{name: _rounded(value) for name, value in step.items()} for step in fields.pop("steps")]
        for step in steps:
            del step["code"]
        ceilings = {name: _rounded(fields.pop(name)) for name in ("gemm_peak_gflops", "bandwidth_gb_per_s")}
        return {**header("ladder", self.command, threads=1), **fields, **ceilings, "blas": self.blas, "steps": steps}


@quiet
def climb(
    layer: RealLayer,
    *,
    model: str,
    image: str,
    command: str = "npresnet ladder",
    seconds: float = 0.3,
    say: Callable[[str], None] = lambda text: None,
    rungs: Sequence[Rung] | None = None,
) -> Ladder:
    """Prove and time every rung on this layer, about `seconds` each, BLAS held to one thread."""
    call = object()
    try:
        guard.hold(call)
        ceiling = Ceiling(gemm_peak_gflops(), copy_bandwidth_gb_per_s())
        rungs = cpu_rungs() if rungs is None else rungs
        steps: list[Step] = []
        for rung in rungs:
            say(f"{rung.name}: {rung.idea}")
            timed = _timed(_proved(rung, layer), rung, layer, seconds, ceiling)
            steps.append(replace(timed, note=_note(timed, steps, rung, layer), code=rung.code(layer)))
    finally:
        guard.release(call)
    told = (model, layer.name, image, _shape(layer), layer.macs, layer.size_bytes)
    return Ladder(*told, *ceiling, steps, machine.blas_libraries(), command)


def copy_bandwidth_gb_per_s(megabytes: int = 128, calls: int = 5) -> float:
    """Bytes read and written a second by a copy far larger than the caches, on one thread."""
    source = np.ones(megabytes * 250_000, np.float32)
    target = np.zeros_like(source)
    times_ms = time_calls(lambda: np.copyto(target, source), seconds=0, min_calls=calls)
    return 2 * source.nbytes / min(times_ms) / 1e6


def _rounded(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _proved(rung: Rung, layer: RealLayer) -> Step:
    """The rung's Step, without a time."""
    out = np.array(rung.prepare(layer)())
    expected = layer.activated(_sums(layer, out))
    error = float(np.sqrt(np.mean((out - expected) ** 2) / np.mean(expected**2))) if expected.any() else 0.0
    computed = out.size / prod(layer.out_shape)
    return Step(rung.name, rung.idea, rung.lines, rung.device, _status(rung, layer, out, expected), computed, error)


def _status(rung: Rung, layer: RealLayer, out: Array, expected: Array) -> str:
    """ "equal", or what is wrong."""
    whole = layer.with_whole_numbers()
    found = np.array((rung.exact or rung.prepare)(whole)())
    sums = _sums(whole, found)
    right = whole.activated(sums) if rung.rounded is None else rung.rounded(whole.activated(sums))
    wrong = _count_apart(found, right, activation_rounding(whole, sums, rung.rounding))
    if wrong:
        return f"not equal: {wrong} of {found.size} whole numbers are wrong"
    bound = steepness(layer) * _rounding_bound(layer, out, rung.rounding)
    if rung.amplification > 1:
        bound = np.full_like(bound, rung.amplification * bound.max())
    off = _count_apart(out, expected, bound + activation_rounding(layer, _sums(layer, out), rung.rounding))
    return f"not equal: {off} of {out.size} numbers are further off than rounding explains" if off else "equal"


def _count_apart(found: Array, right: Array, bound: Array | float) -> int:
    """How many numbers are further from the right one than `bound`; NaN is."""
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return int((~((found == right) | (np.abs(found - right) <= bound))).sum())


def steepness(layer: RealLayer) -> float:
    """By how much the layer's activation can enlarge an error: its steepest slope, 1 at least."""
    x = np.arange(-16, 16, 2.0**-8)
    return max(1.0, float(np.abs(np.diff(layer.activated(x)) / np.diff(x)).max()))


def activation_rounding(layer: RealLayer, sums: Array, stored: float = 0.0) -> Array | float:
    """How far off the activation's own rounding can bring each result; 0 where it is exact on whole numbers, as ReLU.

    sums    float64, what it is applied to
    stored  the unit roundoff of sums and results, where they are kept in fewer digits than float32's
    """
    whole = np.rint(sums)
    if np.array_equal(layer.activated(whole.astype(np.float32)), layer.activated(whole)):
        return 0.0
    bound: Array = ACTIVATION_ROUNDOFFS * max(UNIT_ROUNDOFF, stored) * np.maximum(np.abs(sums), 1)
    return bound


def _rounding_bound(layer: RealLayer, out: Array, stored: float) -> Array:
    """How far off rounding can bring each number before the activation, whatever the order of summation.

    stored  the unit roundoff of inputs, weights and result, where they are kept in fewer digits than float32's: each
            product is off by two of these, the result by a third
    """
    n = prod(layer.weight.shape[1:]) + 2
    in_sums = n * UNIT_ROUNDOFF / (1 - n * UNIT_ROUNDOFF)
    bound: Array = (in_sums + 3 * stored * (1 + stored)) * _sums(layer, out, np.abs)
    return bound


def _timed(step: Step, rung: Rung, layer: RealLayer, seconds: float, ceiling: Ceiling) -> Step:
    if step.status != "equal":
        return step
    if rung.clock is not None:
        ms = rung.clock(layer)
    else:
        few = 1 if step.computed < 1 else 3
        ms = median(time_calls(rung.prepare(layer), seconds=seconds, min_calls=few)) / step.computed
    limit, gflops, gb_per_s = rung.ceiling or ceiling, 2 * layer.macs / ms / 1e6, layer.size_bytes / ms / 1e6
    of_peak, of_bandwidth = _share(gflops, limit.gflops), _share(gb_per_s, limit.gb_per_s)
    return replace(step, ms=ms, gflops=gflops, gb_per_s=gb_per_s, of_peak=of_peak, of_bandwidth=of_bandwidth)


def _note(step: Step, before: Sequence[Step], rung: Rung, layer: RealLayer) -> str:
    """Why the step is no faster than the last one on its device that has a time; "" if it is faster."""
    earlier = [other for other in before if other.ms is not None and other.device == step.device]
    if step.ms is None or not earlier or step.ms < (earlier[-1].ms or 0.0):
        return ""
    return f"Not faster here than {earlier[-1].name}. {rung.why_not(layer)}"


def _share(rate: float, limit: float) -> float | None:
    return rate / limit if limit else None


def _sums(layer: RealLayer, out: Array, of: Callable[[Array], Array] = lambda array: array) -> Array:
    """What stands before the activation, in float64, of the channels and rows that `out` has.

    of  is done to all the layer's numbers first
    """

    def wide(array: Array) -> Array:
        return of(array.astype(np.float64))

    sums = conv2d(
        wide(layer.x),
        wide(layer.weight),
        wide(layer.bias),
        stride=layer.window.stride,
        padding=layer.window.padding,
        dilation=layer.window.dilation,
        groups=layer.node.groups,
    )
    sums = sums if layer.residual is None else sums + wide(layer.residual)
    return sums[:, : out.shape[1], : out.shape[2]]


def _shape(layer: RealLayer) -> dict[str, Any]:
    window = layer.window
    return {
        "x": list(layer.x.shape),
        "weight": list(layer.weight.shape),
        "out": list(layer.out_shape),
        "stride": list(window.stride),
        "padding": list(window.padding),
        "dilation": list(window.dilation),
        "groups": layer.node.groups,
        "residual": layer.residual is not None,
        "activation": layer.node.activation,
    }
