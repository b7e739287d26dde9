"""One model's files, made once in a separate process and shared by all engines.

    model.pth      random weights, written by torch.save (model.npz where torch is absent); or the caller's own file
    recipe.json, params.npz     the network, for PyTorch
    model.onnx     the network, for ONNX Runtime and OpenVINO
    images.npy     (8, C, size, size) float32, for a network for clips (8, C, 16, size, size)
    logits.npy     (8, features) float64: the reference of the parity check

The reference comes from torchvision's or timm's own model where that is installed and the weights are random, else
from PyTorch or, without it, from npresnet's slow operations. A name of timm, or of a torchvision model for clips, has
weights made by that model and is timed as that model (`originals`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from npresnet.bench import onnx_file, originals, recipe, torch_graph, torchvision_models
from npresnet.bench.peers import ONNX
from npresnet.bench.random_weights import randomise_batch_norms
from npresnet.network import Network
from npresnet.plan import count_macs, infer_shapes

IMAGES, LOGITS, IMAGE_COUNT = "images.npy", "logits.npy", 8
FRAMES = 16  # of a clip


@dataclass(frozen=True)
class Request:
    """What to prepare: a model's name (random weights) or weight file, the image size, and npresnet.load's options.

    onnx is "torch" (torch.onnx.export, the usual exporter), "npresnet" (written from the Network without torch), or
    "auto": the former where torch and onnxscript are installed.
    """

    model: str
    folder: str
    size: int = 224
    seed: int = 0
    onnx: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """The prepared files. float32_error is the RMS error of a plain float32 run, relative to the RMS of the logits;
    macs the multiply-adds of one image."""

    model: str
    folder: str
    channels: int
    size: int
    reference: str
    float32_error: float
    onnx: str
    macs: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def prepare(request: Request) -> Prepared:
    """Make the files in request.folder."""
    folder = Path(request.folder)
    random = not Path(request.model).is_file()
    path = _random_weights(request, folder) if random else Path(request.model)
    network = _load_network(path, request.options)
    recipe.write(network, folder)
    channels = _in_channels(network)
    shape = (IMAGE_COUNT, channels, *(FRAMES,) * network.takes_clips, request.size, request.size)
    images = np.random.default_rng(request.seed).standard_normal(shape, dtype=np.float32)
    np.save(folder / IMAGES, images)
    reference, logits, float32_logits = _reference(network, images, folder, path if random else None, request.model)
    np.save(folder / LOGITS, logits)
    onnx = _write_onnx(request.onnx, network, images, folder / ONNX)
    error = relative_rms_error(float32_logits, logits)
    shapes = infer_shapes(network, images.shape[1:])
    macs = sum(count_macs(node, shapes) for node in network)
    return Prepared(str(path), str(folder), channels, request.size, reference, error, onnx, macs)


def relative_rms_error(found: np.ndarray, expected: np.ndarray) -> float:
    """sqrt(mean((found - expected)^2) / mean(expected^2)), over all images and logits."""
    difference = found.astype(np.float64) - expected
    return float(np.sqrt(np.mean(difference**2) / np.mean(expected**2)))


def _random_weights(request: Request, folder: Path) -> Path:
    """A weight file for a name: made by npresnet for torchvision's classifiers, else by the module of that name."""
    home = originals.find(request.model) if _installed("torch") else None
    if request.model in torchvision_models.names() or home is None:
        return random_model(request.model, folder, request.seed)
    import torch

    torch.manual_seed(request.seed)
    module, path = originals.build(home, request.model), folder / "model.pth"
    frames = (FRAMES,) if request.model in torchvision_models.video_names() else ()
    examples = torch.randn(2, 3, *frames, request.size, request.size)
    originals.save(originals.randomise(module, examples, request.seed), request.model, path)
    originals.note(folder, home, request.model)
    return path


def random_model(name: str, folder: Path, seed: int, *, may_use_torch: bool = True) -> Path:
    """A weight file for an architecture's name: model.pth where torch is installed and allowed, else model.npz."""
    from npresnet import arch, weights

    tensors = randomise_batch_norms(arch.random_tensors(name, seed=seed), seed=seed)
    if not (may_use_torch and _installed("torch")):
        weights.write_npz(folder / "model.npz", tensors, {"arch": name})
        return folder / "model.npz"
    import torch

    torch.save({key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}, folder / "model.pth")
    return folder / "model.pth"


def _load_network(path: Path, options: Mapping[str, Any]) -> Network:
    import npresnet

    network: Network = npresnet.load(path, **options).network
    return network


def _in_channels(network: Network) -> int:
    first = next(node for node in network if node.op in ("conv2d", "conv3d"))
    return int(first.params["weight"].shape[1]) * first.groups


def _reference(
    network: Network, images: np.ndarray, folder: Path, random_path: Path | None, name: str
) -> tuple[str, np.ndarray, np.ndarray]:
    """The reference's implementation, its float64 logits, and its float32 logits."""
    if not _installed("torch"):
        from npresnet import ops

        (asked,) = network.outputs
        exact, rounded = (ops.run(network, images.astype(kind))[asked] for kind in (np.float64, np.float32))
        return "npresnet.ops, float64", exact, rounded
    import torch

    original = originals.load(folder, random_path) if random_path else None
    title, module = original or ("PyTorch", torch_graph.build(network))
    title = f"{title}, float64"
    if original is None and random_path and name in torchvision_models.names() and _installed("torchvision"):
        title, module = "torchvision, float64", torchvision_models.build(name)
        module.load_state_dict(torch.load(random_path, weights_only=True))
    with torch.no_grad():
        rounded = module(torch.from_numpy(images)).numpy()
        exact = module.double()(torch.from_numpy(images).double()).numpy()
    return title, exact, rounded


def _write_onnx(exporter: str, network: Network, images: np.ndarray, path: Path) -> str:
    """Write the ONNX file; returns the exporter and its version."""
    if exporter == "auto":
        exporter = "torch" if _installed("torch") and _installed("onnxscript") else "npresnet"
    if exporter == "npresnet":
        onnx_file.write(
            network, path, channels=images.shape[1], size=images.shape[2] if images.ndim == 4 else images.shape[2:]
        )
        return "npresnet.bench.onnx_file"
    import torch

    module, example = torch_graph.build(network), torch.from_numpy(images[:2])
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        module,
        (example,),
        str(path),
        input_names=["input"],
        dynamic_shapes=({0: batch},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return f"torch.onnx.export {torch.__version__}"


def _installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None
