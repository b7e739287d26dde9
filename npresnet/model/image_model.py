"""ImageModel: from images to arrays; the middle one of the three classes that Model is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from npresnet.errors import ImageError
from npresnet.model.array_model import ArrayModel
from npresnet.model.decisions import input_size
from npresnet.model.inputs import as_count, listed, require_preprocess
from npresnet.system.settings import quiet

if TYPE_CHECKING:
    from npresnet.model.on_cpu import OnCpu
    from npresnet.model.on_gpu import OnGpu
    from npresnet.model.rows import Row
    from npresnet.model.sources import OneImage

Array = NDArray[Any]


class ImageModel(ArrayModel):
    """Images to arrays: what an image source is for the network, and what the network makes of it.

    An image source is read to the network's input (`_read`), run on the device, and comes back as a `Row` (`_rows`). To
    a GPU its pixels go as they are.
    """

    @quiet
    def preprocess(self, images: Any, *, bgr: bool = False) -> Array:
        """The network's input for images, as computed by torchvision's transforms.

        Parameters
        ----------
        images, bgr
            As for `predict`: one image, or several; or clips.

        Returns
        -------
        array
            (1, 3, H, W) float32 of one image, (N, 3, H, W) of several; (N, 3, T, H, W) of clips.

        Raises
        ------
        ImageError
            An image cannot be read, or several still differ in size.
        ShapeError
            Preprocessing yields a different number of channels than the network expects.
        """
        images = listed(images)
        if self._sources.is_one(images):
            return self._read(images, bgr)
        inputs = list(self._each_read(images, bgr))
        sizes = dict.fromkeys(x.shape[1:] for x in inputs)
        if len(sizes) > 1:
            raise ImageError(
                f"the inputs of several images must have one size to be one array, but theirs are {list(sizes)[:4]}; "
                "give a crop in `preprocess` at load, or preprocess them one by one"
            )
        return np.concatenate(inputs) if inputs else self._no_inputs()

    def embed(self, images: Any, *, batch_size: int = 32, bgr: bool = False) -> Array:
        """The pooled features before the classifier.

        Parameters
        ----------
        images, batch_size, bgr
            As for `predict`.

        Returns
        -------
        array
            (D,) float32 for one image, (N, D) for an iterable of N.

        Examples
        --------
        >>> npresnet.load("demo").embed("cat.jpg").shape
        (64,)
        """
        batch_size, images = as_count(batch_size, "batch_size"), listed(images)
        if self._sources.is_one(images):
            return self._on_device().row(images, pooled=True, bgr=bgr).result
        rows = [row.result for row in self._readable_rows(images, batch_size, pooled=True, bgr=bgr)]
        return np.stack(rows) if rows else self._pooled(self._no_inputs())

    @overload
    def cam(  # type: ignore[overload-overlap]
        self, images: OneImage, index: int | None = None, *, bgr: bool = False
    ) -> Array: ...
    @overload
    def cam(self, images: Iterable[Any], index: int | None = None, *, bgr: bool = False) -> list[Array]: ...
    @overload
    def cam(self, images: Any, index: int | None = None, *, bgr: bool = False) -> Any: ...
    @quiet
    def cam(self, images: Any, index: int | None = None, *, bgr: bool = False) -> Any:
        """The class activation map of a class: exact, needs no gradient, see `npresnet.views.cam`.

        Parameters
        ----------
        images
            As for `predict`: one image, or several.
        index : int, optional
            The class; by default the best. Where one logit decides between two classes, the map of class 0 is that of
            class 1 with its sign changed.
        bgr : bool
            As for `predict`.

        Returns
        -------
        array or list of array
            (H, W) float32 in 0..1; H and W are those of the preprocessed image. A list of them for several images.

        Raises
        ------
        ArchitectureError
            For clips, and unless the network ends in global average pooling and linear layers alone.
        """
        from npresnet.model.maps import ClassMaps

        maps = ClassMaps(self.network, self._run, self.labels, self._scores)
        images = listed(images)
        if self._sources.is_one(images):
            return maps.of(self._read(images, bgr), index)
        return [maps.of(x, index) for x in self._each_read(images, bgr)]

    # --- inside ----------------------------------------------------------------------------------------------------

    def _read(self, source: Any, bgr: bool) -> Array:
        """The network's input for one image or clip, (1, C, H, W) float32. Raises ImageError, ShapeError."""
        how = require_preprocess(self._preprocess, self._channels)
        source = self._sources.in_rgb_order(source) if bgr else source
        return self._sources.preprocess(source, how, self.config.value("max_pixels"))

    def _each_read(self, sources: Iterable[Any], bgr: bool) -> Iterator[Array]:
        """The same for several, read ahead. Raises the first one's ImageError, which names its position."""
        from npresnet.model.rows import each_read

        return each_read(sources, partial(self._read, bgr=bgr), self._threads, self._sources.word)

    def _on_device(self) -> OnCpu | OnGpu:
        """What takes image sources to rows. Made for each call: it may hold this model, which must not hold it."""
        if self.config["device"].value == "cpu" or self.network.takes_clips:
            from npresnet.model.on_cpu import OnCpu

            return OnCpu(self._read, self, self._pooled, self._threads)
        from npresnet.model.on_gpu import OnGpu

        limit = self.config.value("max_pixels")
        return OnGpu(self._executables, self.network, self._preprocess, self._channels, self._threads, limit)

    def _rows(
        self, sources: Iterable[Any], batch_size: int, *, top: int | None = None, pooled: bool = False, bgr: bool
    ) -> Iterator[Row]:
        """For each source its row: logits, of which a GPU ranks the best `top`; or the classifier's input."""
        return self._on_device().rows(sources, as_count(batch_size, "batch_size"), top=top, pooled=pooled, bgr=bgr)

    def _readable_rows(self, sources: Iterable[Any], batch_size: int, **how: Any) -> Iterator[Row]:
        """The same, raising the first ImageError, which names its position."""
        from npresnet.model.rows import readable

        return readable(self._rows(sources, batch_size, **how), self._sources.word)

    def _pooled(self, x: Array) -> Array:
        """(N, D): the classifier's input."""
        from npresnet.views.cam import find_pooled

        (result,) = self._run((find_pooled(self.network),), x).values()
        return result

    def _no_inputs(self) -> Array:
        return np.zeros((0, *input_size(self.config, self._preprocess)), np.float32)
