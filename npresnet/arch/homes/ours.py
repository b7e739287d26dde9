"""Names that families read themselves: only what stands before them is taken off."""

from __future__ import annotations

from npresnet.arch.homes.home import Home
from npresnet.arch.homes.torchvision import FIRST_BLOCK

OURS: tuple[Home, ...] = (
    Home(marks=(FIRST_BLOCK, "conv1.")),  # torchvision, timm, and most others
    Home(marks=(FIRST_BLOCK, "layer0.conv1.")),  # Cadene's squeeze-and-excitation networks
    Home(marks=("layer1.0.conv1.conv.weight", "conv1.weight")),  # timm's selective kernels
    Home(marks=("layer1.0.conv1.conv.weight", "conv1.0.")),  # the same with a deep stem
    Home(marks=("layer1.0.conv1.paths.0.conv.weight", "conv1.")),  # the same, in BasicBlocks
    Home(marks=("stages.0.0.conv1_1x1.conv.weight", "stem.")),  # timm's configured blocks
    Home(marks=("stages.0.0.conv1_kxk.conv.weight", "stem.")),
    Home(marks=("layer1.0.conv1.0.weight", "stem.")),  # torchvision's video networks
    Home(marks=("stages.0.blocks.0.conv1.weight", "stem.")),  # timm's pre-activation networks
    Home(marks=("stages.0.blocks.0.conv1.conv.weight", "stem.")),  # timm's cross-stage networks
    Home(marks=("stages.0.0.conv1.gain", "stem.")),  # timm's networks without normalisation
    Home(marks=("body.layer1.0.conv1.conv.weight", "body.conv1.")),  # timm's TResNet
    Home(marks=("block1.layer.0.conv1.weight", "conv1.")),  # Wide ResNets for CIFAR
    Home(marks=("layer.0.block.0.conv_0.weight", "init_conv.")),  # DeepMind's
    Home(marks=("stage1.0.residual.2.weight", "pre.0.")),  # pre-activation networks of pytorch-cifar100
)
