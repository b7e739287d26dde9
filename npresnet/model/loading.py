"""From a weight file or a name to a Model: `load`, `build`, `convert`.

Each decision is the caller's, else the file's own, else inferred from names and shapes, else a documented default; who
made it stands in `model.config`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from npresnet import arch as architectures
from npresnet import weights
from npresnet.config import Config, Decision, Origin
from npresnet.errors import ArchitectureError, CheckpointError, DeviceError, NpresnetError
from npresnet.images import Preprocess
from npresnet.model.decisions import Asked, Labels, decide_labels, decide_preprocess, decide_runtime, input_size
from npresnet.model.inputs import npz_path, path_text
from npresnet.model.metadata import Source, Stored, from_metadata, to_metadata
from npresnet.model.model import Model
from npresnet.network import Array, Network

if TYPE_CHECKING:
    from npresnet.weights.names import Weights

DEMO = Path(__file__).parent.parent / "data" / "cifar10-resnet20.npz"
DEMO_NAMES = ("demo", "cifar10-resnet20")
SUFFIXES = (".npz", ".pth", ".pt", ".th", ".pkl", ".safetensors", ".bin", ".ckpt", ".tar")

StrPath = str | os.PathLike[str]


class Loaded(NamedTuple):
    """A weight file, understood: everything that does not depend on where it will run."""

    network: Network
    config: Config
    preprocess: Preprocess | None
    labels: list[str] | None
    tensors: Mapping[str, Array]
    source: Source
    content: str = ""  # the weight file's identity, "" where there is none

    @property
    def input_size(self) -> tuple[int, int, int]:
        """(C, H, W) of a preprocessed image; 224 where preprocessing keeps each image's own size."""
        return input_size(self.config, self.preprocess)

    def metadata(self) -> dict[str, Any]:
        return to_metadata(self.config, self.preprocess, self.labels, self.source)

    def model(self, runtime: Mapping[str, Decision]) -> Model:
        config = self.config.with_decisions(**runtime)
        return Model(self.network, config, self.preprocess, self.labels, self.tensors, self.source, self.content)


def load(
    source: StrPath,
    *,
    device: str = "cpu",
    dtype: Any = "float32",
    arch: str | None = None,
    labels: Labels = None,
    preprocess: Asked = None,
    threads: int | None = None,
    fast: bool = False,
    winograd: bool = True,
    **options: Any,
) -> Model:
    """Make a model from a weight file, or from a name.

    source      a file of any kind that `read_state_dict` reads; "demo", the ten-class model that comes with npresnet;
                or a name such as "resnet18" or "resnet50.IMAGENET1K_V2", whose weights are downloaded once to the
                user's cache. A file of that name wins
    device      "cpu"; "cuda" or "cuda:1" for an NVIDIA GPU (needs CuPy: pip install 'npresnet[cuda12]'); or "auto",
                which takes a GPU if one works, else the CPU, and says in `model.config` which and why
    dtype       "float32"; on a GPU also "tf32", "float16" and "bfloat16", which multiply on tensor cores: faster, with
                fewer digits. Sums are float32 always
    arch        the architecture you expect; it must agree with the tensors
    labels      names of the classes: a list, a text or JSON file, "imagenet" or "cifar10"
    preprocess  "V1", "V2", "cifar10", a Preprocess, or a dict of those of its fields that are to change
    threads     by default the CPUs that this process may use
    fast        by default an image's result has the same bits whatever the batch it is in, its place there, and the
                number of threads. True gives up the first two: BLAS may take the images of a batch together even where
                that changes their last bits
    winograd    False computes 3x3 convolutions by the direct sum: slower, with a few times less rounding error in those
                layers. Either way a network's error stays within twice that of PyTorch's float32
    options     what tensors cannot tell, named as torchvision's ResNet constructor names it
                (`replace_stride_with_dilation=[False, True, True]`), plus `stride_on="1x1"` or `"3x3"`

    A weight file is mapped: while the model is in use, put a new file in its place rather than write into it.

    Raises CheckpointError for what cannot be read or fetched, ArchitectureError for what is no ResNet that npresnet
    knows and for options that do not fit, DeviceError for a device that is not there.
    """
    runtime = decide_runtime(device, dtype, threads, fast=fast, winograd=winograd)
    return understand(find_file(source), arch, labels, preprocess, options).model(runtime)


def build(
    name: str,
    *,
    num_classes: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    dtype: Any = "float32",
    labels: Labels = None,
    preprocess: Asked = None,
    threads: int | None = None,
    fast: bool = False,
    winograd: bool = True,
    **options: Any,
) -> Model:
    """Make a model with random weights, initialised as torchvision does it; `list_archs()` has the names.

    The same seed gives the same weights with the same version of NumPy. Other arguments are those of `load`;
    `zero_init_residual=True` starts each block as the identity. Raises ArchitectureError for unknown names and options,
    DeviceError where memory is too small.
    """
    runtime = decide_runtime(device, dtype, threads, fast=fast, winograd=winograd)
    try:
        tensors = architectures.random_tensors(name, num_classes=num_classes, seed=seed, **options)
    except NpresnetError:
        raise
    except (MemoryError, ValueError, OverflowError):  # NumPy raises either where the numbers are out of all bounds
        raise DeviceError(f"{name} with num_classes={num_classes} needs more memory than there is") from None
    network, config = architectures.build(tensors, arch=name, options=options)
    source = Source(f"random weights, seed {seed}")
    return _decided(network, config, tensors, source, labels, preprocess).model(runtime)


def convert(
    source: StrPath,
    destination: StrPath,
    *,
    arch: str | None = None,
    labels: Labels = None,
    preprocess: Asked = None,
    **options: Any,
) -> Path:
    """Write the weights of any file (or name) that `load` takes as an `.npz` that needs no further word.

    The `.npz` holds the original names and numbers, unfolded, and beside them every decision, the preprocessing, the
    labels and the SHA-256 of the source; plain `numpy.load` reads it. Source and destination may be the same file.
    Nothing is overwritten unless all is written. Returns the destination. Raises what `load` raises.
    """
    target = npz_path(destination)
    path = find_file(source)
    loaded = understand(path, arch, labels, preprocess, options)
    metadata, tensors = loaded.metadata(), loaded.tensors
    del loaded
    if target.exists() and os.path.samefile(path, target):
        tensors = {name: array.copy() for name, array in tensors.items()}  # Windows replaces no file that is mapped
    weights.write_npz(target, tensors, metadata)
    return target


def describe(source: StrPath, **options: Any) -> Loaded:
    """What a weight file or a name stands for, without fetching or running anything: a name gets random weights.

    Raises CheckpointError and ArchitectureError.
    """
    text = path_text(source)
    if os.path.isfile(text) or text in DEMO_NAMES:
        return understand(find_file(text), options=options)
    known = _published(text)
    if known is None and _means_file(text):
        return understand(text, options=options)
    name = known.arch if known is not None else text
    tensors = architectures.random_tensors(name, **options)
    network, config = architectures.build(tensors, arch=name, options=options)
    return _decided(network, config, tensors, Source(name))


def find_file(source: StrPath) -> str:
    """The weight file that a path or a name stands for, downloaded if need be. Raises CheckpointError."""
    text = path_text(source)
    if os.path.isfile(text):
        return text
    if text in DEMO_NAMES:
        return str(DEMO)
    if _published(text) is not None:
        return str(weights.download.fetch(text))
    if _means_file(text):
        return text  # its reader says what is wrong with it
    raise CheckpointError(_unknown_name(text))


def _published(name: str) -> Weights | None:
    """torchvision's weights of that name, if there are such."""
    return weights.download.resolve(name)  # imported here, for files need no names


def _means_file(text: str) -> bool:
    return os.path.lexists(text) or bool(os.path.dirname(text)) or text.lower().endswith(SUFFIXES)


def understand(
    path: str,
    arch: str | None = None,
    labels: Labels = None,
    preprocess: Asked = None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Loaded:
    """Read a weight file and make every decision that does not depend on where it will run."""
    checkpoint = weights.read(path)
    stored = from_metadata(checkpoint.metadata, path)
    asked = {name: value for name, value in options.items() if value is not None}
    if stored is None:
        with _naming(path):
            network, config = architectures.build(checkpoint.tensors, arch=arch, options=asked)
        config = config.with_decisions(preprocess=_named_preset(path) or config["preprocess"])
        found = _decided(network, config, checkpoint.tensors, Source.of_file(path), labels, preprocess)
        return found._replace(content=checkpoint.identity)
    said = {name: d.value for name, d in stored.config.items() if name in architectures.OPTIONS and d.value is not None}
    origins: dict[str, Origin] = {**dict.fromkeys(said, "file"), **dict.fromkeys(asked, "caller")}
    origins["arch"] = "file" if arch is None else "caller"
    expected = stored.config.value("arch") if arch is None else arch
    with _naming(path):
        network, config = architectures.build(
            checkpoint.tensors, arch=expected, options={**said, **asked}, origins=origins
        )
    config = _confirmed(config, stored)
    found = _decided(network, config, checkpoint.tensors, stored.source, labels, preprocess, stored)
    return found._replace(content=checkpoint.identity)


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """What is wrong with the tensors, and with which file."""
    try:
        yield
    except ArchitectureError as error:
        raise ArchitectureError(f"{path}: {error}") from None


def _decided(
    network: Network,
    config: Config,
    tensors: Mapping[str, Array],
    source: Source,
    labels: Labels = None,
    preprocess: Asked = None,
    stored: Stored | None = None,
) -> Loaded:
    """Settle preprocessing and labels, which stand in `config` as suggestions so far."""
    preset_decision, preset = decide_preprocess(preprocess, stored, config["preprocess"])
    labels_decision, names = decide_labels(labels, stored, config["labels"], config["num_classes"].value)
    origin: Origin = "caller" if stored is None else "file"
    note = f"SHA-256 {source.sha256}" if source.sha256 else ""
    config = config.with_decisions(
        preprocess=preset_decision, labels=labels_decision, source=Decision(source.name, origin, note)
    )
    return Loaded(network, config, preset, names, tensors, source)


def _named_preset(path: str) -> Decision | None:
    """torchvision's files carry a hash in their names; it tells which training, and so which preprocessing."""
    name = Path(path).stem
    known = _published(name) if re.search(r"-[0-9a-f]{8}$", name) else None
    return None if known is None else Decision(known.preset, "file", f"by its name these are {known.name}")


def _confirmed(config: Config, stored: Stored) -> Config:
    """What no option carries, and the file says just as its tensors do, is the file's word too."""
    said = {
        name: Decision(decision.value, "file", decision.note)
        for name, decision in config.items()
        if name in stored.config and decision.origin != "caller" and decision.value == stored.config[name].value
    }
    return config.with_decisions(**said)


def _unknown_name(text: str) -> str:
    import difflib

    known = [*DEMO_NAMES, *architectures.list_archs()]
    close = difflib.get_close_matches(text, known, n=3)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    if text in architectures.list_archs():
        hint = f" It is an architecture without published weights: npresnet.build({text!r}) gives it random ones."
    return (
        f"{text!r} is neither a file here nor the name of weights that npresnet can download.{hint} Give a weight file "
        f"(.npz, .pth, .pt, .safetensors, ...), a name such as resnet18 or resnet50.IMAGENET1K_V2, or demo"
    )
