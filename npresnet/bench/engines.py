"""The engines: their names, the libraries they need, and the functions that load them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from npresnet.bench.isa import Report


@dataclass(frozen=True)
class Engine:
    """One way to run a model.

    name     on the command line and in JSON
    title    in tables
    needs    import names of the libraries that must be installed
    loader   "module:function" of a `Loader`; only the worker imports it
    free     why it cannot be held to an instruction set; nothing where it can
    """

    name: str
    title: str
    needs: tuple[str, ...]
    loader: str
    free: str = ""

    def missing(self) -> list[str]:
        """The libraries that this engine needs and that are not installed."""
        return [library for library in self.needs if importlib.util.find_spec(library) is None]


@dataclass(frozen=True)
class Job:
    """What an engine is to load: files made by `prepare`, and how it will be called.

    folder    contains recipe.json, params.npz, model.onnx
    model     the weight file for npresnet
    batch     every call takes (batch, C, H, W) float32
    threads   how many threads the engine may use
    options   keyword arguments of npresnet.load
    """

    folder: Path
    model: Path
    batch: int
    threads: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Loaded:
    """A loaded engine.

    feed       converts a (batch, C, H, W) array to the engine's input; not timed
    run        the timed call; its result converts to an array (batch, features)
    versions   library -> version
    report     of its input: what it says of the instructions that it uses; None where it cannot tell
    """

    feed: Callable[[Any], Any]
    run: Callable[[Any], Any]
    versions: Mapping[str, str]
    report: Callable[[Any], Report] | None = None


Loader = Callable[[Job], Loaded]

OURS, FAST = "npresnet", "npresnet-fast"
_PEERS = "npresnet.bench.peers"
_FREE = "it has no setting that holds it to an instruction set"
ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine(OURS, "npresnet", ("numpy",), f"{_PEERS}:ours"),
        Engine(FAST, "npresnet, fast=True", ("numpy",), f"{_PEERS}:ours_fast"),
        Engine("torch", "PyTorch eager, NCHW", ("torch",), f"{_PEERS}:torch_eager"),
        Engine("torch-channels-last", "PyTorch eager, channels_last", ("torch",), f"{_PEERS}:torch_channels_last"),
        Engine("torch-compile", "torch.compile, frozen", ("torch",), f"{_PEERS}:torch_compile"),
        Engine("onnxruntime", "ONNX Runtime", ("onnxruntime",), f"{_PEERS}:onnxruntime", _FREE),
        Engine("openvino", "OpenVINO", ("openvino",), f"{_PEERS}:openvino"),
    )
}


def installed(registry: Mapping[str, Engine] = ENGINES, *, fast: bool = False) -> list[str]:
    """The names of the installed engines; npresnet with fast=True only where requested."""
    return [name for name, engine in registry.items() if not engine.missing() and (fast or name != FAST)]
