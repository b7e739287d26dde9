"""`interpret`: from a weight file to `Loaded`, all decisions about it that do not depend on the device."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

from npresnet import arch as architectures
from npresnet import weights
from npresnet.config import Config, Decision, Origin
from npresnet.errors import ArchitectureError, DeviceError
from npresnet.images import Preprocess
from npresnet.model import told
from npresnet.model.decisions import (
    Labels,
    PreprocessLike,
    decide_labels,
    decide_order,
    decide_preprocess,
    input_size,
)
from npresnet.model.finding import (
    DEMO_NAMES,
    StrPath,
    akamaster_s,
    find_file,
    holds_weights,
    looks_like_file,
    published,
    published_file,
)
from npresnet.model.inputs import path_text
from npresnet.model.metadata import Source, Stored, from_metadata, to_metadata
from npresnet.model.model import Model
from npresnet.network import Array, Network
from npresnet.system.mapped_file import copied
from npresnet.system.memory import no_memory_for
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
    return completed(network, config, tensors, Source(name))


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
    with _errors_naming(path):
        if stored is None:
            network, config = _build_told(checkpoint, arch, given)
        else:
            network, config = _build_stored(checkpoint.tensors, stored, arch, given)
    which = checkpoint.key or (None if stored is None else _told(stored.config.get("key")))
    if which is not None:
        config = config.with_decisions(key=which)
    origin = Source.of_files(path, checkpoint.files) if stored is None else stored.source
    found = completed(network, config, checkpoint.tensors, origin, labels, preprocess, stored, checkpoint.facts)
    if not checkpoint.files:
        return found._replace(raw=checkpoint.raw if stored is None else None)
    return found._replace(content=Identity(os.path.basename(path), _stamp(checkpoint.identity, found.config)))


def completed(
    network: Network,
    config: Config,
    tensors: Mapping[str, Array],
    source: Source,
    labels: Labels = None,
    preprocess: PreprocessLike = None,
    stored: Stored | None = None,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Loaded:
    """A network with its preprocessing and labels decided, for which `config` holds suggestions.

    stored  what npresnet wrote into the file; facts, what another project did
    """
    channels = config.value("in_channels", 3)
    preset_decision, preset = decide_preprocess(
        preprocess, stored, config["preprocess"], facts, channels, network.takes_clips
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


def _stamp(file: str, config: Config) -> str:
    """The file's stamp and a checksum of the settings, some of which change the weights (weight standardisation)."""
    from npresnet import __version__

    if not file:
        return ""
    values = [__version__, {name: decision.value for name, decision in config.items() if name != "labels"}]
    return f"{file}; settings {zlib.crc32(repr(values).encode(errors='replace')):08x}"


def _build_told(checkpoint: weights.Checkpoint, arch: str | None, given: Mapping[str, Any]) -> tuple[Network, Config]:
    """The network of another project's file, of which the file's name may tell what no tensor does."""
    published = published_file(checkpoint.path)
    known = published.name if published is not None else akamaster_s(checkpoint.path)
    facts = checkpoint.facts if known is None else {**checkpoint.facts, "published": known}
    network, config = told.build(checkpoint.tensors, facts, arch, given)
    if published is not None:
        note = f"the file's name is that of {published.name}"
        config = config.with_decisions(preprocess=Decision(published.preset, "file", note))
    return network, config


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


def _confirmed(config: Config, stored: Stored) -> Config:
    """Set the origin to "file" for settings that file and tensors agree on; what was ambiguous remains so."""
    confirmed = {
        name: Decision(decision.value, "file", decision.note, stored.config[name].alternatives)
        for name, decision in config.items()
        if name in stored.config and decision.origin != "caller" and decision.value == stored.config[name].value
    }
    return config.with_decisions(**confirmed)
