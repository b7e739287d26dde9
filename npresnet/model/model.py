"""Model: images to predictions, over `ImageModel` (images to arrays) and `ArrayModel` (arrays to arrays)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

from npresnet import weights
from npresnet.errors import ArchitectureError, ImageError
from npresnet.model.image_model import ImageModel
from npresnet.model.inputs import as_count, listed, npz_path
from npresnet.model.metadata import to_metadata
from npresnet.model.prediction import Prediction
from npresnet.system.settings import quiet
from npresnet.system.text import visible

if TYPE_CHECKING:
    from npresnet.model.evaluation import Evaluation
    from npresnet.model.rows import Row
    from npresnet.model.sources import OneImage

Outcome = Prediction | ImageError


class Model(ImageModel):
    """A network that is ready to run. Created by `load` and `build`; may be called from several threads concurrently.

    A model is a context manager. `close()`, or deleting the last reference, frees its memory and threads.

    Attributes
    ----------
    config : Config
        All decisions made at load, with their origins: file, inferred, default, caller.
    labels : list of str or None
        The names of the classes; None if unknown, then classes are named by index.
    network : Network
        The nodes, named as in the checkpoint, with unfolded weights.
    """

    @overload  # str is an iterable of str, too: the first that fits counts
    def predict(  # type: ignore[overload-overlap]
        self, images: OneImage, *, top: int = 5, batch_size: int = 32, bgr: bool = False
    ) -> Prediction: ...
    @overload
    def predict(
        self, images: Iterable[Any], *, top: int = 5, batch_size: int = 32, bgr: bool = False
    ) -> list[Prediction]: ...
    @overload
    def predict(self, images: Any, *, top: int = 5, batch_size: int = 32, bgr: bool = False) -> Any: ...
    def predict(self, images: Any, *, top: int = 5, batch_size: int = 32, bgr: bool = False) -> Any:
        """Classify images.

        Parameters
        ----------
        images
            One image: a path, bytes, a file object, a PIL image, an array (H, W, 3) uint8 (or float in 0..1), or
            Hugging Face's `{"bytes": ..., "path": ...}`; or a list or any other iterable of such images, also a column
            of a table (pandas, polars, pyarrow, NumPy). Of a network for clips one clip: a folder of frames, a list of
            images or an array (T, H, W, 3); or a list or iterable of such clips.
        top : int
            Number of candidates in `Prediction.top`.
        batch_size : int
            Number of images of an iterable that are read and run together; does not affect the predictions (except the
            last digits on a GPU, and of a model loaded with fast=True).
        bgr : bool
            The images are arrays with their channels in the order blue, green, red, as OpenCV reads them. What the
            network itself expects is a decision of `load`.

        Returns
        -------
        Prediction or list of Prediction
            One for one image, a list in order for several.

        Raises
        ------
        ImageError
            An image cannot be read, or holds NaN.
        ArchitectureError
            The network has no classifier.

        Examples
        --------
        >>> model = npresnet.load("demo")
        >>> [prediction.label for prediction in model.predict(["cat.jpg", np.zeros((32, 32, 3), np.uint8)], top=1)][0]
        'cat'
        """
        self._require_classifier()
        top_k, images = as_count(top, "top"), listed(images)
        batch_size = as_count(batch_size, "batch_size")  # also of one image, where it is not needed
        if self._sources.is_one(images):
            return self._prediction(self._on_device().row(images, top=self._ranked(top_k), bgr=bgr), top_k)
        rows = self._readable_rows(images, batch_size, top=self._ranked(top_k), bgr=bgr)
        return [self._prediction(row, top_k) for row in rows]

    def stream(
        self, paths: Any, *, top: int = 5, batch_size: int = 32, bgr: bool = False
    ) -> Iterator[tuple[Any, Prediction | ImageError]]:
        """Classify images lazily, for folders too large for memory.

        Two batches are in memory, and a third one while a batch is stacked. An iterable is consumed one batch ahead (on
        a GPU two); if it raises, the results of its earlier images are yielded first.

        Parameters
        ----------
        paths
            A folder, a glob, or any iterable of images that `predict` accepts; folders in it are expanded. Of a network
            for clips an iterable of clips, where a folder is one.
        top, batch_size, bgr
            As for `predict`.

        Yields
        ------
        tuple
            (path, Prediction), or (path, ImageError) for an image that cannot be read; the others go on.

        Examples
        --------
        >>> for path, result in npresnet.load("demo").stream(["cat.jpg", "missing.jpg"]):
        ...     print(path, type(result).__name__)
        cat.jpg Prediction
        missing.jpg ImageError
        """
        self._require_classifier()
        sources, top_k = self._sources.several(listed(paths)), as_count(top, "top")
        return self._predictions(sources, top_k, as_count(batch_size, "batch_size"), bgr)

    def evaluate(
        self,
        source: Any,
        *,
        classes: str | os.PathLike[str] | Mapping[Any, Any] | None = None,
        batch_size: int = 32,
        progress: Callable[[int], Any] | None = None,
    ) -> Evaluation:
        """How often the model is right on labelled images: top-1, top-5, each class, the confusion matrix.

        Images that cannot be read are counted in `Evaluation.errors` and named.

        Parameters
        ----------
        source : path or iterable
            A folder with a folder a class, as torchvision's ImageFolder reads it; the path of a CSV of path,label; or
            an iterable of pairs (image, label), the image as for `predict`, the label a number or a name. Streamed:
            paths are held, pictures are not.
        classes : str, dict or path, optional
            Which name is which class, see `npresnet.model.class_matching`: "names", "sorted", "index", a dict
            `{name: label or number}` or its JSON or CSV file; by default the model's labels.
        batch_size : int
            As for `predict`.
        progress : callable, optional
            Called with 1 after each image.

        Returns
        -------
        Evaluation

        Raises
        ------
        ArchitectureError
            Names and labels do not match; the message shows both lists.
        ImageError
            There are no labelled images.
        """
        from npresnet.model.evaluating import evaluate

        return evaluate(self, self._predictions, source, classes, batch_size, progress)

    @quiet
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an `.npz` with the original tensors and all decisions, from which `load` recreates this model.

        Parameters
        ----------
        path : path
            Replaced atomically.

        Raises
        ------
        CheckpointError
            The file cannot be written, or the weight file of this model was written into.
        """
        self._executables.check_files()
        weights.write_npz(
            npz_path(path), self._tensors, to_metadata(self.config, self._preprocess, self.labels, self._source)
        )

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Models can be pickled and copied; a copy has its own memory and threads."""
        parts = (self.network, self.config, self._preprocess, self.labels, dict(self._tensors), self._source)
        return Model, parts

    def __repr__(self) -> str:
        from npresnet.views.summary import parameter_count

        value = self.config.value
        head = f"{value('num_classes')} classes" if value("num_classes") else "no classifier"
        chosen = " (chosen by auto)" if self.config["device"].origin == "inferred" else ""
        closed = ", closed" if self._executables.closed else ""
        threads = f"{self._threads} thread{'s' * (self._threads > 1)}"
        return (
            f"<npresnet.Model {value('arch')}: {head}, {parameter_count(self.network) / 1e6:.2f} M parameters, "
            f"{value('device')}{chosen}, {threads if value('device') == 'cpu' else value('dtype')}, "
            f"from {visible(self._source.name)}{closed}>"
        )

    # --- inside ----------------------------------------------------------------------------------------------------

    def _predictions(
        self, sources: Iterable[Any], top_k: int, batch_size: int, bgr: bool
    ) -> Iterator[tuple[Any, Outcome]]:
        for row in self._rows(sources, batch_size, top=self._ranked(top_k), bgr=bgr):
            yield row.item.source, row.item.error or self._prediction(row, top_k)

    def _prediction(self, row: Row, top_k: int) -> Prediction:
        return row.prediction(self.labels, top_k, self._scores)

    def _ranked(self, top_k: int) -> int | None:
        """How many classes a GPU ranks: its kernel computes a softmax; sigmoids are the host's."""
        return top_k if self._scores == "softmax" else None

    def _require_classifier(self) -> None:
        if not self.config.value("num_classes"):
            raise ArchitectureError(
                "this network has no classifier, so it cannot predict; use model.embed(image), or `npresnet embed`"
            )
