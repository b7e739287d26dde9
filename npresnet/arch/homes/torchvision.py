"""torchvision's names, which are ours: other homes' names are translated into these."""

from __future__ import annotations

BLOCK = r"^layer[0-9]+\.[0-9]+\."  # layer<stage>.<block>.

# A file all of whose names fit is torchvision's own: no other home's pattern needs to be tried on it.
PLAIN = (
    r"(conv1|fc|layer[0-9]+\.[0-9]+\.(conv[0-9]|downsample\.0))\.(weight|bias)"
    r"|(bn1|layer[0-9]+\.[0-9]+\.(bn[0-9]|downsample\.1))\.(weight|bias|running_mean|running_var|num_batches_tracked)"
)

# A prefix is what stands before both of these.
FIRST_BLOCK = "layer1.0.conv1.weight"
STEM = r"conv1\.(weight$|0\.)"

# Modules that classify: of torchvision and timm; of CIFAR nets; of networks put together by hand.
CLASSIFIERS = ("fc", "linear", "classifier")
