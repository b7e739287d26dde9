"""Images through the CPU: while one batch is computed, the next one is read and preprocessed by threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from npresnet.errors import DeviceError
from npresnet.model.batches import Item, batches, read_one, stack_by_shape
from npresnet.model.rows import Row

Array = NDArray[Any]
Run = Callable[[Array], Array]  # (n, C, H, W) float32 -> one row per image


class OnCpu:
    """What a model on the CPU does with image sources; `OnGpu` has the same methods.

    read     an image source, and whether its channels are in the order blue, green, red -> (1, C, H, W) float32
    run      the network: logits
    pooled   the network up to the classifier's input
    threads  that read
    """

    def __init__(self, read: Callable[[Any, bool], Array], run: Run, pooled: Run, threads: int):
        self._read = read
        self._run = run
        self._pooled = pooled
        self._threads = threads

    def row(self, source: Any, *, top: int | None = None, pooled: bool = False, bgr: bool = False) -> Row:
        """As `rows`, of one image. Raises the ImageError of one that cannot be read."""
        item = read_one(source, lambda image: self._read(image, bgr))
        (row,) = _computed([item], self._pooled if pooled else self._run)
        return row

    def rows(
        self,
        sources: Iterable[Any],
        batch_size: int,
        *,
        top: int | None = None,
        pooled: bool = False,
        bgr: bool = False,
    ) -> Iterator[Row]:
        """A row for each source: logits; or, pooled, the classifier's input. An error of the run comes at its batch.

        top  ignored: a prediction ranks its logits when it is asked
        """
        run = self._pooled if pooled else self._run
        for batch in batches(sources, lambda image: self._read(image, bgr), batch_size, self._threads):
            rows = _computed(batch, run)
            del batch  # its inputs are freed as soon as they are stacked
            yield from rows


def _computed(batch: list[Item], run: Run) -> Iterator[Row]:
    rows: dict[int, Array] = {}
    start = perf_counter()
    try:
        stacks = stack_by_shape(batch)
    except MemoryError:
        raise DeviceError(
            f"a batch of {len(batch)} images needs more memory than there is; use a smaller batch_size"
        ) from None
    batch = [item._replace(x=None) for item in batch]  # the stacks have copies
    while stacks:
        positions, x = stacks.pop()
        rows.update(zip(positions, run(x), strict=True))
        del x  # before the next batch is read
    run_ms = (perf_counter() - start) * 1e3 / max(1, len(rows))
    for position, item in enumerate(batch):
        yield Row(item, rows.get(position), {"decoding": item.elapsed_ms, "computing": run_ms})
