"""`npresnet diff`: layer by layer against PyTorch, on a real image; which layer is the first to diverge.

Both run in float32, and PyTorch once more in float64, which is taken for the truth. A layer diverges where npresnet's
error is more than FACTOR times PyTorch's own float32 error: two ways of rounding differ by less, another eps, stride or
weight by far more. Differences are also told in ULPs (units in the last place, the steps between neighbouring float32
numbers) of the layer's root mean square, a size that zeros cannot upset.

PyTorch's side is torchvision's own model where torchvision has that architecture, else PyTorch's layers in the order of
npresnet's network. npresnet's side is what the model's own device runs, BatchNorm, residual and activation fused: each
of its steps is compared with the last PyTorch module that went into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet.arch.residual.layout import Layout
from npresnet.bench import torch_graph, torchvision_models
from npresnet.bench.table import Table
from npresnet.errors import ArchitectureError, DeviceError
from npresnet.model.model import Model
from npresnet.network import Array, Network
from npresnet.system.extras import needing
from npresnet.system.settings import quiet
from npresnet.teach.steps import merged_into, run_keeping_all

if TYPE_CHECKING:
    import torch

NOT_TORCHVISIONS = ("stride_on", "stem_stride", "max_pool", "bn_eps")  # options that its ResNets do not have
FACTOR = 8.0  # times PyTorch's own error; Winograd's algorithm rounds a few times more than a direct sum
FLOOR = 2.0**-22  # relative: below two roundings of a float32 there is nothing to compare


@dataclass(frozen=True)
class LayerDiff:
    """One step of npresnet beside PyTorch.

    name               npresnet's step, named after its convolution or pool
    module             the last PyTorch module in it
    ulps, most_ulps    |ours - PyTorch's|: root mean square and largest, in ULPs of the layer's root mean square
    error, torch_error RMS against float64, relative to the layer's RMS
    """

    name: str
    module: str
    shape: tuple[int, ...]
    ulps: float
    most_ulps: float
    error: float
    torch_error: float

    @property
    def diverges(self) -> bool:
        """Whether rounding does not explain the difference; NaN explains nothing."""
        return not self.error <= max(FACTOR * self.torch_error, FLOOR)


@dataclass(frozen=True)
class Diff:
    """All layers in order; `peer` says who PyTorch's side is."""

    peer: str
    layers: list[LayerDiff]

    @property
    def first(self) -> LayerDiff | None:
        """The first layer that diverges."""
        return next((layer for layer in self.layers if layer.diverges), None)


@quiet
def diff(model: Model, x: Array) -> Diff:
    """Compare all layers on one batch, on the model's own device.

    x  (N, C, H, W) float32, preprocessed

    Raises DeviceError where PyTorch is not installed, and for a model that computes in fewer digits than float32.
    """
    _check_precision(model)
    peer, module = _peer(model)
    executable = model.executable()
    compiled = executable.layout(x.shape[1:], len(x)).network
    names = {step: nodes[-1].name for step, nodes in merged_into(model.network, compiled).items() if nodes}
    ours = run_keeping_all(executable, x)
    theirs, truth = (_torch_values(model.network, module, x, wide=wide) for wide in (False, True))
    layers = [
        _compare(step, name, ours[step].reshape(theirs[name].shape), theirs[name], truth[name])
        for step, name in names.items()
        if name in theirs  # of a step that a flatten went into, PyTorch's result is flat
    ]
    return Diff(peer, layers)


def table(found: Diff) -> Table:
    """A row a layer."""
    rows = [
        [
            layer.name,
            "x".join(map(str, layer.shape[1:])),
            f"{layer.ulps:.2f}",
            f"{layer.most_ulps:.1f}",
            f"{layer.error:.1e}",
            f"{layer.torch_error:.1e}",
            "DIVERGES" if layer.diverges else "",
        ]
        for layer in found.layers
    ]
    header = ["step", "C x H x W", "ULPs apart", "at most", "our error", "PyTorch's", ""]
    return Table(header, rows, texts=(0, 1, 6))


def verdict(found: Diff) -> str:
    """One sentence."""
    first = found.first
    if first is None:
        worst = max(found.layers, key=lambda layer: layer.ulps)
        apart = f"furthest apart is {worst.name}, {worst.ulps:.1f} ULPs"
        return f"all {len(found.layers)} steps agree with {found.peer}; {apart}"
    return (
        f"{first.name} is the first step that diverges from {found.peer}: {first.ulps:.1f} ULPs apart, an error of "
        f"{first.error:.1e} where PyTorch's own rounding gives {first.torch_error:.1e}"
    )


def _check_precision(model: Model) -> None:
    dtype, device = model.config["dtype"].value, model.config["device"].value
    if dtype != "float32":
        raise DeviceError(
            f"diff compares float32 with float32, but this model computes in {dtype} on {device}, where rounding alone "
            'would count as diverging; load it with dtype="float32"'
        )


def _compare(step: str, name: str, ours: Array, theirs: Array, truth: Array) -> LayerDiff:
    scale = float(np.sqrt(np.mean(np.square(truth)))) or 1.0
    ulp = float(np.spacing(np.float32(scale)))
    apart = np.abs(ours.astype(np.float64) - theirs)

    def rms(array: Array) -> float:
        return float(np.sqrt(np.mean(np.square(array))))

    errors = rms(ours - truth) / scale, rms(theirs - truth) / scale
    return LayerDiff(step, name, ours.shape, rms(apart) / ulp, float(apart.max()) / ulp, *errors)


def _peer(model: Model) -> tuple[str, Any]:
    """Its name, and torchvision's module in eval mode, or None for PyTorch's layers one by one."""
    with needing("diff, which compares with PyTorch,", "torch torchvision"):
        import torch
    module = _torchvision_module(model)
    if module is None:
        return f"PyTorch {torch.__version__}'s layers", None
    return f"torchvision's {model.config.value('arch')}", module


def _torchvision_module(model: Model) -> Any:
    """torchvision's own model with these weights and options, None where it has none or is not installed."""
    import torch

    name, options = model.config.value("arch"), {}
    usual = Layout._field_defaults
    if any(model.config.value(option, usual[option]) != usual[option] for option in NOT_TORCHVISIONS):
        return None
    if name not in torchvision_models.names():
        return None
    dilated = model.config.value("replace_stride_with_dilation")
    if dilated:
        options["replace_stride_with_dilation"] = list(dilated)
    params = {f"{node.name}.{role}": array for node in model.network for role, array in node.params.items()}
    state = {name: torch.from_numpy(np.array(array, np.float32)) for name, array in params.items()}
    try:
        module = torchvision_models.build(name, num_classes=model.config.value("num_classes"), **options)
        left = module.load_state_dict(state, strict=False)
    except (ImportError, RuntimeError):  # RuntimeError: a tensor of another shape
        return None
    missing = [key for key in left.missing_keys if not key.endswith("num_batches_tracked")]
    return None if missing or left.unexpected_keys else module


def _torch_values(network: Network, module: Any, x: Array, *, wide: bool) -> Mapping[str, Array]:
    """{node: what PyTorch makes of it}, in float32 or float64."""
    import torch

    dtype = torch.float64 if wide else torch.float32
    images = torch.from_numpy(np.array(x)).to(dtype)
    with torch.inference_mode():
        if module is not None:
            return _hooked(module.to(dtype), images)
        try:
            values = torch_graph.run(network, images)
        except ArchitectureError as error:
            raise ArchitectureError(f"diff cannot run this network in PyTorch: {error}") from None
        return {name: value.numpy() for name, value in values.items()}


def _hooked(module: Any, x: torch.Tensor) -> dict[str, Array]:
    """The result of every module, by name; of one that runs several times each, numbered as npresnet's nodes are."""
    calls: dict[str, list[Array]] = {}

    def note(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, result: Any) -> None:
            calls.setdefault(name, []).append(result.numpy().copy())  # a later module may overwrite it in place

        return hook

    handles = [part.register_forward_hook(note(name)) for name, part in module.named_modules() if name]
    try:
        module(x)
    finally:
        for handle in handles:
            handle.remove()
    values = {}
    for name, results in calls.items():
        values[name] = results[-1]
        values |= {f"{name}.{number}": result for number, result in enumerate(results, start=1)}
    return values
