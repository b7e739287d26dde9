"""A convolution's parameters that determine its algorithm (`Layer`), and the algorithm (`Choice`); see
`compiler.choices`."""

from __future__ import annotations

from typing import Literal, NamedTuple

from npresnet.cpu.kernels.gemm import Form

Algorithm = Literal["direct", "winograd", "depthwise"]


class Choice(NamedTuple):
    """An algorithm; for Winograd the size of its output tiles; the form of its matrix products."""

    algorithm: Algorithm = "direct"
    tile: int = 0
    form: Form = "gemm"

    def __str__(self) -> str:
        if self.algorithm == "depthwise":  # no matrix product
            return self.algorithm
        name = f"winograd {self.tile}x{self.tile}" if self.algorithm == "winograd" else "direct"
        return f"{name}, {self.form}"


class Layer(NamedTuple):
    """What a choice may depend on. Channels are those of one product: of one block where groups are combined.

    is_depthwise  every output channel reads one input channel of its own
    """

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    blocks: int
    in_channels: int
    out_channels: int
    out_size: tuple[int, ...]
    is_depthwise: bool = False

    @property
    def rows(self) -> int:
        """Output pixels of one image: M of the direct product."""
        return self.out_size[0] * self.out_size[1]

    @property
    def depth(self) -> int:
        """K of the direct product."""
        return self.kernel_size[0] * self.kernel_size[1] * self.in_channels

    @property
    def channels(self) -> int:
        """Input channels of all blocks."""
        return self.blocks * self.in_channels

    @property
    def is_strided(self) -> bool:
        """Whether the stride is greater than 1."""
        return max(self.stride) > 1

    @property
    def allows_winograd(self) -> bool:
        """3x3 of stride 1 or 2, without dilation."""
        return self.kernel_size == (3, 3) and self.stride in ((1, 1), (2, 2)) and max(self.dilation) == 1

    def __str__(self) -> str:
        window, stride = "x".join(map(str, self.kernel_size)), "" if max(self.stride) == 1 else f"/{self.stride[0]}"
        groups = "" if self.blocks == 1 else f" in {self.blocks} blocks"
        dilation = "" if max(self.dilation) == 1 else f" dilated {self.dilation[0]}"
        size = "x".join(map(str, self.out_size))
        if self.is_depthwise:
            return f"{window}{stride}{dilation} depthwise {self.channels}, {size}"
        return f"{window}{stride}{dilation} {self.in_channels}->{self.out_channels}{groups}, {size}"
