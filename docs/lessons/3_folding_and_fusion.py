"""
3. BatchNorm folding and fusion
===============================

Between two convolutions of a ResNet stand a BatchNorm, a ReLU and sometimes an addition. They hardly compute anything,
and yet a naive program spends a good part of its time in them, because each reads a whole feature map from memory and
writes it back. The cure costs nothing: fold the BatchNorm into the convolution's own numbers, and do the rest while a
piece of the result is still in the cache.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import npresnet
from npresnet import passes
from npresnet.ops import batch_norm, conv2d
from npresnet.plan import make_layout

# %% [markdown]
# A line after a line is a line
# -----------------------------
#
# While it learns, BatchNorm measures the mean and the variance of each channel and brings them to 0 and 1. When learning
# is over, the measurements are frozen, and what is left is a line through each channel::
#
#     y = (x - mean) / sqrt(var + eps) * gamma + beta
#       = scale * x + shift        scale = gamma / sqrt(var + eps),  shift = beta - mean * scale
#
# A convolution is linear too, so scaling its result is scaling its filters, and adding to its result is a bias. Two
# operations become one, and the second disappears.

# %%
model = npresnet.load("demo")
weight = model.network["conv1"].params["weight"]
norm = model.network["bn1"].params
scale = norm["weight"].astype(np.float64) / np.sqrt(norm["running_var"].astype(np.float64) + 1e-5)
shift = norm["bias"] - norm["running_mean"] * scale

photo = model.preprocess(npresnet.__path__[0] + "/data/chelsea.jpg")
one_after_the_other = batch_norm(conv2d(photo, weight, padding=1), **norm)
folded = conv2d(photo, (weight * scale[:, None, None, None]).astype(np.float32), shift.astype(np.float32), padding=1)
difference = np.abs(folded - one_after_the_other).max()
print(f"largest difference {difference:.1e}, of numbers up to {np.abs(folded).max():.2f}")

# %% [markdown]
# The little `eps` is easy to lose: it is in no checkpoint. In channels that training has switched off the variance is tiny,
# and without it their factor explodes. Look at what forgetting it does here, where what that factor meets is tiny, too:

# %%
forgotten = norm["weight"] / np.sqrt(norm["running_var"])
wrong = conv2d(photo, (weight * forgotten[:, None, None, None]).astype(np.float32), shift.astype(np.float32), padding=1)
larger = (forgotten / scale).max()
print(f"without eps a channel's factor is {larger:.0f} times as large: its variance is {norm['running_var'].min():.1e}")
print(f"and the result differs by up to {np.abs(wrong - folded).max():.1e}")

# %% [markdown]
# Count the bytes
# ---------------
#
# How much does it save? Each operation reads and writes its whole feature map. Take a ResNet-50 on one photo, and count
# the nodes and the bytes before and after npresnet's two passes:

# %%
network = npresnet.build("resnet50").network
fused = passes.optimize(network)


def traffic_bytes(of) -> int:
    values = make_layout(of, (3, 224, 224)).values
    return sum(values[name].size_bytes for node in of for name in (*node.inputs, node.name))


stages = {"as written": network, "folded": passes.fold_batch_norm(network), "fused": fused}
megabytes = {name: traffic_bytes(of) / 1e6 for name, of in stages.items()}
for name, of in stages.items():
    print(f"{name:12s} {len(of):4d} steps  {megabytes[name]:6.0f} MB of feature maps read and written")

# %%
figure, axis = plt.subplots(figsize=(6, 2.4), layout="constrained")
axis.bar_label(axis.barh(list(stages)[::-1], list(megabytes.values())[::-1], color="#5b7fb0"), fmt="%.0f", padding=3)
axis.set(title="Feature maps read and written, one photo, ResNet-50", xlabel="MB")
axis.margins(x=0.1)
plt.show()

# %% [markdown]
# Fusion
# ------
#
# The second pass takes what follows a convolution (the residual's addition and the ReLU) into the convolution's own step::
#
#     out = relu(conv(x) + bias + residual)
#
# The backend computes a tile of the product, and while those few kilobytes are still in the cache it adds the bias and
# the residual and clamps at 0. Nothing else changes: the same numbers, fewer trips to memory. Here is a block before and
# after:

# %%
for of in (network, fused):
    for node in of:
        if node.name.startswith("layer1.1."):
            extra = " + residual" if node.op == "conv2d" and len(node.inputs) > 1 else ""
            print(f"  {node.name:22s} {node.op}{extra}{f' + {node.activation}' if node.activation else ''}")
    print()

# %% [markdown]
# Proof
# -----
#
# A pass is a function from network to network, so it is easy to check: run both, slowly, in float64, and compare.

# %%
x = photo.astype(np.float64)
(before,), (after,) = (npresnet.ops.run(of, x).values() for of in (model.network, passes.optimize(model.network)))
print(f"largest difference {np.abs(before - after).max():.1e} of logits up to {np.abs(before).max():.2f}")

# %% [markdown]
# The folded biases are rounded to float32 once, which is the difference you see. All else is worked out in float64: numbers
# rounded twice would lose a digit for nothing.
#
# Try it
# ------
#
# - The exercises `batch_norm` and `fold`.
# - `npresnet trace YOUR.jpg -o page.html` shows the steps before and after, with their feature maps.
# - Why can a BatchNorm that comes *before* a convolution with padding not be folded into it? (What would the border be?)
