"""ArrayModel: a network on arrays; the lowest of the three classes that Model is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from npresnet import images
from npresnet.config import Config
from npresnet.errors import ArchitectureError
from npresnet.model.decisions import input_size as default_size
from npresnet.model.executables import Executables, module_names
from npresnet.model.inputs import as_batch
from npresnet.model.metadata import Source
from npresnet.model.sources import sources_of
from npresnet.network import Network
from npresnet.system.mapped_file import files_of
from npresnet.system.settings import quiet
from npresnet.system.stamp import Identity

if TYPE_CHECKING:
    from npresnet.plan.executable import Executable

Array = NDArray[Any]


class ArrayModel:
    """Arrays to arrays: all that a model holds, and what its network computes of inputs that are preprocessed already.

    network, config, labels   see `Model`
    preprocess                None if no way is known from images to this network's input
    tensors, source           the checkpoint, for `save`
    content                   the weight file's identity, for prepared weights
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

    def close(self) -> None:
        """Free memory and threads; running calls complete, later ones raise DeviceError."""
        self._executables.close()

    @quiet
    def _run(self, modules: tuple[str, ...] | None, x: Any) -> dict[str, Array]:
        """The outputs of `modules` (None: of the network) for a batch x."""
        executable = self._executables.get(modules)
        return executable(as_batch(x, self._channels, self.network.nodes[0], executable.as_array, self._sources.axes))
