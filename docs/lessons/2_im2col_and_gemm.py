"""
2. im2col and GEMM
==================

Processors are very good at one thing: multiplying matrices. Libraries for it (BLAS; its matrix product is called GEMM)
have been tuned for fifty years. So the oldest trick for fast convolution is to turn it into a matrix product, at the
price of copying the picture. This lesson builds that matrix, looks at it, and counts what it costs.
"""

# %%
import time

import matplotlib.pyplot as plt
import numpy as np

import npresnet
from npresnet.ops.conv2d import im2col
from npresnet.teach.rungs import im2col_product, tap_by_tap
from npresnet.window import Window

# %% [markdown]
# A window becomes a column
# -------------------------
#
# Take a picture of 3 x 3 and a window of 2 x 2. There are four places for the window; write what it sees at each of them
# as a column. The picture has nine numbers, the matrix sixteen: the middle pixel is seen by all four windows.

# %%
x = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
columns = im2col(x, Window.of(2))
print(x[0, 0])
print(columns[0])

# %% [markdown]
# Read it by rows: row 0 is what the filter's upper left number meets, place after place; it is the picture itself, shifted.
# Read it by columns: column 3 is the lower right window, in the order in which a filter lies in memory. So a filter,
# written as one long row, times this matrix gives its answer at every place at once; and all filters, as rows below each
# other, give the whole layer::
#
#     (O, C*KH*KW) @ (C*KH*KW, OH*OW) = (O, OH*OW)
#       filters          columns          outputs

# %%
weight = np.array([[[[1, 0], [0, -1]]], [[[1, 1], [1, 1]]]], np.float32)  # two filters of 1 x 2 x 2
product = weight.reshape(2, 4) @ columns[0]
print(product)
print("the same as sliding:", bool((product.reshape(1, 2, 2, 2) == tap_by_tap(x, weight, Window.of(2))).all()))

# %% [markdown]
# Of a real photo, each row of the matrix is the whole picture, unrolled and shifted by one tap. Here are the nine rows of
# the red channel under a 3 x 3 window, at the first four rows of places:

# %%
model = npresnet.load("demo")
photo = model.preprocess(npresnet.__path__[0] + "/data/chelsea.jpg")
figure, axis = plt.subplots(figsize=(9, 2.6), layout="constrained")
axis.imshow(im2col(photo, Window.of(3, 1, 1))[0, :9, :128], aspect="auto", cmap="gray")
axis.set(title="im2col's matrix: the same pixels, nine times", xlabel="place l = i * OW + j", ylabel="tap u * KW + v")
axis.set_yticks(range(9))
plt.show()

# %% [markdown]
# What it costs
# -------------
#
# Nothing was saved in arithmetic: there are just as many multiply-adds as before. But they are now in the order that the
# hardware likes, each number used many times while it is in a register. The price is memory. A 3 x 3 window with stride 1
# sees each pixel nine times, so the matrix is nine times the picture:

# %%
for name, C, size, kernel, stride in [
    ("resnet50 conv1", 3, 224, 7, 2),
    ("resnet50 layer1.0.conv2", 64, 56, 3, 1),
    ("resnet50 layer1.0.conv1", 64, 56, 1, 1),
    ("resnet50 layer4.0.conv2", 512, 14, 3, 2),
]:
    window = Window.of(kernel, stride, kernel // 2)
    OH, OW = window.output_size((size, size))
    picture, matrix = C * size * size * 4, C * kernel * kernel * OH * OW * 4
    print(f"{name:26s} picture {picture / 1e6:5.2f} MB, columns {matrix / 1e6:5.2f} MB, {matrix / picture:4.1f} times")

# %% [markdown]
# The third line is the best kind: under a 1 x 1 window each pixel is its own column, so the picture *is* the matrix, and
# nothing needs to be copied. In a ResNet-50 more than half of all convolutions are of that kind. Its inventors chose
# them to save arithmetic; that they need no im2col is a gift.
#
# Is it faster?
# -------------
#
# The rungs of the ladder on a layer of the demo model, with the numbers of a real photo:

# %%
inside = model.features(photo, ["layer1.0.relu"])["layer1.0.relu"]  # (1, 16, 32, 32)
weight = model.network["layer1.1.conv1"].params["weight"]
window = Window.of(3, 1, 1)


def milliseconds(call) -> float:
    times = []
    for _ in range(20):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] * 1e3


a = tap_by_tap(inside, weight, window)
b = im2col_product(inside, weight, window)
print(f"tap by tap      {milliseconds(lambda: tap_by_tap(inside, weight, window)):6.3f} ms")
print(f"im2col and GEMM {milliseconds(lambda: im2col_product(inside, weight, window)):6.3f} ms")

# %% [markdown]
# On so small a layer the copy may well cost more than the product saves. `npresnet ladder` measures it properly, and
# `npresnet ladder --model resnet50 --layer layer3.0.conv2` on a large one.
#
# Not quite the same
# ------------------
#
# The two results differ, and both are right:

# %%
exact = tap_by_tap(inside.astype(np.float64), weight.astype(np.float64), window)
print("bitwise equal:", bool((a == b).all()))
for name, result in [("tap by tap", a), ("im2col and GEMM", b)]:
    error = np.sqrt(np.mean((result - exact) ** 2) / np.mean(exact**2))
    print(f"{name:16s} error {error:.1e}, relative to the result")

# %% [markdown]
# A float32 keeps 24 binary digits. Every addition rounds, and two orders of adding round differently: that is all. The
# error is a few times 2^-24 = 6e-8, as it should be. A wrong index would give an error near 1. This is why npresnet's tests
# ask two separate questions: with small whole numbers, where nothing rounds, results must be *equal*; with real numbers
# the error against float64 must be as small as PyTorch's.
#
# The matrix that is never stored
# -------------------------------
#
# GPUs, and npresnet's CPU backend, do not store the columns at all. They cut the product into tiles, and copy just the
# piece of the matrix that a tile needs into fast memory, computing from the column's number which pixel it is::
#
#     row k of the matrix     ->  c = k // (KH*KW), u = k // KW % KH, v = k % KW
#     column l of the matrix  ->  i = l // OW, j = l % OW
#     entry                   =   x[c, i*stride + u - padding, j*stride + v - padding], or 0 outside
#
# That is called *implicit* GEMM: the same matrix, read but never written. Lesson 4 builds it in tiles, lesson 5 on a GPU.

# %%
window = Window.of(3, 2, 1)
columns = im2col(inside, window)
OH, OW = window.output_size(inside.shape[2:])
k, l = 4, 100
c, u, v, i, j = k // 9, k // 3 % 3, k % 3, l // OW, l % OW
print("entry by the matrix:", columns[0, k, l], " by the formula:", inside[0, c, i * 2 + u - 1, j * 2 + v - 1])

# %% [markdown]
# Try it
# ------
#
# - The exercises `matrix_product`, `im2col` and `groups`.
# - `npresnet explain YOUR.jpg -o page.html` shows the matrix beside the picture: point at a column to see its patch.
# - How large are the columns of a 3 x 3 convolution with 64 groups? Is that a good use of a matrix product?
