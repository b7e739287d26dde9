"""The model's figures as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.gpu.model import Row
from npresnet.bench.table import Table
from npresnet.cuda.compiler.choices import Processor
from npresnet.cuda.compiler.cost import H200, WGMMA, Card

Key = tuple[str, str, int]  # network, dtype, batch


def statement(card: Card, gpu: Processor, results: Path | None) -> str:
    """What these figures are, and of which GPU."""
    scaled = "" if card.name == H200.name else f" The constants are those of an {H200.name}, scaled."
    origin = f" What {results.name} has measured replaces the constants." if results else ""
    usable = [rate for name, rate in card.tflops.items() if gpu.capability == 90 or not name.startswith(WGMMA)]
    rates = (
        f"DRAM {card.dram_tbs:.3g} TB/s ({card.copy_tbs:.3g} for floors), L2 {card.l2_tbs:.3g} TB/s, shared memory "
        f"{card.shared_bytes_per_clock:.3g} bytes a clock, {card.clock_ghz:.4g} GHz, {card.gap_us:.3g} us between "
        f"nodes ({card.pdl_gap_us:.3g} by pdl), "
        f"{max(usable):.4g} TFLOP/s at most"
    )
    return (
        f"# Model of {gpu}\n\nThese are figures of a model: predicted, not measured. Real kernels reach less "
        f"than such a model; a first version perhaps 0.8 of it.{scaled}{origin}\n\n{rates}."
    )


def layers(rows: Sequence[Row], whole: Row, *, steps: bool) -> Table:
    """Per step, or per group of steps, what is executed, what limits it, and the floor: bytes and FLOPs at the peak."""
    lines, has_measured = [], any(row.measured_us is not None for row in rows)
    for row in [*rows, whole]:
        name = row.name if row.layers == 1 or row is whole else f"{row.name} ({row.layers})"
        counts = [str(row.tiles or ""), str(row.rounds or "")] if steps and row is not whole else ["", ""]
        numbers = [f"{row.dram_bytes / 1e6:,.1f}", f"{row.flops / 1e9:,.1f}"]
        times = [f"{row.us:,.1f}", f"{row.floor_us:,.1f}", *([_us(row.measured_us)] if has_measured else [])]
        kernels, limits = ("", "") if row is whole else (", ".join(row.kernels), ", ".join(row.limits))
        lines.append([name, kernels, str(row.launches), *(counts if steps else []), *numbers, limits, *times])
    counted = ["tiles", "rounds"] if steps else []
    header = ["layers", "kernel and tile", "launches", *counted, "DRAM MB", "GFLOP", "limit", "us", "floor us"]
    limit = len(header) - 3
    return Table([*header, *(["measured us"] if has_measured else [])], lines, texts=(0, 1, limit))


def networks(totals: Mapping[Key, Row]) -> Table:
    """A row a network and dtype, a column a batch."""
    batches = list(dict.fromkeys(batch for _, _, batch in totals))
    lines = [
        [name, dtype, *(_rate(totals[name, dtype, batch], batch) for batch in batches)]
        for name, dtype in dict.fromkeys((name, dtype) for name, dtype, _ in totals)
    ]
    return Table(["network", "dtype", *(f"batch {batch}" for batch in batches)], lines, texts=(0, 1))


def segments(apart: Row, whole: Row, images: int) -> Table:
    """A network by a kernel for each operation, and as it is run: steps S1 and S2 of the plan."""
    ways = {"a kernel for each operation": apart, "fused segments where they are faster": whole}
    lines = [[way, str(row.launches), f"{row.us:,.1f}", f"{1e6 * images / row.us:,.0f}"] for way, row in ways.items()]
    return Table(["the network by", "launches", "us", "images/s"], lines)


def beside(totals: Mapping[Key, Row], measured_ms: Mapping[Key, float]) -> Table:
    """Where there is a measurement: predicted over measured time; 0.8 is what a first version may reach."""
    lines = [
        [f"{key[0]} {key[1]} batch {key[2]}", f"{row.us:,.1f}", f"{1e3 * ms:,.1f}", f"{row.us / (1e3 * ms):.2f}"]
        for key, row in totals.items()
        if (ms := measured_ms.get(key)) is not None
    ]
    return Table(["case", "predicted us", "measured us", "predicted / measured"], lines)


def nodes(totals: Mapping[Key, Row], card: Card) -> Table:
    """Of one image: every launch is a node, and between two there is a gap; what it would be by pdl stands beside."""
    gaps = (card.gap_us, card.pdl_gap_us)
    lines = [
        [f"{name} {dtype}", str(row.launches), *(f"{gap * row.launches:.0f}" for gap in gaps), f"{row.us:.0f}"]
        for (name, dtype, batch), row in totals.items()
        if batch == 1
    ]
    return Table(["batch 1", "nodes", "gaps us", "gaps us by pdl", "predicted us"], lines)


def _us(measured_us: float | None) -> str:
    return "" if measured_us is None else f"{measured_us:,.1f}"


def _rate(row: Row, batch: int) -> str:
    return f"{1e6 * batch / row.us:,.0f} ({row.us:,.0f})"
