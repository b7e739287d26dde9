"""A small network of whole numbers whose logits are exact in every precision: stem, pools, two blocks, classifier.

Filters have one or two numbers that are not zero, so that no value needs more than bfloat16's 8 bits: images are -1, 0
or 1; values behind the stem are at most 2, then 4, 6 and, where two branches meet, 12; a mean of 16 of those is a
multiple of 1/16 below 16. Logits are sums of such multiples, exact in float32.

It is run as a call runs it, and as `predict` does: batches of pixels on their way at once, with softmax and top-k.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.stages import Case, Finding
from npresnet import cuda, ops, passes
from npresnet.cuda import ELEMENTS, Normalisation
from npresnet.network import INPUT, Array, Network, Node
from npresnet.window import Window

SIZE, CLASSES = 32, 40
BATCHES = (1, 5, 64)  # the classifier has a kernel for few images and others for many
PIXELS = Normalisation((0.5, 0.0, 1.0), (0.5, 1.0, 1.0))  # 0 and 255 become -1 and 1, 0 and 1, -1 and 0
IN_A_ROW, TOP = 3, 5  # batches of pixels, one more than there is memory for; best classes


def cases(bench: Bench) -> Iterator[Case]:
    """Every precision at every batch, from images and from pixels."""
    for images in [2] if bench.emulated else BATCHES:
        for dtype in bench.dtypes(ELEMENTS):
            yield Case(f"a network, batch {images} {dtype}", functools.partial(_compare, bench, images, dtype))
            pixels = functools.partial(_compare_pixels, bench, images, dtype)
            yield Case(f"a network of pixels, batch {images} {dtype}", pixels)


def _compare(bench: Bench, images: int, dtype: str) -> Finding:
    x = np.random.default_rng(images).integers(-1, 2, (images, 3, SIZE, SIZE)).astype(np.float32)
    executable = cuda.compile(passes.optimize(network()), bench.gpu, ELEMENTS[dtype])
    found = executable(x)["logits"]
    executable.close()
    problem = _difference(found, ops.run(network(), x.astype(np.float64))["logits"])
    return {"problem": problem} if problem else {"result": "exact"}


def _compare_pixels(bench: Bench, images: int, dtype: str) -> Finding:
    pixels = np.random.default_rng(images).integers(0, 2, (IN_A_ROW, images, SIZE, SIZE, 3)).astype(np.uint8) * 255
    weights = cuda.Weights(bench.gpu)
    pipeline = cuda.Pipeline(passes.optimize(network()), bench.gpu, ELEMENTS[dtype], weights, PIXELS)
    outcomes = [pending.result() for pending in [pipeline.submit(batch, top=TOP) for batch in pixels]]
    pipeline.close()
    for number, (batch, (found, ranking, _)) in enumerate(zip(pixels, outcomes, strict=True)):
        x = ((batch / 255.0 - PIXELS.mean) / PIXELS.std).transpose(0, 3, 1, 2)
        exact = ops.run(network(), x)["logits"]
        problem = _difference(found, exact) or _misranked(ranking, exact)
        if problem:
            return {"problem": f"batch {number} of {IN_A_ROW}: {problem}"}
    return {"result": "exact"}


def _difference(found: Array, exact: Array) -> str:
    """ "" where all logits are equal."""
    wrong = ~(found == exact)  # NaN is wrong too
    if not wrong.any():
        return ""
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    count = f"{int(wrong.sum())} of {wrong.size} logits differ"
    return f"{count}, the first [n, class] = {list(first)}: {found[first]:g}, expected {exact[first]:g}"


def _misranked(ranking: tuple[Array, Array] | None, exact: Array) -> str:
    """ "" where these are the probabilities, to a few float32 roundings, and the best classes of exact logits."""
    assert ranking is not None
    probabilities, best = ranking
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    if not np.allclose(probabilities, powers / powers.sum(axis=1, keepdims=True), rtol=1e-6, atol=1e-12):
        return "the logits are right, their probabilities are not"
    highest = -np.sort(-exact, axis=1)[:, :TOP]
    is_best = (best >= 0).all() and (best < CLASSES).all() and (np.take_along_axis(exact, best, 1) == highest).all()
    return "" if is_best else f"the logits are right, the {TOP} best classes are not"


@functools.cache
def network() -> Network:
    """32x32 images -> stem 16x16 -> max pool 8x8 -> a block -> a block at half the size, 4x4 -> mean -> classes."""
    rng = np.random.default_rng(0)

    def conv(name: str, x: str, filters: tuple[int, ...], window: Window, used: int, *, relu: bool = True) -> Node:
        activation = "relu" if relu else None
        return Node(name, "conv2d", (x,), window, params={"weight": _sparse(rng, filters, used)}, activation=activation)

    classifier = {"weight": rng.integers(-3, 4, (CLASSES, 128)), "bias": rng.integers(-3, 4, CLASSES)}
    nodes = (
        conv("stem", INPUT, (64, 3, 7, 7), Window.of(7, 2, 3), 2),
        Node("pool", "max_pool2d", ("stem",), Window.of(3, 2, 1)),
        conv("conv1", "pool", (64, 64, 3, 3), Window.of(3, 1, 1), 2),
        conv("conv2", "conv1", (64, 64, 1, 1), Window.of(1), 1, relu=False),
        Node("sum", "add", ("conv2", "pool"), activation="relu"),
        conv("conv3", "sum", (128, 64, 3, 3), Window.of(3, 2, 1), 1, relu=False),
        conv("shortcut", "sum", (128, 64, 1, 1), Window.of(1, 2), 1, relu=False),
        Node("sum2", "add", ("conv3", "shortcut"), activation="relu"),
        Node("mean", "global_avg_pool", ("sum2",)),
        Node("flat", "flatten", ("mean",)),
        Node("fc", "linear", ("flat",), params={name: array.astype(np.float32) for name, array in classifier.items()}),
    )
    return Network(nodes, {"logits": "fc"})


def _sparse(rng: np.random.Generator, shape: tuple[int, ...], used: int) -> Array:
    """Filters with `used` numbers of 1 or -1 each, at places of their own."""
    filters = np.zeros((shape[0], int(np.prod(shape[1:]))), np.float32)
    for row in filters:
        row[rng.choice(len(row), used, replace=False)] = rng.choice([-1, 1], used)
    return filters.reshape(shape)
