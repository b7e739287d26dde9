"""
4. Memory, caches and tiles
===========================

A core of a modern CPU can do dozens of multiply-adds in the time in which memory delivers a single number. So the
question behind every fast program is: once a number is here, how much do I do with it before it leaves again? This
lesson measures both speeds on your machine, works out which layers they limit, and cuts a convolution into tiles.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import npresnet
from npresnet import passes
from npresnet.bench.peak import gemm_peak_gflops
from npresnet.ops import conv2d
from npresnet.plan import make_layout
from npresnet.teach.ladder.climb import copy_bandwidth_gb_per_s
from npresnet.teach.rungs import tiled_and_fused
from npresnet.window import Window

# %% [markdown]
# Two ceilings
# ------------
#
# How fast can one core of this machine multiply, and how fast can it copy? A product of large matrices is the best that
# BLAS can do; a copy of an array that fits in no cache is what memory can do.

# %%
peak = gemm_peak_gflops(calls=5)
bandwidth = copy_bandwidth_gb_per_s(megabytes=64, calls=3)
print(f"multiplying {peak:6.1f} GFLOP/s")
print(f"copying     {bandwidth:6.1f} GB/s")
print(f"so a byte from memory must be worth {peak / bandwidth:.0f} FLOPs, or the core waits for it")

# %% [markdown]
# That last number divides the world. A layer's *arithmetic intensity* is its FLOPs over the bytes that it must read and
# write at least. Above the dividing number the layer is limited by arithmetic; below it, by memory, and no cleverness with
# instructions will help. (This picture is called the roofline: Williams, Waterman and Patterson 2009.)

# %%
network = passes.optimize(npresnet.build("resnet50").network)
layout = make_layout(network, (3, 224, 224))
intensity = {}
for name in ("conv1", "layer1.0.conv1", "layer1.0.conv2", "layer3.1.conv2", "layer4.1.conv2", "layer4.2.conv3", "fc"):
    node = network[name]
    values = sum(layout.values[value].size_bytes for value in (*node.inputs, name))
    weights = sum(4 * array.size for array in node.params.values())
    flops = 2 * layout.macs[name]
    intensity[name] = flops / (values + weights)
    print(
        f"{name:15s} {flops / 1e6:6.1f} MFLOP  {values / 1e6:5.2f} MB of values, {weights / 1e6:5.2f} MB of weights,"
        f" {intensity[name]:5.1f} FLOPs a byte"
    )

# %%
figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
flops_per_byte = np.geomspace(0.25, 400, 100)
axis.loglog(flops_per_byte, np.minimum(peak, flops_per_byte * bandwidth), color="#33618f")
for name, value in intensity.items():
    axis.plot(value, min(peak, value * bandwidth), "o", label=name)
axis.set(title="The roofline of this machine", xlabel="FLOPs a byte", ylabel="GFLOP/s at most")
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.show()

# %% [markdown]
# Look at the last layers: few pixels, megabytes of weights. For one image each weight is used 49 times in layer 4, and
# once in the classifier. That is why several images at a time are faster *per image*: the weights are read once for all
# of them. npresnet's CPU backend takes four images at a time through the deep layers, and one at a time through the
# first, whose values would not fit the cache four times over.
#
# Where the values live
# ---------------------
#
# A network does not need all its feature maps at once. Each is alive from the step that makes it to the last step that
# reads it, and two that are never alive together may share the same memory. npresnet works this out before it runs:

# %%
alive = layout.values
total = sum(value.size_bytes for value in alive.values())
print(
    f"all feature maps of a photo: {total / 1e6:.1f} MB; the arena that holds them: {layout.arena_bytes / 1e6:.1f} MB"
)
for name in ("conv1", "maxpool", "layer1.0.conv1", "layer1.0.conv2", "layer1.0.downsample.0", "layer1.0.conv3"):
    value = alive[name]
    life = value.lifetime
    print(
        f"  {name:22s} steps {life.first:2d} to {life.last:2d}, bytes {value.offset_bytes:>9,} to {value.offset_bytes + value.size_bytes:>9,}"
    )

# %% [markdown]
# Tiles
# -----
#
# im2col's matrix is nine times the picture, and goes to memory and back. So do not make all of it. Take a band of a few
# rows of the output, make the columns of that band alone, multiply, add bias and residual, clamp, and go on to the next.
# If a band's columns fit the cache, the nine copies never leave it:

# %%
C, size, O = 64, 56, 64
window = Window.of(3, 1, 1)
for band in (56, 14, 7, 4, 1):
    columns = C * 9 * band * size * 4
    print(
        f"bands of {band:2d} rows: columns {columns / 1e3:6.0f} kB, {56 // band:2d} products of ({O}, {C * 9}) @ ({C * 9}, {band * size})"
    )

# %% [markdown]
# A core has about 1 MB of second-level cache, so 4 to 7 rows are right here. Much smaller is wrong again: a product of few
# columns gives the multiplier too little to do at a time. Between the two lies the choice that every fast library makes,
# layer by layer.
#
# The last band may be shorter than the others, and that is where bugs live. Whole numbers, and every height, show it:

# %%
rng = np.random.default_rng(0)
x, weight, bias = (rng.integers(-3, 4, shape).astype(np.float32) for shape in [(1, 5, 13, 9), (6, 5, 3, 3), (6,)])
plain = np.maximum(conv2d(x, weight, bias, padding=1), 0)
for band in (1, 2, 4, 5, 13, 100):
    tiled = tiled_and_fused(x, weight, window, bias=bias, relu=True, band=band)
    print(f"bands of {band:3d}: equal to the plain convolution:", bool((tiled == plain).all()))

# %% [markdown]
# Fewer multiplications
# ---------------------
#
# One more way out: multiply less. Winograd's minimal filtering computes a 4 x 4 patch of a 3 x 3 convolution with 36
# multiplications instead of 144, at the price of additions and of a little more rounding. In one dimension it is easy to
# see. Two outputs of a filter of three need six products; this needs four:

# %%
d, g = rng.standard_normal(4), rng.standard_normal(3)
m1 = (d[0] - d[2]) * g[0]
m2 = (d[1] + d[2]) * (g[0] + g[1] + g[2]) / 2
m3 = (d[2] - d[1]) * (g[0] - g[1] + g[2]) / 2
m4 = (d[1] - d[3]) * g[2]
print("four products:", m1 + m2 + m3, m2 - m3 - m4)
print("six products: ", *np.correlate(d, g))

# %% [markdown]
# The sums of filter numbers are made once, when the network is loaded. `npresnet/ops/winograd.py` derives the matrices for
# any size, and says why the points 0, 5/8, -5/8, 3/2 and -3/2 lose the fewest digits.
#
# Try it
# ------
#
# - The exercise `ragged_tile`.
# - `npresnet bench resnet50 --layers` lists every step of a network with its share of the peak that you measured above.
# - `npresnet trace YOUR.jpg -o page.html` draws the arena as a chart over time.
# - At what batch would the classifier's intensity reach your dividing number?
