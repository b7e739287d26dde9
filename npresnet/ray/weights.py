"""A model's way to the workers: its weights go into Ray's object store once, and every process of a node maps them.

What is stored is a `Loaded`: the network, labels, preprocessing and every decision, so that a worker computes what a
load of the file would, to the bit. Its arrays come out of the store read-only and are not copied; a node fetches them
once, whatever the number of its workers. Only the device and the threads are decided where the worker runs.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from npresnet import __version__
from npresnet.errors import ArchitectureError, DeviceError
from npresnet.model.ambiguity import warn_of_ambiguity
from npresnet.model.decisions import Labels, PreprocessLike
from npresnet.model.finding import find_file
from npresnet.model.interpreting import Loaded, interpret
from npresnet.model.loading import load
from npresnet.model.metadata import RUNTIME, to_metadata
from npresnet.model.model import Model
from npresnet.model.runtime import decide_runtime
from npresnet.ray.cluster import library

ModelLike = str | os.PathLike[str] | Model


@dataclass(frozen=True)
class Weights:
    """A model in the object store: what `put` returns and `Predictor` takes. It lives as long as a reference to it."""

    ref: Any  # ray.ObjectRef of a Loaded
    name: str
    fingerprint: str  # of all that its results depend on: weights, labels, preprocessing, options
    version: str = __version__  # of npresnet

    def __repr__(self) -> str:
        return f"<npresnet.ray.Weights {self.name}, {self.fingerprint[:8]}>"


def put(
    model: ModelLike,
    *,
    arch: str | None = None,
    labels: Labels = None,
    preprocess: PreprocessLike = None,
    key: str | None = None,
    **options: Any,
) -> Weights:
    """Read a model here and put it into the cluster's object store, from where each worker maps it.

    Needs a connection: `ray.init()` comes first.

    Parameters
    ----------
    model : path, str or Model
        A file, a name or a Model; the file need not exist on other machines.
    arch, labels, preprocess, key, **options
        Those of `npresnet.load`. What depends on the device is given to `Predictor`.

    Returns
    -------
    Weights
        What `Predictor` takes. The weights stay in the object store as long as a reference to it lives.

    Raises
    ------
    ArchitectureError
        For networks of clips; and the errors of `load`.
    DeviceError
        If Ray is not installed.
    """
    ray = library()
    found = read(model, arch=arch, labels=labels, preprocess=preprocess, key=key, **options)
    return Weights(ray.put(found), found.source.name, fingerprint(found))


def read(model: ModelLike, **decisions: Any) -> Loaded:
    """All of a model that does not depend on the device, and nothing that is true on this machine alone."""
    if isinstance(model, Model):
        if any(value is not None for value in decisions.values()):
            raise ArchitectureError(f"a Model has decided {', '.join(decisions)}; pass its file, or load it with them")
        network, config, preprocess, labels, tensors, source = model.__reduce__()[1]
        kept = type(config)({name: decision for name, decision in config.items() if name not in RUNTIME})
        found = Loaded(network, kept, preprocess, labels, tensors, source)
    else:
        arch, labels, how = (decisions.pop(name, None) for name in ("arch", "labels", "preprocess"))
        key = decisions.pop("key", None)
        found = interpret(find_file(model), arch, labels, how, decisions, key)
        warn_of_ambiguity(found.config, found.source.name)
    if found.network.takes_clips:
        raise ArchitectureError(f"{found.source.name} takes clips, which npresnet.ray does not read; use model.stream")
    if not found.config.value("num_classes"):
        raise ArchitectureError(f"{found.source.name} has no classifier, so it cannot predict")
    content = found.content  # a stamp is of this machine's file; elsewhere a checksum finds prepared weights
    return found._replace(
        source=found.source._replace(path=None, stamp=None),
        content=None if content is None else content._replace(stamp=""),
    )


def fingerprint(found: Loaded) -> str:
    """SHA-256 of the weights and of every decision that results depend on."""
    decided = to_metadata(found.config, found.preprocess, found.labels, found.source)
    values = {name: entry["value"] for name, entry in decided["config"].items()}
    told = json.dumps([values, decided["preprocess"], decided["labels"]], sort_keys=True, default=str)
    digest = hashlib.sha256(told.encode("utf-8", "surrogatepass"))
    for name, array in sorted(found.tensors.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode("utf-8", "surrogatepass"))
        digest.update(array.tobytes())
    return digest.hexdigest()


def opened(model: ModelLike | Weights, **options: Any) -> Model:
    """The model in this process.

    options  of `load`; of Weights, whose other decisions are made, those of the device: device, dtype, threads, fast,
             winograd, max_pixels
    """
    if isinstance(model, Model):
        raise ArchitectureError("a worker takes a file, a name, or what npresnet.ray.put(model) returns, got a Model")
    if not isinstance(model, Weights):
        return load(model, **options)
    decided = sorted(set(options) - set(RUNTIME))
    if decided:
        raise ArchitectureError(f"{', '.join(decided)}: decided when the weights were put; pass it to npresnet.ray.put")
    if model.version != __version__:
        raise DeviceError(
            f"a worker has npresnet {__version__}, and {model.name} was put by {model.version}: results may differ. "
            "Install the same version on every node"
        )
    where = options.pop("device", "cpu"), options.pop("dtype", "float32"), options.pop("threads", None)
    loaded: Loaded = library().get(model.ref)
    return loaded.model(decide_runtime(*where, **options))
