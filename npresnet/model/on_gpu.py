"""Images through a GPU as pixels: decoded, resized and cropped by threads, normalised and ranked there.

While one batch is computed the next one is uploaded, and the one after is decoded. Pixels are a quarter of the bytes of
the network's input.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from npresnet import cuda, images
from npresnet.cuda.executable import chunks
from npresnet.errors import NpresnetError
from npresnet.images.arrays import in_rgb_order
from npresnet.model.batches import Item, batches, group_by_shape, read_one
from npresnet.model.executables import Executables
from npresnet.model.inputs import require_preprocess
from npresnet.model.rows import Row
from npresnet.network import Network

if TYPE_CHECKING:
    from npresnet.cuda.pending import Outcome, Pending

Array = NDArray[Any]
Submit = Callable[[Sequence[Array]], "Pending"]  # n pictures (H, W, C) uint8 of one shape


class OnGpu:
    """What a model on a GPU does with image sources.

    preprocess, channels  what is known of its images; a mismatch is told when the first one is read
    threads               that decode
    max_pixels            of a picture, None: the usual limits
    """

    def __init__(
        self,
        executables: Executables,
        network: Network,
        preprocess: images.Preprocess | None,
        channels: int,
        threads: int,
        max_pixels: int | None = None,
    ):
        self._executables = executables
        self._network = network
        self._preprocess = preprocess
        self._channels = channels
        self._threads = threads
        self._max_pixels = max_pixels

    def row(self, source: Any, *, top: int | None = None, pooled: bool = False, bgr: bool = False) -> Row:
        """As `rows`, of one image. Raises the ImageError of one that cannot be read."""
        item = read_one(source, partial(self._read, bgr=bgr))
        (row,) = _submitted([item], self._submit(top, pooled))
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
        """A row for each source: logits, of which the best `top` are ranked; or, pooled, the classifier's input.

        bgr  the sources are arrays with their channels in the order blue, green, red

        Errors come at their image's position. Where the consumer stops early, the readers' threads end; batches on
        their way end by themselves, in the pipeline's own memory.
        """
        submit = self._submit(top, pooled)
        read = partial(self._read, bgr=bgr)
        with closing(batches(sources, read, batch_size, self._threads, in_background=True)) as ready:
            for rows in _one_ahead(ready, submit):
                yield from rows

    def _read(self, source: Any, bgr: bool) -> Array:
        """(H, W, C) uint8."""
        how = require_preprocess(self._preprocess, self._channels)
        source = in_rgb_order(source) if bgr else source
        return images.pixels(source, how, max_pixels=self._max_pixels)

    def _submit(self, top: int | None, pooled: bool) -> Submit:
        from npresnet.views.cam import find_pooled

        modules = (find_pooled(self._network),) if pooled else None

        def submit(pictures: Sequence[Array]) -> Pending:
            how = require_preprocess(self._preprocess, self._channels)
            return self._executables.pipeline(modules, cuda.Normalisation(how.mean, how.std)).submit(pictures, top)

        return submit


def _one_ahead(ready: Iterator[list[Item]], submit: Submit) -> Iterator[Iterator[Row]]:
    """Submit each batch before the results of the one before are waited for.

    An error of reading or submitting comes after the results of what was submitted.
    """
    submitted: deque[Iterator[Row]] = deque()
    failure: Exception | None = None
    try:
        for batch in ready:
            submitted.append(_submitted(batch, submit))
            del batch  # its images have been copied
            if len(submitted) > 1:
                yield submitted.popleft()
    except Exception as error:
        failure = error
    while submitted:
        yield submitted.popleft()
    if failure is not None:
        raise failure


def _submitted(batch: list[Item], submit: Submit) -> Iterator[Row]:
    """Submit at once; the rows wait for the results."""
    on_their_way: list[tuple[list[int], Pending]] = []
    for positions, pictures in group_by_shape(batch):
        for first, chunk in chunks(pictures):
            on_their_way.append((positions[first : first + len(chunk)], submit(chunk)))
    return _rows([item._replace(x=None) for item in batch], on_their_way)


def _rows(items: list[Item], on_their_way: Sequence[tuple[list[int], Pending]]) -> Iterator[Row]:
    found: dict[int, Row | NpresnetError] = {}
    for positions, pending in on_their_way:
        try:
            outcome = pending.result()
        except NpresnetError as error:
            found.update(dict.fromkeys(positions, error))
        else:
            found.update((position, _row(items[position], outcome, n)) for n, position in enumerate(positions))
    for position, item in enumerate(items):
        row = found.get(position, Row(item))
        if isinstance(row, NpresnetError):
            raise row
        yield row


def _row(item: Item, outcome: Outcome, n: int) -> Row:
    """Image n of a batch."""
    images = len(outcome.values)
    shares = {name: part / images for name, part in outcome.times._asdict().items()}
    ranking = None if outcome.ranking is None else (outcome.ranking[0][n], outcome.ranking[1][n])
    return Row(item, outcome.values[n], {"decoding": item.elapsed_ms, **shares}, ranking)
