"""Model: a network with its weights, preprocessing and labels, and a backend that runs it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from npresnet import images, weights
from npresnet.config import Config
from npresnet.errors import ArchitectureError, ImageError
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
    from npresnet.model.on_gpu import OnGpu
    from npresnet.model.rows import Row
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

    @overload
    def predict(self, images: list[Any], *, top: int = 5, batch_size: int = 32) -> list[Prediction]: ...
    @overload
    def predict(self, images: Any, *, top: int = 5, batch_size: int = 32) -> Any: ...
    def predict(self, images: Any, *, top: int = 5, batch_size: int = 32) -> Any:
        """Classify images.

        Parameters
        ----------
        images
            One image: a path, bytes, a file object, a PIL image, or an array (H, W, 3) uint8 (or float in 0..1); or a
            list or any other iterable of such images, also a column of a table. Of a network for clips one clip: a
            folder of frames, a list of images or an array (T, H, W, 3); or a list or iterable of such clips.
        top : int
            Number of candidates in `Prediction.top`.
        batch_size : int
            Number of images of an iterable that are read and run together; does not affect the predictions (except the
            last digits on a GPU, and of a model loaded with fast=True).

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
                return self._on_gpu.row(images, top=self._ranked(top_k)).prediction(self.labels, top_k, self._scores)
            start = perf_counter()
            logits = self(self.preprocess(images))[0]
            return Prediction(logits, self.labels, top_k, (perf_counter() - start) * 1e3, self._scores)
        predictions = []
        for position, (source, result) in enumerate(self._predictions(images, top_k, batch_size)):
            if isinstance(result, ImageError):
                raise named_error(result, source, position, self._sources.word)
            predictions.append(result)
        return predictions

    def stream(
        self, paths: Any, *, top: int = 5, batch_size: int = 32
    ) -> Iterator[tuple[Any, Prediction | ImageError]]:
        """Classify images lazily, for folders too large for memory.

        Two batches are in memory, and a third one while a batch is stacked. An iterable is consumed one batch ahead (on
        a GPU two); if it raises, the results of its earlier images are yielded first.

        Parameters
        ----------
        paths
            A folder, a glob, or any iterable of images that `predict` accepts; folders in it are expanded. Of a network
            for clips an iterable of clips, where a folder is one.
        top, batch_size : int
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
        paths = listed(paths)
        return self._predictions(self._sources.several(paths), as_count(top, "top"), as_count(batch_size, "batch_size"))

    def preprocess(self, image: Any) -> Array:
        """The network's input for an image, as computed by torchvision's transforms.

        Parameters
        ----------
        image
            A path, bytes, a file object, a PIL image, or (H, W, 3) uint8; or a clip.

        Returns
        -------
        array
            (1, 3, H, W) float32; (1, 3, T, H, W) of a clip.

        Raises
        ------
        ImageError
            The image cannot be read.
        ShapeError
            Preprocessing yields a different number of channels than the network expects.
        """
        how = require_preprocess(self._preprocess, self._channels)
        return self._sources.preprocess(image, how, self.config.value("max_pixels"))

    def embed(self, images: Any, *, batch_size: int = 32) -> Array:
        """The pooled features before the classifier.

        Parameters
        ----------
        images
            As for `predict`.
        batch_size : int
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
                return np.asarray(self._on_gpu.row(images, pooled=True).values)
            return np.asarray(self._pooled(self.preprocess(images))[0])
        rows = []
        for position, row in enumerate(self._rows(images, batch_size, pooled=True)):
            if row.values is None:
                assert row.item.error is not None
                raise named_error(row.item.error, row.item.source, position, self._sources.word)
            rows.append(row.values)
        if not rows:
            return self._pooled(np.zeros((0, *default_size(self.config, self._preprocess)), np.float32))
        return np.stack(rows)

    @quiet
    def cam(self, image: Any, index: int | None = None) -> Array:
        """The class activation map of a class: exact, needs no gradient, see `npresnet.views.cam`.

        Parameters
        ----------
        image
            As for `preprocess`.
        index : int, optional
            The class; by default the best. Where one logit decides between two classes, the map of class 0 is that of
            class 1 with its sign changed.

        Returns
        -------
        array
            (H, W) float32 in 0..1; H and W are those of the preprocessed image.

        Raises
        ------
        ArchitectureError
            For clips, and unless the network ends in global average pooling and linear layers alone.
        """
        from npresnet.views.cam import activation_map, class_weight, find_head

        pooled, layers = find_head(self.network)
        x = self.preprocess(image)
        result = self._run((pooled, layers[-1].name), x)
        features, logits = result[pooled][0], result[layers[-1].name][0]  # (C, h, w), (num_classes,)
        prediction = Prediction(logits, self.labels, 1, scores=self._scores)
        chosen = prediction.index if index is None else as_count(index, "a class index", least=0)
        if chosen >= len(prediction.probabilities):
            raise ArchitectureError(
                f"class index {chosen} is out of range: expected 0 to {len(prediction.probabilities) - 1}"
            )
        if len(prediction.probabilities) == len(logits):
            weight = class_weight(layers, chosen)
        else:  # one logit: what speaks for class 1 speaks against class 0
            weight = class_weight(layers, 0) * (1 if chosen else -1)
        return activation_map(features, weight, *x.shape[2:])

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

    def _predictions(self, sources: Iterable[Any], top_k: int, batch_size: int) -> Iterator[tuple[Any, Outcome]]:
        for row in self._rows(sources, batch_size, top=self._ranked(top_k)):
            yield row.item.source, row.item.error or row.prediction(self.labels, top_k, self._scores)

    def _ranked(self, top_k: int) -> int | None:
        """How many classes a GPU ranks: its kernel computes a softmax; sigmoids are the host's."""
        return top_k if self._scores == "softmax" else None

    def _rows(
        self, sources: Iterable[Any], batch_size: int, *, top: int | None = None, pooled: bool = False
    ) -> Iterator[Row]:
        """For each source its row: logits, of which a GPU ranks the best `top`; or the classifier's input."""
        size = as_count(batch_size, "batch_size")
        if self._on_gpu is not None:
            return self._on_gpu.rows(sources, size, top=top, pooled=pooled)
        from npresnet.model.rows import rows_on_cpu

        return rows_on_cpu(sources, self.preprocess, self._pooled if pooled else self, size, self._threads)

    def _require_classifier(self) -> None:
        if not self.config.value("num_classes"):
            raise ArchitectureError(
                "this network has no classifier, so it cannot predict; use model.embed(image), or `npresnet embed`"
            )
