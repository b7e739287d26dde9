"""Rows: the network's result for each image source, in order, as one batch after the other is computed on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import perf_counter
from types import MappingProxyType
from typing import Any, NamedTuple

from numpy.typing import NDArray

from npresnet.errors import DeviceError
from npresnet.images.wrapped import path_of
from npresnet.model.batches import Item, Read, batches, stack_by_shape
from npresnet.model.inputs import named_error
from npresnet.model.prediction import Prediction, Ranking

Array = NDArray[Any]
Run = Callable[[Array], Array]  # (n, C, H, W) float32 -> one row per image


class Row(NamedTuple):
    """One image.

    item      without its x
    values    (D,) float32; None: the image could not be read, and `item.error` says why
    parts_ms  where the time went: reading the image, and its share of its batch's run
    ranking   what a GPU makes of logits: see `prediction.Ranking`
    """

    item: Item
    values: Array | None = None
    parts_ms: Mapping[str, float] = MappingProxyType({})
    ranking: Ranking | None = None

    def prediction(self, labels: Sequence[str] | None, top_k: int, scores: str) -> Prediction:
        """Of an image that could be read."""
        assert self.values is not None
        source = path_of(self.item.source)
        return Prediction.of(self.values, labels, top_k, self.parts_ms, self.ranking, scores, source)


def each_read(sources: Iterable[Any], read: Read, threads: int, word: str) -> Iterator[Array]:
    """What `read` gives for each source, in order, read ahead. Raises the first ImageError, with its position.

    word  what one of the sources is
    """
    items = (item for batch in batches(sources, read, 2 * threads, threads) for item in batch)
    for position, item in enumerate(items):
        if item.x is None:
            assert item.error is not None
            raise named_error(item.error, item.source, position, word)
        yield item.x


def rows_on_cpu(sources: Iterable[Any], read: Read, run: Run, batch_size: int, threads: int) -> Iterator[Row]:
    """`read` gives (1, C, H, W) float32. An error of `run` comes at its batch's position."""
    for batch in batches(sources, read, batch_size, threads):
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
