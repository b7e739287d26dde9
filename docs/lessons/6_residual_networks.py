"""
6. Residual networks, end to end
================================

All the parts are there. This lesson puts them together: why a shortcut makes a deep network learn, what a bottleneck
saves, what the shortcuts cost, and how a photo becomes the word "cat", with every number counted.

The paper is He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition" (2015).
"""

# %%
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

import npresnet
from npresnet.plan import make_layout
from npresnet.teach import by_hand

# %% [markdown]
# The shortcut
# ------------
#
# Stack 56 plain layers and the network does worse than with 20, even on the pictures it has learned from. Not because it
# cannot be good: the extra layers could simply pass their input on. They cannot *find* that by training. So He and
# colleagues built it in. A block computes what should be added to its input, and the input goes past it unchanged::
#
#     out = relu(x + f(x))
#
# If nothing should change, `f` has only to be zero, which is easy to learn.

# %%
print(by_hand.block.__doc__)
model = npresnet.load("demo")
photo = model.preprocess(npresnet.__path__[0] + "/data/chelsea.jpg")
names = [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in range(3)]
values = model.features(photo, names)  # the result of each block
for before, after in pairwise(names):
    if values[before].shape == values[after].shape:
        change = np.sqrt(np.mean((values[after] - values[before]) ** 2) / np.mean(values[before] ** 2))
        print(f"{after} changes its input by {change:.0%}")

# %% [markdown]
# Those are the real blocks of the demo model on a real photo. Most change their input by a part of its own size; only the
# last one, which has to come to a decision, makes it over.
#
# The bottleneck's arithmetic
# ---------------------------
#
# Deep networks need many channels, and a 3 x 3 convolution costs the square of their number. A bottleneck first squeezes
# 256 channels into 64 by a 1 x 1 convolution, does the 3 x 3 there, and expands again:

# %%
basic = 2 * (256 * 256 * 3 * 3)
bottleneck = 256 * 64 * 1 * 1 + 64 * 64 * 3 * 3 + 64 * 256 * 1 * 1
print(f"two 3x3 convolutions on 256 channels: {basic:9,} weights")
print(f"1x1 down to 64, 3x3, 1x1 up to 256:   {bottleneck:9,} weights, {basic / bottleneck:.0f} times fewer")

# %% [markdown]
# A ResNet-50 has such blocks. Their weights add up to hardly more than a ResNet-34's, and they go much deeper:

# %%
for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "wide_resnet50_2"):
    network = npresnet.build(name).network
    layout = make_layout(network, (3, 224, 224))
    weights = sum(node.params["weight"].size for node in network if node.op in ("conv2d", "linear"))
    convolutions = sum(node.op == "conv2d" for node in network)
    print(
        f"{name:16s} {convolutions:3d} convolutions, {weights / 1e6:6.2f} M weights, {sum(layout.macs.values()) / 1e9:6.3f} G multiply-adds"
    )

# %% [markdown]
# `resnext50_32x4d` has 32 groups: each filter of its 3 x 3 layers sees 4 channels instead of 128. The arithmetic of those
# layers falls to a 32nd, so they can be wider for the same price.
#
# What shortcuts cost: options A, B and C
# ---------------------------------------
#
# Where a stage begins, the result has twice the channels and half the pixels on a side, and `x` cannot simply be added.
# The paper tries three ways:
#
# - **A**: take every second pixel, and fill the missing channels with zeros. No weights at all. (The CIFAR networks.)
# - **B**: a 1 x 1 convolution with stride 2, only where the shape changes. (torchvision, and nearly everybody.)
# - **C**: a 1 x 1 convolution on every shortcut. A little better in the paper, and not worth it.
#
# Count the multiply-adds of each for a ResNet-34 and a ResNet-50:


# %%
def shortcut_macs(name: str) -> tuple[float, float, float]:
    """Millions of multiply-adds on the shortcuts by options A, B and C."""
    network = npresnet.build(name).network
    layout = make_layout(network, (3, 224, 224))
    b = sum(macs for node, macs in layout.macs.items() if "downsample" in node)
    every = 0
    for node in network:
        if node.op == "add" and not any("downsample" in value for value in node.inputs):
            channels, height, width = layout.values[node.name].shape
            every += channels * channels * height * width
    return 0, b / 1e6, (b + every) / 1e6


for name in ("resnet34", "resnet50"):
    a, b, c = shortcut_macs(name)
    whole = sum(make_layout(npresnet.build(name).network, (3, 224, 224)).macs.values()) / 1e6
    print(f"{name}: A {a:.0f} M, B {b:.0f} M, C {c:,.0f} M more multiply-adds; the network itself has {whole:,.0f} M")

# %% [markdown]
# For bottlenecks option C would cost a good part of the network again: the shortcut is where they are widest. That is why
# identity shortcuts matter most for the deep ones.
#
# From a photo to a word
# ----------------------
#
# `npresnet/teach/by_hand.py` is a whole ResNet-18 in about sixty lines: the network, a block, four operations, NumPy and
# nothing else. Here it is beside npresnet, on random weights, which any mistake would upset as well as trained ones:

# %%
with npresnet.build("resnet18", num_classes=10, seed=1) as random_model:
    weights = {f"{node.name}.{role}": array for node in random_model.network for role, array in node.params.items()}
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)
    by_the_book = by_hand.resnet18(weights, x.astype(np.float64))
    by_npresnet = random_model(x)
error = np.sqrt(np.mean((by_npresnet - by_the_book) ** 2) / np.mean(by_the_book**2))
print(f"{by_the_book.shape} logits, npresnet's error {error:.1e}")

# %% [markdown]
# And the demo model, from the photo on:

# %%
logits = model(photo)[0]
powers = np.exp(logits - logits.max())  # a common factor cancels, and nothing overflows
probabilities = powers / powers.sum()
for index in np.argsort(-probabilities)[:3]:
    print(f"{model.labels[index]:12s} {probabilities[index]:7.2%}")

# %% [markdown]
# Where it looked
# ---------------
#
# The last feature maps know *what* and still know roughly *where*: the classifier adds them up over all places. Take its
# weights for one class and do not add up, and you have a map of what spoke for that class (Zhou et al. 2016, "Learning
# Deep Features for Discriminative Localization"). For a ResNet that is exact, and needs no gradient:

# %%
heat = model.cam(npresnet.__path__[0] + "/data/chelsea.jpg")
pixels = photo[0].transpose(1, 2, 0)
figure, axes = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
figure.suptitle("A photo, and what in it speaks for cat")
for axis in axes:
    axis.imshow((pixels - pixels.min()) / (pixels.max() - pixels.min()))
    axis.set(xticks=[], yticks=[])
axes[1].imshow(heat, cmap="inferno", alpha=0.6)
plt.show()

# %% [markdown]
# The same map for a terminal:

# %%
for row in heat[::4, ::2]:
    print("".join(" .:-=+*#%@"[int(value * 9.99)] for value in row))

# %% [markdown]
# Try it
# ------
#
# - The exercises `shortcut`, `max_pool_padding` and `softmax`.
# - `npresnet cam YOUR.jpg -o cam.png --model resnet18`, and `npresnet predict` on your own photos.
# - `npresnet summary resnet152` lists every layer. Where are most of the weights, and where is most of the work?
