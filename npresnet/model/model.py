"""Model: a network with its weights, preprocessing and labels, and a backend that runs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from npresnet import images, weights
from npresnet.config import Config
from npresnet.errors import ArchitectureError, ImageError
from npresnet.images.wrapped import path_of
from npresnet.model.decisions import input_size as default_size
from npresnet.model.executables import Executables, module_names
from npresnet.model.inputs import (
    as_batch,
    as_count,
    listed,
    named_error,
    npz_path,
    require_preprocess,
)
from npresnet.model.metadata import Source, to_metadata
from npresnet.model.prediction import Prediction
from npresnet.model.sources import sources_of
from npresnet.network import Network
from npresnet.system.mapped_file import files_of
from npresnet.system.settings import quiet
from npresnet.system.stamp import Identity
from npresnet.system.text import visible

if TYPE_CHECKING:
    from npresnet.model.evaluation import Evaluation
    from npresnet.model.on_gpu import OnGpu
    from npresnet.model.rows import Row
    from npresnet.model.sources import OneImage
    from npresnet.plan.executable import Executable

Array = NDArray[Any]
Outcome = Prediction | ImageError


class Model:
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

    def __init__(
        self,
        network: Network,
        config: Config,
        preprocess: images.Preprocess | None,
        labels: Sequence[str] | None,
        tensors: Mapping[str, Array],
        source: Source,
        content: Identity | None = None,
    ):
        self.network = network
        self.config = config
        self.labels = None if labels is None else list(labels)
        self._preprocess = preprocess
        self._tensors = tensors
        self._source = source
        self._threads: int = config["threads"].value
        self._channels: int = config.value("in_channels", 3)
        self._sources = sources_of(network.takes_clips)
        self._scores: str = config.value("scores", "softmax")
        self._executables = Executables(
            network,
            self._threads,
            device=config["device"].value,
            dtype=config["dtype"].value,
            winograd=config.value("winograd", True),
            fast=config.value("fast", False),
            content=content,
            files=files_of(tensors.values()),
        )
        self._on_gpu = self._open_on_gpu()

    # --- images in -------------------------------------------------------------------------------------------------

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
        if self._sources.is_one(images):
            if self._on_gpu is not None:
                row = self._on_gpu.row(images, top=self._ranked(top_k), bgr=bgr)
                return row.prediction(self.labels, top_k, self._scores)
            start = perf_counter()
            logits = self(self._read(images, bgr))[0]
            return Prediction(logits, self.labels, top_k, (perf_counter() - start) * 1e3, self._scores, path_of(images))
        predictions = []
        for position, (source, result) in enumerate(self._predictions(images, top_k, batch_size, bgr)):
            if isinstance(result, ImageError):
                raise named_error(result, source, position, self._sources.word)
            predictions.append(result)
        return predictions

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
        from npresnet.model.rows import each_read

        inputs = list(each_read(images, partial(self._read, bgr=bgr), self._threads, self._sources.word))
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
        images = listed(images)
        if self._sources.is_one(images):
            if self._on_gpu is not None:
                return np.asarray(self._on_gpu.row(images, pooled=True, bgr=bgr).values)
            return np.asarray(self._pooled(self._read(images, bgr))[0])
        rows = []
        for position, row in enumerate(self._rows(images, batch_size, pooled=True, bgr=bgr)):
            if row.values is None:
                assert row.item.error is not None
                raise named_error(row.item.error, row.item.source, position, self._sources.word)
            rows.append(row.values)
        return np.stack(rows) if rows else self._pooled(self._no_inputs())

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
        from npresnet.model.evaluation import evaluate

        return evaluate(self, self._predictions, source, classes, batch_size, progress)

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
        from npresnet.model.rows import each_read

        inputs = each_read(images, partial(self._read, bgr=bgr), self._threads, self._sources.word)
        return [maps.of(x, index) for x in inputs]

    # --- arrays in -------------------------------------------------------------------------------------------------

    def __call__(self, x: Any) -> Array:
        """Run the network on preprocessed images.

        Parameters
        ----------
        x : array
            (N, C, H, W) float32, already normalised, of a network for clips (N, C, T, H, W); float64 and float16 are
            cast. Any strides; never modified. On a GPU also CuPy arrays and other GPU arrays by DLPack; then the result
            is a CuPy array.

        Returns
        -------
        array
            The logits (N, num_classes) float32, or the embedding (N, D) if there is no classifier; owned by the caller.
            NaN in an image affects only that image's result.

        Raises
        ------
        ShapeError
            Another number of axes or channels, or integers, complex numbers and objects.

        Examples
        --------
        >>> model = npresnet.load("demo")
        >>> model(model.preprocess("cat.jpg")).shape
        (1, 10)
        """
        (result,) = self._run(None, x).values()
        return result

    def features(self, x: Any, names: Iterable[str]) -> dict[str, Array]:
        """The outputs of modules inside the network, as torchvision's forward hooks return them.

        Parameters
        ----------
        x : array
            (N, C, H, W) as for `model(x)`.
        names : iterable of str
            Names of torchvision's modules, such as "layer3", "layer1.0.conv2", "avgpool"; the last output of a module
            that runs several times (a block's "relu").

        Returns
        -------
        dict
            {name: (N, ...) float32}. The first call with new names compiles that part of the network; the most recent
            ones are cached.

        Raises
        ------
        ArchitectureError
            Unknown names.

        Examples
        --------
        >>> model = npresnet.load("demo")
        >>> model.features(model.preprocess("cat.jpg"), ["layer2"])["layer2"].shape
        (1, 32, 16, 16)
        """
        wanted = module_names(names)
        return self._run(wanted, x) if wanted else {}

    def summary(self, input_size: Sequence[int] | None = None, batch_size: int = -1) -> str:
        """The table of the `torchsummary` package.

        Parameters
        ----------
        input_size : tuple of int, optional
            (C, H, W) or (C, T, H, W), by default the model's.
        batch_size : int
            Shown as the first axis of shapes, and counted in the sizes; -1 is one image.

        Returns
        -------
        str
        """
        from npresnet.views.summary import summary

        shape = default_size(self.config, self._preprocess) if input_size is None else input_size
        return summary(self.network, shape, batch_size)

    def executable(self, modules: Iterable[str] | None = None) -> Executable:
        """The compiled network that `model(x)` runs, on either device: its steps, memory layout and timings.

        It is owned by the model: do not close it. See `npresnet.plan.executable.Executable`.

        Parameters
        ----------
        modules : iterable of str, optional
            Names as for `features`, at least one: the part of the network that computes them.

        Returns
        -------
        Executable

        Raises
        ------
        ArchitectureError
            Unknown names.
        """
        wanted = None if modules is None else module_names(modules)
        if wanted == ():
            raise ArchitectureError("expected at least one name of a module, such as 'layer3', got none")
        return self._executables.get(wanted)

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

    # --- life ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Free memory and threads; running calls complete, later ones raise DeviceError."""
        self._executables.close()

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
            f"{value('device')}{chosen}, {threads if self._on_gpu is None else value('dtype')}, "
            f"from {visible(self._source.name)}{closed}>"
        )

    # --- inside ----------------------------------------------------------------------------------------------------

    @quiet
    def _run(self, modules: tuple[str, ...] | None, x: Any) -> dict[str, Array]:
        """The outputs of `modules` (None: of the network) for a batch x."""
        executable = self._executables.get(modules)
        return executable(as_batch(x, self._channels, self.network.nodes[0], executable.as_array, self._sources.axes))

    def _pooled(self, x: Array) -> Array:
        """(N, D): the classifier's input."""
        from npresnet.views.cam import find_pooled

        (result,) = self._run((find_pooled(self.network),), x).values()
        return result

    def _open_on_gpu(self) -> OnGpu | None:
        if self.config["device"].value == "cpu" or self.network.takes_clips:
            return None
        from npresnet.model.on_gpu import OnGpu

        limit = self.config.value("max_pixels")
        return OnGpu(self._executables, self.network, self._preprocess, self._channels, self._threads, limit)

    def _predictions(
        self, sources: Iterable[Any], top_k: int, batch_size: int, bgr: bool
    ) -> Iterator[tuple[Any, Outcome]]:
        for row in self._rows(sources, batch_size, top=self._ranked(top_k), bgr=bgr):
            yield row.item.source, row.item.error or row.prediction(self.labels, top_k, self._scores)

    def _ranked(self, top_k: int) -> int | None:
        """How many classes a GPU ranks: its kernel computes a softmax; sigmoids are the host's."""
        return top_k if self._scores == "softmax" else None

    def _rows(
        self,
        sources: Iterable[Any],
        batch_size: int,
        *,
        top: int | None = None,
        pooled: bool = False,
        bgr: bool = False,
    ) -> Iterator[Row]:
        """For each source its row: logits, of which a GPU ranks the best `top`; or the classifier's input."""
        size = as_count(batch_size, "batch_size")
        if self._on_gpu is not None:
            return self._on_gpu.rows(sources, size, top=top, pooled=pooled, bgr=bgr)
        from npresnet.model.rows import rows_on_cpu

        read = partial(self._read, bgr=bgr)
        return rows_on_cpu(sources, read, self._pooled if pooled else self, size, self._threads)

    def _read(self, source: Any, bgr: bool) -> Array:
        """The network's input for one image or clip, (1, C, H, W) float32. Raises ImageError, ShapeError."""
        how = require_preprocess(self._preprocess, self._channels)
        source = self._sources.in_rgb_order(source) if bgr else source
        return self._sources.preprocess(source, how, self.config.value("max_pixels"))

    def _no_inputs(self) -> Array:
        return np.zeros((0, *default_size(self.config, self._preprocess)), np.float32)

    def _require_classifier(self) -> None:
        if not self.config.value("num_classes"):
            raise ArchitectureError(
                "this network has no classifier, so it cannot predict; use model.embed(image), or `npresnet embed`"
            )
