"""Homes that change the network: stems and shortcuts for small images, classifiers, weights stored as formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.kit.sweep.home_layouts import counted_out, resnet, save, without_head
from benchmarks.kit.sweep.home_training import under, weights
from benchmarks.kit.sweep.homes import Case, Home, random_net
from benchmarks.kit.sweep.networks import ODD

SMALL = (2, 33, 32)


def made(
    make: Callable[[], Any],
    content: Callable[[Any], Any] = lambda state: {"state_dict": state},
    *,
    sizes: tuple[int, int, int] = ODD,
    change: Callable[[Any], None] | None = None,
    clips: bool = False,
    **options: Any,
) -> Home:
    """A network's state dict. `change` is what is done to the random network before it is saved."""

    def home(folder: Path) -> Case:
        module, x, exact = random_net(make(), sizes, clips)
        if change is not None:
            change(module)
        return Case(save(folder / "model.pth", content(module.state_dict())), x, exact, options)

    return home


def cifar(**options: Any) -> Callable[[], Any]:
    def make() -> Any:
        from tests.support.torch_cifar import CifarResNet

        return CifarResNet(**options)

    return make


def stem(side: int, stride: int, pool: bool, *, padding: int | None = None, classes: int = 10) -> Callable[[], Any]:
    """torchvision's network with another stem."""

    def make() -> Any:
        import torch

        module = resnet("BasicBlock", classes=classes)
        around = side // 2 if padding is None else padding
        module.conv1 = torch.nn.Conv2d(3, 64, side, stride, around, bias=False)
        module.maxpool = module.maxpool if pool else torch.nn.Identity()
        return module if classes else without_head(module)

    return make


def no_pool() -> Any:
    import torch

    module = resnet("BasicBlock", classes=365)
    module.maxpool = torch.nn.Identity()
    return module


def last_stride_1() -> Any:
    module = resnet()
    module.layer4[0].conv2.stride = module.layer4[0].downsample[0].stride = (1, 1)
    return module


def reid(state: Mapping[str, Any]) -> Any:
    import torch

    return {f"base.{name}": t for name, t in state.items() if not name.startswith("fc.")} | {
        "bottleneck.weight": torch.ones(2048),
        "bottleneck.bias": torch.zeros(2048),
        "bottleneck.running_mean": torch.zeros(2048),
        "bottleneck.running_var": torch.ones(2048) - 1e-5,
        "bottleneck.num_batches_tracked": torch.tensor(1),
        "classifier.weight": state["fc.weight"],
    }


def no_bias() -> Any:
    module = last_stride_1()
    module.fc.bias = None
    return module


def headed(make: Callable[[Any], Any], block: str = "BasicBlock") -> Callable[[], Any]:
    """A network whose classifier is this module of the number of features."""

    def network() -> Any:
        module = resnet(block)
        module.fc = make(module.fc.in_features)
        return module

    return network


def sequence(*kinds: str) -> Callable[[Any], Any]:
    """Linear layers to 24 features and at last to 7, with what stands between."""

    def make(features: int) -> Any:
        from torch import nn

        layers, width, left = [], features, kinds.count("Linear")
        for kind in kinds:
            if kind == "Linear":
                left -= 1
                layers.append(nn.Linear(width, 24 if left else 7))
                width = 24
            else:
                layers.append(nn.BatchNorm1d(width) if kind == "BatchNorm1d" else getattr(nn, kind)())
        return nn.Sequential(*layers)

    return make


def on_the_logits() -> Any:
    from torch import nn

    class Tuned(nn.Module):  # type: ignore[misc]  # torch has no types here
        def __init__(self) -> None:
            super().__init__()
            self.resnet, self.fc = resnet("BasicBlock", classes=1000), nn.Linear(1000, 3)

        def forward(self, x: Any) -> Any:
            return self.fc(self.resnet(x))

    return Tuned()


def fastai() -> Any:
    import torch
    from torch import nn

    class Pool(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1)

    body = nn.Sequential(*list(resnet("BasicBlock").children())[:-2])
    head = sequence("BatchNorm1d", "Dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear")(1024)
    return nn.Sequential(body, nn.Sequential(Pool(), nn.Flatten(), *head))


def fuse(module: Any) -> None:
    """Every BatchNorm into its convolution, a bias in its place."""
    from torch.nn import Identity, Sequential
    from torch.nn.utils import fuse_conv_bn_eval

    module.conv1, module.bn1 = fuse_conv_bn_eval(module.conv1, module.bn1), Identity()
    for stage in (module.layer1, module.layer2, module.layer3, module.layer4):
        for block in stage:
            for number in ("1", "2"):
                conv, norm = getattr(block, f"conv{number}"), getattr(block, f"bn{number}")
                setattr(block, f"conv{number}", fuse_conv_bn_eval(conv, norm))
                setattr(block, f"bn{number}", Identity())
            if block.downsample is not None:
                block.downsample = Sequential(fuse_conv_bn_eval(*block.downsample))


def formula(kind: str) -> Callable[[], Any]:
    """Convolutions of the first stage whose weights are computed from other tensors."""

    def make() -> Any:
        from torch.nn import utils
        from torch.nn.utils import prune

        module = resnet("BasicBlock")
        for block in module.layer1:
            for conv in (block.conv1, block.conv2):
                if kind == "pruned":
                    prune.random_unstructured(conv, "weight", 0.4)
                elif kind == "weight_norm":
                    utils.weight_norm(conv)
                elif kind == "parametrised weight_norm":
                    utils.parametrizations.weight_norm(conv)
                else:
                    utils.parametrizations.spectral_norm(conv)
        return module

    return make


def _weiaicunzai(state: Mapping[str, Any]) -> Any:
    import torch

    from tests.arch.homes import layouts

    theirs = layouts.pytorch_cifar100({name: tensor.numpy() for name, tensor in state.items()})
    return {name: torch.from_numpy(array) for name, array in theirs.items()}


SHAPES: Mapping[str, Home] = {
    "akamaster, option A": made(cifar(blocks=(2, 2, 2)), lambda s: {"state_dict": under("module.", s)}, sizes=SMALL),
    "chenyaofo": made(cifar(blocks=(2, 2, 2), custom="downsample", head="fc"), lambda s: s, sizes=SMALL),
    "kuangliu ResNet18": made(
        cifar(blocks=(2, 1, 1, 1), channels=64, custom="shortcut"), lambda s: {"net": under("module.", s)}, sizes=SMALL
    ),
    "pytorch-cifar100 (weiaicunzai)": made(stem(3, 1, False, classes=100), _weiaicunzai, sizes=SMALL),
    "huyvnphan, a max pool after a 3x3 stem": made(stem(3, 1, True), lambda s: s, sizes=SMALL, max_pool=True),
    "Tiny ImageNet, a 3x3 stem": made(stem(3, 1, False, classes=200), sizes=SMALL),
    "7x7 stem of stride 1 without a pool": made(stem(7, 1, False), sizes=SMALL, stem_stride=1, max_pool=False),
    "solo-learn, small images": made(
        stem(3, 1, False, padding=2, classes=0),
        lambda s: under("backbone.", s) | weights("projector.0", 64, 2048),
        sizes=SMALL,
    ),
    "Places365, wideresnet18": made(no_pool, max_pool=False),
    "bag of tricks for re-identification": made(no_bias, reid, last_stride=1),
    "fastai": made(fastai, lambda s: {"model": s, "opt": {}}),
    "fc = Dropout, Linear": made(headed(sequence("Dropout", "Linear"))),
    "fc = Linear, ReLU, Dropout, Linear": made(headed(sequence("Linear", "ReLU", "Dropout", "Linear"))),
    "fc = Linear, Tanh, Linear": made(headed(sequence("Linear", "Tanh", "Linear")), head_activation="tanh"),
    "fc = Linear, Dropout, Linear": made(headed(sequence("Linear", "Dropout", "Linear")), head_activation="none"),
    "fc = BatchNorm1d, Dropout, Linear": made(headed(sequence("BatchNorm1d", "Dropout", "Linear"))),
    "a linear layer on the 1,000 logits": made(on_the_logits),
    "BatchNorm fused into convolutions": made(lambda: resnet("BasicBlock"), change=fuse),
    "pruning (torch.nn.utils.prune)": made(formula("pruned")),
    "weight_norm": made(formula("weight_norm")),
    "weight_norm as a parametrisation": made(formula("parametrised weight_norm")),
    "spectral_norm": made(formula("spectral_norm")),
    "BatchNorm's counters missing": made(lambda: resnet(), counted_out),
}
