"""ResNet-18 by hand: from pixels to 1,000 scores in plain NumPy, nothing hidden, nothing clever.

    weights = npresnet.read_state_dict("resnet18.pth")
    logits = resnet18(weights, model.preprocess("dog.jpg"))    # (1, 1000)

Read it from the top: the network, then a block, then the four operations. N images go through side by side; the shapes
are those of images of 224x224. A trained network is these lines and 11.7 million numbers.

The file imports NumPy alone, on purpose: it is a second opinion about what the rest of npresnet computes.
"""

from __future__ import annotations

import numpy as np

# The shapes stand in a column.
# fmt: off


def resnet18(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """What He et al. (2015, "Deep Residual Learning", table 1, column "18-layer") compute from a batch of images.

    weights  {name: array}, named as in torchvision's files: conv1.weight, bn1.running_mean, layer1.0.conv1.weight, ...
    x        (N, 3, H, W)        normalised pixels; float64 gives a float64 result, float32 is faster
    returns  (N, num_classes)    logits: the largest wins

    Cost: 1.8 thousand million multiply-adds for each image of 224x224.
    """
    weights = {name: array.astype(x.dtype) for name, array in weights.items()}

    x = conv(x, weights["conv1.weight"], stride=2, padding=3)  # (N, 64, 112, 112)
    x = relu(batch_norm(x, weights, "bn1"))                    # (N, 64, 112, 112)
    x = max_pool(x, kernel_size=3, stride=2, padding=1)        # (N, 64, 56, 56)

    x = block(x, weights, "layer1.0", stride=1)                # (N, 64, 56, 56)
    x = block(x, weights, "layer1.1", stride=1)                # (N, 64, 56, 56)
    x = block(x, weights, "layer2.0", stride=2)                # (N, 128, 28, 28)
    x = block(x, weights, "layer2.1", stride=1)                # (N, 128, 28, 28)
    x = block(x, weights, "layer3.0", stride=2)                # (N, 256, 14, 14)
    x = block(x, weights, "layer3.1", stride=1)                # (N, 256, 14, 14)
    x = block(x, weights, "layer4.0", stride=2)                # (N, 512, 7, 7)
    x = block(x, weights, "layer4.1", stride=1)                # (N, 512, 7, 7)

    x = x.mean(axis=(2, 3))                                    # (N, 512): what was seen stays, where is forgotten
    return x @ weights["fc.weight"].T + weights["fc.bias"]     # (N, 512) @ (512, 1000) + (1000,) -> (N, 1000)


def block(x: np.ndarray, weights: dict[str, np.ndarray], name: str, stride: int) -> np.ndarray:
    """Two convolutions learn what to add to x; the shortcut carries x itself past them."""
    y = conv(x, weights[f"{name}.conv1.weight"], stride, padding=1)                  # (N, O, OH, OW)
    y = relu(batch_norm(y, weights, f"{name}.bn1"))                                  # (N, O, OH, OW)
    y = conv(y, weights[f"{name}.conv2.weight"], stride=1, padding=1)                # (N, O, OH, OW)
    y = batch_norm(y, weights, f"{name}.bn2")                                        # (N, O, OH, OW)
    if f"{name}.downsample.0.weight" in weights:            # y has more channels and fewer pixels: bring x to its shape
        x = conv(x, weights[f"{name}.downsample.0.weight"], stride, padding=0)       # (N, O, OH, OW)
        x = batch_norm(x, weights, f"{name}.downsample.1")                           # (N, O, OH, OW)
    return relu(y + x)                                                               # (N, O, OH, OW)


def conv(x: np.ndarray, weight: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """Slide O filters over the image: for each of their KH x KW taps, shift the image and mix its channels.

    out[n,o,i,j] = sum over c,u,v of weight[o,c,u,v] * x[n, c, i*stride + u - padding, j*stride + v - padding]
    """
    (N, C, H, W), (KH, KW) = x.shape, weight.shape[2:]                               # weight: (O, C, KH, KW)
    OH = (H + 2 * padding - KH) // stride + 1                                        # so many places to stand, down
    OW = (W + 2 * padding - KW) // stride + 1                                        # and across
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])          # (N, C, H + 2*p, W + 2*p)
    out = np.zeros((N, len(weight), OH * OW), x.dtype)                               # (N, O, OH*OW)
    for u in range(KH):
        for v in range(KW):
            seen = x[:, :, u : u + OH * stride : stride, v : v + OW * stride : stride]   # (N, C, OH, OW): by tap u, v
            out += weight[:, :, u, v] @ seen.reshape(N, C, OH * OW)                      # (O, C) @ (N, C, OH*OW)
    return out.reshape(N, len(weight), OH, OW)                                       # (N, O, OH, OW)


def batch_norm(x: np.ndarray, weights: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Shift and stretch every channel, by four numbers a channel that training left behind."""
    mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]      # (C,), (C,)
    gamma, beta = weights[f"{name}.weight"], weights[f"{name}.bias"]                 # (C,), (C,)
    scale = gamma / np.sqrt(var + 1e-5)                                              # (C,)
    shift = beta - mean * scale                                                      # (C,)
    return x * scale[:, None, None] + shift[:, None, None]                           # (N, C, H, W)


def max_pool(x: np.ndarray, kernel_size: int, stride: int, padding: int) -> np.ndarray:
    """Keep the strongest of kernel_size x kernel_size pixels; outside the image all are weaker than anything, -inf."""
    N, C, H, W = x.shape
    OH = (H + 2 * padding - kernel_size) // stride + 1
    OW = (W + 2 * padding - kernel_size) // stride + 1
    border = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    x = np.pad(x, border, constant_values=-np.inf)                                   # (N, C, H + 2*p, W + 2*p)
    out = np.full((N, C, OH, OW), -np.inf, x.dtype)                                  # (N, C, OH, OW)
    for u in range(kernel_size):
        for v in range(kernel_size):
            seen = x[:, :, u : u + OH * stride : stride, v : v + OW * stride : stride]   # (N, C, OH, OW): by tap u, v
            out = np.maximum(out, seen)                                              # (N, C, OH, OW)
    return out


def relu(x: np.ndarray) -> np.ndarray:
    """Keep what is positive."""
    return np.maximum(x, 0)                                                          # the shape of x
