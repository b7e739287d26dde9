"""`load`, `build` and `convert`: create a Model from a weight file or a name.

Each setting is taken from the caller, else from the file, else inferred from names and shapes, else a documented
default; its origin is recorded in `model.config`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from npresnet import arch as architectures
from npresnet import weights
from npresnet.config import Config, Decision, Origin
from npresnet.errors import ArchitectureError, DeviceError, NpresnetError
from npresnet.images import Preprocess
from npresnet.model import told
from npresnet.model.ambiguity import warn_of_ambiguity
from npresnet.model.decisions import (
    Labels,
    PreprocessLike,
    decide_copy,
    decide_labels,
    decide_order,
    decide_preprocess,
    decide_runtime,
    input_size,
)
from npresnet.model.finding import (
    DEMO_NAMES,
    StrPath,
    akamaster_s,
    find_file,
    find_source,
    holds_weights,
    looks_like_file,
    published,
    published_file,
)
from npresnet.model.inputs import npz_path, path_text
from npresnet.model.metadata import Source, Stored, from_metadata, to_metadata
from npresnet.model.model import Model
from npresnet.network import Array, Network
from npresnet.system.mapped_file import copied
from npresnet.system.memory import no_memory_for
from npresnet.system.settings import quiet
from npresnet.system.stamp import Identity
from npresnet.system.text import visible

# {option of the caller: those of the file that state the same in another way, or follow from it}
REPLACES: Mapping[str, tuple[str, ...]] = {
    "output_stride": ("replace_stride_with_dilation",),
    "replace_stride_with_dilation": ("output_stride",),
    "stem": ("stem_stride",),
    "stem_stride": ("stem",),
    "weight_standardisation": ("weight_eps",),
    "head": ("num_classes", "head_activation", "global_pool", "scores", "embedding"),
}


class Loaded(NamedTuple):
    """An interpreted weight file: everything that does not depend on the device."""

    network: Network
    config: Config
    preprocess: Preprocess | None
    labels: list[str] | None
    tensors: Mapping[str, Array]
    source: Source
    content: Identity | None = None  # the weight file's; None if these weights are not from a file
    raw: weights.Span | None = None  # the bytes of a weight file that is in memory, and not npresnet's own

    @property
    def input_size(self) -> tuple[int, ...]:
        """(C, H, W) of a preprocessed image; 224 x 224 if preprocessing keeps the images' sizes."""
        return input_size(self.config, self.preprocess)

    def metadata(self) -> dict[str, Any]:
        source = self.source
        if self.raw is not None and source.sha256 is None:
            import hashlib

            source = source._replace(sha256=hashlib.sha256(self.raw.read()).hexdigest())
        return to_metadata(self.config, self.preprocess, self.labels, source)

    def model(self, runtime: Mapping[str, Decision]) -> Model:
        config = self.config.with_decisions(**runtime)
        return Model(self.network, config, self.preprocess, self.labels, self.tensors, self.source, self.content)


@quiet
def load(
    source: weights.Readable,
    *,
    device: str = "cpu",
    dtype: Any = "float32",
    arch: str | None = None,
    labels: Labels = None,
    preprocess: PreprocessLike = None,
    key: str | None = None,
    threads: int | None = None,
    fast: bool = False,
    winograd: bool = True,
    copy: bool = False,
    max_pixels: int | None = None,
    **options: Any,
) -> Model:
    """Load a model from a weight file, or by name.

    Parameters
    ----------
    source : path, str, bytes, file or dict
        A file of any format that `read_state_dict` reads, or a folder with model.safetensors or pytorch_model.bin,
        which may be spread over shards; "demo", the ten-class model included in npresnet; or a name such as "resnet18"
        or "resnet50.IMAGENET1K_V2", whose weights are downloaded once to the user's cache. An existing file of that
        name takes precedence. Also a file's bytes; a binary file object, read from where it stands; or arrays by name,
        `{name: array}`, of which read-only ones are used in place. `dict(numpy.load("x.npz"))` of a file that npresnet
        wrote has its labels and settings, too.
    device : str
        "cpu"; "cuda" or "cuda:1" for an NVIDIA GPU (needs CuPy: pip install 'npresnet[cuda12]'); or "auto", a GPU if
        one is usable, else the CPU; the choice and its reason are recorded in `model.config`.
    dtype : str
        "float32"; on a GPU also "tf32", "float16" and "bfloat16", which multiply on tensor cores: faster and less
        precise. Sums are always float32.
    arch : str, optional
        The expected architecture; raises if the tensors do not match it.
    labels : list, dict or path, optional
        Names of the classes: a list, a text or JSON file, "imagenet" or "cifar10".
    preprocess : str, dict or Preprocess, optional
        "V1", "V2", "cifar10", a `Preprocess`, or a dict of its fields to change.
    key : str, optional
        Which state dict of a file that holds several, as a dotted path: "teacher", "state_dict_ema", "state.model";
        where it ends inside a state dict, a prefix of its names: "encoder_k".
    threads : int, optional
        By default that of the environment, NPRESNET_THREADS or OMP_NUM_THREADS, else the number of CPUs that this
        process may use. Where the system starts fewer, fewer work.
    fast : bool
        By default an image's result has the same bits in any batch, at any position in it, and with any number of
        threads. With True the bits may depend on batch and position: BLAS may process the images of a batch together
        even if that changes their last bits.
    winograd : bool
        False computes 3x3 convolutions as direct sums: slower, with a few times less rounding error in those layers.
        Either way a network's error stays within twice that of PyTorch's float32.
    copy : bool
        True reads the weights into memory at once, which takes longer and more memory. Then nothing that happens to the
        file matters.
    max_pixels : int, optional
        How many pixels a picture file may have, checked before it is decoded; it also allows more where a strip would
        grow by resizing, and inputs without a crop. None: Pillow's limit, PIL.Image.MAX_IMAGE_PIXELS, and those of
        npresnet/images/limits.py.
    **options
        Settings that tensors do not determine, named as in torchvision's ResNet constructor
        (`replace_stride_with_dilation=[False, True, True]`), plus `stride_on="1x1"` or `"3x3"`.

    Returns
    -------
    Model

    Raises
    ------
    CheckpointError
        The file cannot be read or downloaded.
    ArchitectureError
        The tensors are not a supported ResNet, or contradict an option.
    DeviceError
        The device is not available.

    Warns
    -----
    AmbiguityWarning
        Once, of what the file cannot tell although networks in use differ in it, with the options that settle it.

    Notes
    -----
    A weight file is mapped: while the model is in use, replace the file (`os.replace`) rather than write into it; every
    call looks whether someone has, and raises CheckpointError.

    Examples
    --------
    >>> model = npresnet.load("demo")
    >>> model.predict("cat.jpg").label
    'cat'
    >>> model.config["arch"].value, model.config["arch"].origin
    ('cifar_resnet20', 'file')
    """
    runtime = decide_runtime(device, dtype, threads, fast=fast, winograd=winograd, max_pixels=max_pixels)
    is_copied = decide_copy(copy)
    loaded = interpret(find_source(source), arch, labels, preprocess, options, key, copy=is_copied)
    warn_of_ambiguity(loaded.config, loaded.source.name)
    return loaded.model(runtime)


@quiet
def build(
    name: str,
    *,
    num_classes: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    dtype: Any = "float32",
    labels: Labels = None,
    preprocess: PreprocessLike = None,
    threads: int | None = None,
    fast: bool = False,
    winograd: bool = True,
    max_pixels: int | None = None,
    **options: Any,
) -> Model:
    """Build a model with random weights, initialised as in torchvision.

    Parameters
    ----------
    name : str
        One of `list_archs()`.
    num_classes : int
        Outputs of the classifier.
    seed : int
        The same seed gives the same weights with the same version of NumPy.
    device, dtype, labels, preprocess, threads, fast, winograd, max_pixels
        As for `load`.
    **options
        As for `load`; `zero_init_residual=True` initialises each block as the identity.

    Returns
    -------
    Model

    Raises
    ------
    ArchitectureError
        An unknown name or option.
    DeviceError
        Memory is too small.

    Examples
    --------
    >>> model = npresnet.build("resnet18", num_classes=2, labels=["ants", "bees"])
    >>> model(np.zeros((4, 3, 64, 64), np.float32)).shape
    (4, 2)
    """
    runtime = decide_runtime(device, dtype, threads, fast=fast, winograd=winograd, max_pixels=max_pixels)
    try:
        tensors = architectures.random_tensors(name, num_classes=num_classes, seed=seed, **options)
    except NpresnetError:
        raise
    except (MemoryError, ValueError, OverflowError):  # raised by NumPy for huge sizes
        raise DeviceError(f"{name} with num_classes={num_classes} needs more memory than is available") from None
    network, config = architectures.build(tensors, arch=name, options=options, hints={"published": name})
    source = Source(f"random weights, seed {seed}")
    return _decided(network, config, tensors, source, labels, preprocess).model(runtime)


@quiet
def convert(
    source: weights.Readable,
    destination: StrPath,
    *,
    arch: str | None = None,
    labels: Labels = None,
    preprocess: PreprocessLike = None,
    key: str | None = None,
    **options: Any,
) -> Path:
    """Write the weights of anything that `load` accepts to an `.npz` file that needs no further options.

    The `.npz` holds the original names and values, unfolded, and all settings, the preprocessing, the labels and the
    SHA-256 of the source; plain `numpy.load` reads it. The prepared weights of the new file are written, too, where
    that is possible: see `prepare`.

    Parameters
    ----------
    source
        As for `load`.
    destination : path
        Replaced atomically; may be the source.
    arch, labels, preprocess, key, **options
        As for `load`.

    Returns
    -------
    Path
        The destination.

    Raises
    ------
    NpresnetError
        The errors of `load`.
    """
    target = npz_path(destination)
    path = find_source(source)
    loaded = interpret(path, arch, labels, preprocess, options, key)
    warn_of_ambiguity(loaded.config, loaded.source.name)
    metadata, tensors = loaded.metadata(), loaded.tensors
    del loaded
    if isinstance(path, str) and os.path.exists(target) and os.path.samefile(path, target):
        tensors = {name: array.copy() for name, array in tensors.items()}  # Windows cannot replace a mapped file
    weights.write_npz(target, tensors, metadata)
    del tensors
    from npresnet.model.preparing import prepare_if_possible

    prepare_if_possible(target)
    return target


def describe(source: StrPath, *, key: str | None = None, **options: Any) -> Loaded:
    """Interpret a weight file or a name without downloading or running anything; a name gets random weights.

    Raises CheckpointError and ArchitectureError.
    """
    text = path_text(source)
    if holds_weights(text) or text in DEMO_NAMES:
        return interpret(find_file(text), options=options, key=key)
    known = published(text)
    if known is None and looks_like_file(text):
        return interpret(text, options=options, key=key)
    name = known.arch if known is not None else text
    tensors = architectures.random_tensors(name, **options)
    network, config = architectures.build(tensors, arch=name, options=options, hints={"published": name})
    return _decided(network, config, tensors, Source(name))


def interpret(
    source: weights.Readable,
    arch: str | None = None,
    labels: Labels = None,
    preprocess: PreprocessLike = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    key: str | None = None,
    *,
    copy: bool = False,
) -> Loaded:
    """Read a weight file, or weights in memory, and make all decisions that do not depend on the device."""
    checkpoint = weights.read(source, key)
    path = checkpoint.path
    if copy:
        with _errors_naming(path):
            checkpoint = checkpoint._replace(tensors=copied(checkpoint.tensors))
    stored = from_metadata(checkpoint.metadata, path)
    given = {name: value for name, value in options.items() if value is not None}
    if stored is None:
        published = published_file(path)
        known = published.name if published is not None else akamaster_s(path)
        facts = checkpoint.facts if known is None else {**checkpoint.facts, "published": known}
        with _errors_naming(path):
            network, config = told.build(checkpoint.tensors, facts, arch, given)
        if published is not None:
            note = f"the file's name is that of {published.name}"
            config = config.with_decisions(preprocess=Decision(published.preset, "file", note))
        origin = Source.of_files(path, checkpoint.files)
    else:
        with _errors_naming(path):
            network, config = _build_stored(checkpoint.tensors, stored, arch, given)
        origin = stored.source
    which = checkpoint.key or (None if stored is None else _told(stored.config.get("key")))
    if which is not None:
        config = config.with_decisions(key=which)
    found = _decided(network, config, checkpoint.tensors, origin, labels, preprocess, stored, checkpoint.facts)
    if not checkpoint.files:
        return found._replace(raw=checkpoint.raw if stored is None else None)
    return found._replace(content=Identity(os.path.basename(path), _stamp(checkpoint.identity, found.config)))


def _stamp(file: str, config: Config) -> str:
    """The file's stamp and a checksum of the settings, some of which change the weights (weight standardisation)."""
    from npresnet import __version__

    if not file:
        return ""
    values = [__version__, {name: decision.value for name, decision in config.items() if name != "labels"}]
    return f"{file}; settings {zlib.crc32(repr(values).encode(errors='replace')):08x}"


def _build_stored(
    tensors: Mapping[str, Array], stored: Stored, arch: str | None, given: Mapping[str, Any]
) -> tuple[Network, Config]:
    """The network of a file with npresnet's metadata, whose options the caller may replace."""
    replaced = {name for option in given for name in REPLACES.get(option, ())}
    names = set(architectures.options_of(stored.config.value("family"))) - replaced
    kept = {name: d.value for name, d in stored.config.items() if name in names and d.value is not None}
    origins: dict[str, Origin] = {**dict.fromkeys(kept, "file"), **dict.fromkeys(given, "caller")}
    origins["arch"] = "file" if arch is None else "caller"
    same = "head" not in given  # some names, as CLIP's, are those of networks with their head
    expected = arch if arch is not None else stored.config.value("arch") if same else None
    network, config = architectures.build(tensors, arch=expected, options={**kept, **given}, origins=origins)
    return network, _confirmed(config, stored)


def _told(key: Decision | None) -> Decision | None:
    """The state dict that was converted: this file holds no other."""
    return None if key is None else Decision(key.value, "file", key.note)


@contextmanager
def _errors_naming(path: str) -> Iterator[None]:
    """Add the file's path to ArchitectureErrors; raise lack of memory as a DeviceError."""
    try:
        yield
    except ArchitectureError as error:
        raise ArchitectureError(f"{visible(path)}: {error}") from None
    except MemoryError as error:
        raise DeviceError(no_memory_for(visible(path))) from error


def _decided(
    network: Network,
    config: Config,
    tensors: Mapping[str, Array],
    source: Source,
    labels: Labels = None,
    preprocess: PreprocessLike = None,
    stored: Stored | None = None,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Loaded:
    """Decide preprocessing and labels, for which `config` holds suggestions."""
    preset_decision, preset = decide_preprocess(
        preprocess,
        stored,
        config["preprocess"],
        facts,
        config.value("in_channels", 3),
        network.takes_clips,
    )
    preset_decision, preset = decide_order(config.get("bgr"), preset_decision, preset, preprocess)
    if preset is not None and config.value("bgr", preset.bgr) != preset.bgr:
        config = config.with_decisions(bgr=Decision(preset.bgr, "caller"))
    num_classes, scores = config["num_classes"].value, config.value("scores", "softmax")
    labels_decision, names = decide_labels(labels, stored, config["labels"], num_classes, facts, scores)
    origin: Origin = "caller" if stored is None else "file"
    note = f"SHA-256 {source.sha256}" if source.sha256 else ""
    config = config.with_decisions(
        preprocess=preset_decision, labels=labels_decision, source=Decision(source.name, origin, note)
    )
    return Loaded(network, config, preset, names, tensors, source)


def _confirmed(config: Config, stored: Stored) -> Config:
    """Set the origin to "file" for settings that file and tensors agree on; what was ambiguous remains so."""
    confirmed = {
        name: Decision(decision.value, "file", decision.note, stored.config[name].alternatives)
        for name, decision in config.items()
        if name in stored.config and decision.origin != "caller" and decision.value == stored.config[name].value
    }
    return config.with_decisions(**confirmed)
