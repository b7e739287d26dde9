"""Rows: the network's result for each image source, whichever device computed it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from numpy.typing import NDArray

from npresnet.images.wrapped import path_of
from npresnet.model.batches import Item, Read, batches
from npresnet.model.inputs import named_error
from npresnet.model.prediction import Prediction, Ranking

Array = NDArray[Any]


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

    @property
    def result(self) -> Array:
        """The values of an image that could be read."""
        assert self.values is not None
        return self.values

    def prediction(self, labels: Sequence[str] | None, top_k: int, scores: str) -> Prediction:
        """Of an image that could be read."""
        source = path_of(self.item.source)
        return Prediction.of(self.result, labels, top_k, self.parts_ms, self.ranking, scores, source)


def readable(rows: Iterable[Row], word: str) -> Iterator[Row]:
    """The same rows. Raises the first ImageError, with its position.

    word  what one of the sources is
    """
    for position, row in enumerate(rows):
        if row.item.error is not None:
            raise named_error(row.item.error, row.item.source, position, word)
        yield row


def each_read(sources: Iterable[Any], read: Read, threads: int, word: str) -> Iterator[Array]:
    """What `read` gives for each source, in order, read ahead; the rest as `readable`."""
    items = (item for batch in batches(sources, read, 2 * threads, threads) for item in batch)
    for position, item in enumerate(items):
        if item.x is None:
            assert item.error is not None
            raise named_error(item.error, item.source, position, word)
        yield item.x
