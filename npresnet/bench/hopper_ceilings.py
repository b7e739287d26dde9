"""Ceilings that only a Hopper has, measured: kernels/ceilings, each of which does one thing.

    copies    by the copy engine, from L2 to the multiprocessors
    products  of wgmma, of operands that stay in shared memory, alone and beside copies into it
    nodes     of a graph, one after the other and overlapping

All `time_` functions return plain JSON, as those of `gpu_ceilings`; and {"problem": ...} without any rate where what a
kernel computed is not what it should be: all are of whole numbers, and exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from npresnet.bench.gpu_timer import GpuTimer
from npresnet.cuda import ELEMENTS
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.launchers.vectors import source_for
from npresnet.cuda.runtime import tensor_map
from npresnet.cuda.runtime.gpu import Buffer
from npresnet.cuda.runtime.tensor_map import SLAB_BYTES
from npresnet.network import Array
from npresnet.window import Window

HOPPER = 90
HALF = ELEMENTS["float16"]
SLAB = tensor_map.slab(HALF)

# kernels/ceilings/copies.cu
WINDOWS = {"tile": Window.of(1), "im2col": Window.of(3)}  # no padding: all of it comes from L2
OUT_SIZE = (16, 8)  # an image is a tile
COPY_THREADS, COPY_STAGES, BOX_ROWS = 128, 8, 128
CHANNELS = 128
TILES = 2  # of a block: 132 blocks read at most 12 MB, a quarter of an H200's L2
SLABS, EMULATED_SLABS = 1024, 40  # of a block, about: 16 KB each

# kernels/ceilings/products.cu
COLUMNS = (64, 128, 256)
PRODUCT_THREADS, PRODUCT_ROWS, PRODUCT_STAGES, COPIED_ROWS = 384, 128, 6, 64
STEPS, EMULATED_STEPS = 4096, 8  # of 64 columns; of more as many fewer
OTHER_ROWS = 1 << 16  # 8 MB

# kernels/ceilings/node.cu
NODES, EMULATED_NODES = 1000, 4


def time_copies(timer: GpuTimer, blocks: int) -> dict[str, Any]:
    """TB/s that so many blocks together, one a multiprocessor, get from L2: by boxes of a matrix, and of im2col."""
    racers, sources, sizes, kept = [], [], {}, {}
    for name, window in WINDOWS.items():
        shape = copied_shape(window, TILES * blocks, CHANNELS)
        x = np.random.default_rng(0).integers(0, 1 << 16, shape[:4]).astype(np.uint16)
        sources.append(_upload(timer, x, "what is copied"))
        passes = -(-(EMULATED_SLABS if timer.emulated else SLABS) * SLAB // (TILES * shape.K))
        y = timer.gpu.allocate(4 * blocks * COPY_THREADS, "sums of what was copied")
        launch = copies(shape, passes, blocks, x=sources[-1].address, y=y.address)
        racers.append(timer.replayed(name, timer.gpu.bind([launch])))
        sizes[name] = passes * shape.M * shape.K * HALF.item_bytes
        kept[name] = y, last_sums(x, window, passes, blocks)
    times = timer.race(racers)
    for name, (y, expected) in kept.items():
        found = _download(timer, y, np.uint32).reshape(blocks, COPY_THREADS).sum(axis=1, dtype=np.uint32)
        if wrong := int((found != expected).sum()):
            return {"problem": f"{name}: {wrong} of {blocks} blocks have copied something else"}
    return {"unit": "TB/s", "blocks": blocks, "bytes": sizes, "times": times, "rates": _rates(times, sizes)}


def copied_shape(window: Window, images: int, channels: int) -> ConvShape:
    """A convolution whose outputs are of OUT_SIZE."""
    height, width = (out + extent - 1 for out, extent in zip(OUT_SIZE, window.extent, strict=True))
    return ConvShape(images, height, width, channels, SLAB, window)


def copies(shape: ConvShape, passes: int, blocks: int, *, x: int, y: int) -> Launch:
    """All slabs of x's im2col matrix, `passes` times; y: uint32 sums, (blocks, COPY_THREADS).

    blocks  divides the number of tiles, of BOX_ROWS positions; positions fill them, channels fill slabs
    """
    if shape.M % (BOX_ROWS * blocks) or shape.in_channels % SLAB or passes < 1:
        raise ValueError(f"{shape} is not {blocks} blocks' equal share of tiles, {passes} times")
    kind = "tile" if shape.window.is_pointwise else "im2col"
    whole = tensor_map.im2col(x, HALF, shape, BOX_ROWS)
    boxes = tensor_map.tile(x, HALF, shape.M, shape.K, BOX_ROWS) if kind == "tile" else whole
    args = (boxes, np.uint64(y), shape.struct(), np.int32(passes))
    shared_bytes = COPY_STAGES * (BOX_ROWS * SLAB_BYTES + 8)
    source = source_for("ceilings/copies.cu", HALF)
    return Launch(source, f"copies_{kind}", (blocks, 1, 1), (COPY_THREADS, 1, 1), args, shared_bytes)


def last_sums(x: Array, window: Window, passes: int, blocks: int) -> Array:
    """What each block of `copies` has in its stages at the end, summed as uint32; x (N, H, W, C): `copied_shape`."""
    (kh, kw), (oh, ow) = window.kernel_size, OUT_SIZE
    sums = np.zeros(blocks, np.uint32)
    for block in range(blocks):
        slabs = [
            (n, r, s, c)
            for number in range(max(0, passes - COPY_STAGES), passes)
            for n in range((block + number) % blocks, len(x), blocks)
            for r in range(kh)
            for s in range(kw)
            for c in range(0, x.shape[3], SLAB)
        ]
        boxes = [x[n, r : r + oh, s : s + ow, c : c + SLAB] for n, r, s, c in slabs[-COPY_STAGES:]]
        sums[block] = np.stack(boxes).view(np.uint32).sum(dtype=np.uint32)
    return sums


def time_products(timer: GpuTimer, blocks: int) -> dict[str, Any]:
    """TFLOP/s of wgmma by its columns, in so many blocks; and TB/s of shared memory, read or written by copies."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-7, 8, (rows, SLAB)).astype(np.float16) for rows in (PRODUCT_ROWS, max(COLUMNS)))
    other = rng.integers(0, 1 << 16, (OTHER_ROWS, SLAB)).astype(np.uint16)
    held = {name: _upload(timer, array, "operands") for name, array in (("a", a), ("b", b), ("other", other))}
    addresses = {name: buffer.address for name, buffer in held.items()}
    racers, flops, moved, kept = [], {}, {}, {}
    for columns in COLUMNS:
        steps = (EMULATED_STEPS if timer.emulated else STEPS) * COLUMNS[0] // columns
        for with_copies in (False, True):
            name = f"N = {columns}{' and copies' if with_copies else ''}"
            y = timer.gpu.allocate(4 * blocks * PRODUCT_ROWS * columns, "products")
            launch = products(columns, steps, blocks, with_copies=with_copies, y=y.address, **addresses)
            racers.append(timer.replayed(name, timer.gpu.bind([launch])))
            flops[name] = 2 * blocks * steps * PRODUCT_ROWS * columns * SLAB
            rows = PRODUCT_ROWS + PRODUCT_ROWS // 64 * columns + (COPIED_ROWS if with_copies else 0)
            moved[name] = blocks * steps * rows * SLAB_BYTES
            kept[name] = y, steps * (a.astype(np.float32) @ b[:columns].astype(np.float32).T)
    times = timer.race(racers)
    for name, (y, expected) in kept.items():
        found = _download(timer, y, np.float32).reshape(blocks, *expected.shape)
        if wrong := int((found != expected).sum()):
            return {"problem": f"{name}: {wrong} of {found.size} sums are wrong"}
    rates, shared_tbs = (_rates(times, work) for work in (flops, moved))
    return {"unit": "TFLOP/s", "flops": flops, "times": times, "rates": rates, "shared_tbs": shared_tbs}


def products(columns: int, steps: int, blocks: int, *, with_copies: bool, a: int, b: int, other: int, y: int) -> Launch:
    """y[block] (PRODUCT_ROWS, columns) = steps * a (PRODUCT_ROWS, SLAB) * b (columns, SLAB) transposed, in float32.

    with_copies  COPIED_ROWS of `other` (OTHER_ROWS, SLAB) come into shared memory in each step
    """
    maps = (
        tensor_map.tile(a, HALF, PRODUCT_ROWS, SLAB, PRODUCT_ROWS),
        tensor_map.tile(b, HALF, columns, SLAB, columns),
        tensor_map.tile(other, HALF, OTHER_ROWS, SLAB, COPIED_ROWS),
    )
    args = (*maps, np.uint64(y), np.int32(OTHER_ROWS), np.int32(steps))
    boxes = PRODUCT_ROWS + columns + PRODUCT_STAGES * COPIED_ROWS
    shared_bytes = boxes * SLAB_BYTES + 8 * (1 + 2 * PRODUCT_STAGES)
    kernel = f"products_{columns}{'_copies' if with_copies else ''}"
    source = source_for("ceilings/products.cu", HALF)
    return Launch(source, kernel, (blocks, 1, 1), (PRODUCT_THREADS, 1, 1), args, shared_bytes)


def time_nodes(timer: GpuTimer) -> dict[str, Any]:
    """Microseconds of a node of a graph of NODES launches that add 1, plain and by programmatic dependent launch."""
    nodes = EMULATED_NODES if timer.emulated else NODES
    counters = {name: timer.gpu.allocate(4, "a counter") for name in ("plain", "pdl")}
    racers = {}
    for name, counter in counters.items():
        calls = timer.gpu.bind([node(counter.address, pdl=name == "pdl")])
        racers[name] = timer.replayed(name, calls * nodes, copies=1)
    times = timer.race(list(racers.values()))
    for name, counter in counters.items():
        with timer.gpu.active():
            timer.gpu.fill(counter.address, 0, 4, timer.stream)
        racers[name].time_ms(1)
        if (count := int(_download(timer, counter, np.uint32)[0])) != nodes:
            return {"problem": f"{name}: a chain of {nodes} nodes has counted to {count}"}
    rates = {name: float(f"{1e3 * time['ms'] / nodes:.4g}") for name, time in times.items() if "ms" in time}
    return {"unit": "us a node", "nodes": nodes, "times": times, "rates": rates}


def node(x: int, *, pdl: bool) -> Launch:
    """x[0] += 1."""
    return Launch(Source("ceilings/node.cu"), "node", (1, 1, 1), (32, 1, 1), (np.uint64(x),), pdl=pdl)


def _upload(timer: GpuTimer, array: Array, purpose: str) -> Buffer:
    buffer = timer.gpu.allocate(array.nbytes, purpose)
    with timer.gpu.active():
        timer.gpu.upload(buffer.address, array, timer.stream)
        timer.stream.synchronize()
    return buffer


def _download(timer: GpuTimer, buffer: Buffer, dtype: type[np.generic]) -> Array:
    array = np.empty(buffer.size_bytes // np.dtype(dtype).itemsize, dtype)
    with timer.gpu.active():
        timer.gpu.download(array, buffer.address, timer.stream)
        timer.stream.synchronize()
    return array


def _rates(times: Mapping[str, Mapping[str, float]], work: Mapping[str, int]) -> dict[str, float]:
    """Bytes or FLOPs a second, in units of 1e12."""
    return {name: float(f"{work[name] / time['ms'] / 1e9:.4g}") for name, time in times.items() if "ms" in time}
