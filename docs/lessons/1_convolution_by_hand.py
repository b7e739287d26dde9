"""
1. Convolution by hand
======================

A ResNet looks at a photo through small windows. Everything it knows about cats and cars it learns by sliding little
grids of numbers, called filters, over the picture, multiplying and adding. This lesson does that once by hand, then
with seven loops, then with the real weights of a trained network, and checks that all agree.

You need Python, NumPy, and matplotlib for the pictures. Each cell can be run, changed, and run again.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import npresnet
from npresnet.teach.rungs import seven_loops, tap_by_tap
from npresnet.window import Window

# %% [markdown]
# One number
# ----------
#
# Take a picture of 4 x 4 grey pixels and a filter of 3 x 3. Lay the filter on the upper left corner, multiply each pixel
# by the number that lies on it, and add up the nine products. That sum is one pixel of the result.

# %%
image = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]], np.float32)
edge = np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]], np.float32)  # bright left, dark right?

patch = image[0:3, 0:3]
print(patch * edge)
print("sum:", (patch * edge).sum())

# %% [markdown]
# The sum is large because the patch looks like the filter: bright left, dark right. Where the picture is flat, the left
# and the right column cancel. A filter is a question, and the sum is how strongly the patch says yes.
#
# Sliding
# -------
#
# Now move the filter one pixel at a time. On a picture `H` pixels high, a filter of `KH` rows has `H - KH + 1` places to
# stand; a border of `padding` zeros on each side gives `2 * padding` more, and a `stride` of 2 visits every second one::
#
#     OH = (H + 2*padding - dilation*(KH - 1) - 1) // stride + 1
#
# It is the one piece of arithmetic that everybody gets wrong once, so npresnet has it in exactly one place.

# %%
for padding, stride in [(0, 1), (1, 1), (1, 2), (3, 2)]:
    window = Window.of(3, stride, padding)
    size = window.output_size((4, 4))
    print(f"padding {padding}, stride {stride}: 4x4 pixels give", size)

# %% [markdown]
# Channels, filters, images
# -------------------------
#
# A photo has three channels, red, green and blue, and inside a network there are hundreds. A filter has a grid for each
# of them, and adds up over all: that is how channels are mixed. A layer has many filters, and each makes one channel of
# the result. And networks take several images at once. That is all there is to the seven loops::
#
#     out[n,o,i,j] = sum over c,u,v of weight[o,c,u,v] * x[n, c, row, column]
#
#     row    = i*stride + u*dilation - padding
#     column = j*stride + v*dilation - padding
#
# over images `n`, filters `o`, rows `i`, columns `j`, and inside the sum over channels `c` and the filter's taps `u, v`.
# Outside the picture `x` is 0. (A mathematician would flip the filter first and call this cross-correlation. The field
# does not flip, and calls it convolution.)

# %%
x = np.random.default_rng(0).integers(-3, 4, (1, 3, 6, 5)).astype(np.float32)
weight = np.random.default_rng(1).integers(-3, 4, (2, 3, 3, 3)).astype(np.float32)
window = Window.of(3, 1, 1)

slow = seven_loops(x, weight, window)
fast = tap_by_tap(x, weight, window)
print("shape", slow.shape, "- the same numbers:", bool((slow == fast).all()))

# %% [markdown]
# With whole numbers every order of adding gives the very same sum, so `==` is the right question, and "nearly" would hide
# a bug. With real weights the order matters in the last digits, because a float32 keeps about seven of them. That is
# rounding, not error; lesson 2 looks at it closely.
#
# A real one
# ----------
#
# npresnet comes with a small network trained on ten kinds of things, and a photo of a cat. Here is its first layer, 16
# filters of 3 x 3 on three channels, computed by the loops on a corner of the photo, and by npresnet on all of it.

# %%
model = npresnet.load("demo")
photo = model.preprocess(npresnet.__path__[0] + "/data/chelsea.jpg")
filters = model.network["conv1"].params["weight"]
print("photo", photo.shape, "filters", filters.shape)

by_hand = seven_loops(photo[:, :, :6, :6], filters, Window.of(3, 1, 0))
by_network = model.features(photo, ["conv1"])["conv1"]
inside = by_network[:, :, 1:5, 1:5]  # the layer itself has a border of one zero, our crop has none
difference = np.abs(by_hand - inside).max()
print(f"largest difference {difference:.1e} of numbers up to {np.abs(inside).max():.2f}")

# %% [markdown]
# What do the filters ask? Here is the photo as the network gets it, 32 x 32 pixels, and the answers of the three filters
# that answer most strongly: bright where the patch looks like the filter, dark where it looks like its opposite.

# %%
strongest = np.argsort(-by_network[0].std(axis=(1, 2)))[:3]
pixels = photo[0].transpose(1, 2, 0)
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), layout="constrained")
figure.suptitle("A photo and the answers of three filters")
axes[0].imshow((pixels - pixels.min()) / (pixels.max() - pixels.min()))
axes[0].set_xlabel("photo")
for axis, channel in zip(axes[1:], strongest, strict=True):
    axis.imshow(by_network[0, channel], cmap="gray")
    axis.set_xlabel(f"filter {channel}")
for axis in axes:
    axis.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# How much work is the whole layer? Each output costs `C * KH * KW` multiply-adds, and there are `O * OH * OW` of them:

# %%
O, C, KH, KW = filters.shape
OH, OW = Window.of(3, 1, 1).output_size(photo.shape[2:])
print(
    f"{O * OH * OW:,} outputs x {C * KH * KW} = {O * OH * OW * C * KH * KW:,} multiply-adds, for the smallest layer there is"
)

# %% [markdown]
# And that is the smallest layer there is. A ResNet-50 needs 4,089 million for a photo. Python takes about a microsecond
# for each, so the loops would need over an hour; npresnet takes a few hundredths of a second. How that is possible is the rest of this book.
#
# Try it
# ------
#
# - `npresnet explain YOUR.jpg -o page.html` follows one number of any layer, on your own photo.
# - `npresnet exercise start`, then the exercises `output_size` and `position`.
# - Change `edge` above to find horizontal edges. What does a filter of nine equal numbers do?
