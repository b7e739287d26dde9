"""Gates of channels: squeeze and excitation (SE), and efficient channel attention (ECA)."""

from __future__ import annotations

from npresnet.arch.builder import Builder
from npresnet.arch.source import zeros
from npresnet.window import Window


def squeeze_excite(builder: Builder, name: str, x: str, width: int, *, act: str = "act", gate: str = "gate") -> str:
    """x * sigmoid(fc2(relu(fc1(mean of x)))), two 1x1 convolutions on one number a channel.

    width      the output channels of `name`.fc1
    act, gate  the names of the ReLU and the sigmoid

    Source: Hu et al. 2018, Squeeze-and-Excitation Networks, equations 2 to 4.
    """
    channels = builder.channels[x]
    y = builder.global_avg_pool(f"{name}.mean", x)  # (N, C, 1, 1)
    y = builder.conv(f"{name}.fc1", y, width, Window.of(1), bias=zeros)
    y = builder.relu(f"{name}.{act}", y)
    y = builder.conv(f"{name}.fc2", y, channels, Window.of(1), bias=zeros)
    y = builder.activation(f"{name}.{gate}", y, "sigmoid")
    return builder.multiply(f"{name}.multiply", x, y)


def channel_attention(builder: Builder, name: str, x: str, kernel_size: int) -> str:
    """x * sigmoid(conv1d over the channels of the mean of x).

    Source: Wang et al. 2020, ECA-Net, section 3.
    """
    y = builder.global_avg_pool(f"{name}.mean", x)  # (N, C, 1, 1)
    y = builder.channel_conv1d(f"{name}.conv", y, kernel_size)
    y = builder.activation(f"{name}.gate", y, "sigmoid")
    return builder.multiply(f"{name}.multiply", x, y)
