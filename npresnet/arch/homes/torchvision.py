"""torchvision's names, which npresnet uses: other homes' names are translated to these."""

from __future__ import annotations

BLOCK = r"^layer[0-9]+\.[0-9]+\."  # layer<stage>.<block>.

# A file all of whose names match is torchvision's own: other homes' patterns need not be tried.
PLAIN = (
    r"(conv1|fc|layer[0-9]+\.[0-9]+\.(conv[0-9]|downsample\.0))\.(weight|bias)"
    r"|(bn1|layer[0-9]+\.[0-9]+\.(bn[0-9]|downsample\.1))\.(weight|bias|running_mean|running_var|num_batches_tracked)"
)

# Names of classifiers: in torchvision and timm; in CIFAR networks; in hand-written networks.
CLASSIFIERS = ("fc", "linear", "classifier")

FIRST_BLOCK = "layer1.0.conv1.weight"
