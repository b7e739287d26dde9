"""Homes that differ from torchvision in few names: NVIDIA, pytorch-cifar100, MMPretrain, Cadene, segmentation stems."""

from __future__ import annotations

from npresnet.arch.homes.home import Home
from npresnet.arch.homes.torchvision import FIRST_BLOCK

# DeepLearningExamples: `layers.<i-1>.<j>` for layer<i>.<j>.
NVIDIA = Home(
    home="NVIDIA DeepLearningExamples",
    marks=("layers.0.0.conv1.weight", "conv1."),
    renamed=tuple((rf"^layers\.{i - 1}\.", f"layer{i}.") for i in (1, 2, 3, 4)),
)

# The mean and standard deviation of CIFAR-100's training images, as that repository's settings have them.
CIFAR100 = {
    "preset": "cifar10",
    "mean": [0.5070751592371323, 0.48654887331495095, 0.4409178433670343],
    "std": [0.2673342858792401, 0.2564384629170883, 0.27615047132568404],
}

# weiaicunzai: the modules of a branch are numbered, with a ReLU after each norm; `shortcut` is our `downsample`.
PYTORCH_CIFAR100 = Home(
    home="pytorch-cifar100",
    marks=("conv2_x.0.residual_function.0.weight", "conv1.0."),
    renamed=(
        (r"^conv1\.0\.", "conv1."),
        (r"^conv1\.1\.", "bn1."),
        *((rf"^conv{i + 1}_x\.", f"layer{i}.") for i in (1, 2, 3, 4)),
        *((rf"\.residual_function\.{3 * k - 3}\.", f".conv{k}.") for k in (1, 2, 3)),
        *((rf"\.residual_function\.{3 * k - 2}\.", f".bn{k}.") for k in (1, 2, 3)),
        (r"\.shortcut\.", ".downsample."),
    ),
    implied={"stem_stride": 1, "max_pool": False, "preprocess": CIFAR100},
    where=r"^conv1\.weight$",
    because="of pytorch-cifar100's networks",
)

# The names of timm's deep stem: convolutions conv1.0, .3, .6; norms conv1.1, .4, bn1.
_DEEP_STEM = ((0, "conv1.0"), (1, "conv1.1"), (3, "conv1.3"), (4, "conv1.4"), (6, "conv1.6"), (7, "bn1"))
# Their projections have no average pool in the first stage, and then one module less than timm's.
_FIRST_PROJECTION = ((r"^layer1\.0\.downsample\.1\.", "layer1.0.downsample.2."),
                     (r"^layer1\.0\.downsample\.0\.", "layer1.0.downsample.1."))  # fmt: skip
_SE = ((r"\.se_layer\.conv1\.conv\.", ".se.fc1."), (r"\.se_layer\.conv2\.conv\.", ".se.fc2."))
_MM_STEM = tuple((rf"^stem\.{i}\.", f"{name}.") for i, name in _DEEP_STEM)

# MMPretrain, MMDetection, MMSegmentation: V1d and V1c networks, and SE networks; plain ones have torchvision's names.
OPEN_MMLAB: tuple[Home, ...] = (
    Home(
        home="OpenMMLab",
        marks=(FIRST_BLOCK, "stem.6.", "layer2.0.downsample.2."),
        renamed=(*_MM_STEM, *_FIRST_PROJECTION, *_SE),
    ),
    Home(home="OpenMMLab", marks=(FIRST_BLOCK, "stem.6."), renamed=(*_MM_STEM, *_SE)),
    Home(home="OpenMMLab", marks=("layer1.0.se_layer.conv1.conv.weight", "conv1."), renamed=_SE),
    # MMAction2: each convolution stands with its norm in a ConvModule.
    Home(
        home="OpenMMLab",
        marks=("layer1.0.conv1.conv.weight", "conv1.conv."),
        ndim=4,  # its networks of clips have these names too
        renamed=(
            (r"(^|\.)conv([0-9])\.conv\.", r"\1conv\2."),
            (r"(^|\.)conv([0-9])\.bn\.", r"\1bn\2."),
            (r"\.downsample\.conv\.", ".downsample.0."),
            (r"\.downsample\.bn\.", ".downsample.1."),
        ),
        among=r"(^|\.)backbone\.$",  # hand-written networks and timm's TResNet have such names, too
    ),
)

# semseg (hszhao) puts the stem into one Sequential.
DEEP_STEMS: tuple[Home, ...] = (
    Home(
        home="a deep stem called layer0",
        marks=(FIRST_BLOCK, "layer0.6."),
        renamed=tuple((rf"^layer0\.{i}\.", f"{name}.") for i, name in _DEEP_STEM),
    ),
)

# Many segmentation networks: nn.Sequential(conv1, bn1, relu, maxpool) called layer0; the pool may stand in layer1.
LAYER0 = Home(
    home="a stem called layer0",
    marks=(FIRST_BLOCK, "layer0.0.", "layer0.1."),
    renamed=((r"^layer0\.0\.", "conv1."), (r"^layer0\.1\.", "bn1.")),
)
