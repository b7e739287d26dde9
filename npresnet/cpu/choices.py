"""Which algorithm a convolution takes: a table by the BLAS's kernel and the layer's shape, never a clock.

A clock would choose differently from run to run, and another algorithm is other bits. So everything here is a function
of the layer, of the kernel that BLAS chose for this processor, and of the table that `npresnet bench --tune` may have
written for this machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from npresnet.cpu import gemm
from npresnet.cpu.gemm import Form

MAX_ROWS_F2 = 64  # outputs of up to 8x8 pixels take F(2x2): F(4x4)'s weights would outweigh its multiplications
MAX_PANEL_DEPTH = 1950  # where a block of a small product would have fewer than 8 rows

Algorithm = Literal["direct", "winograd"]


@dataclass(frozen=True)
class Choice:
    """An algorithm; for Winograd the size of its output tiles; the form of its matrix products."""

    algorithm: Algorithm = "direct"
    tile: int = 0
    form: Form = "packed"

    def __str__(self) -> str:
        name = f"winograd {self.tile}x{self.tile}" if self.algorithm == "winograd" else "direct"
        return f"{name}, {self.form}"


class Processor(NamedTuple):
    """kernel: the architecture that BLAS names, "SkylakeX", "Haswell", ... or ""; vendor: "GenuineIntel", ... or ""."""

    kernel: str
    vendor: str

    @property
    def has_small_products(self) -> bool:
        """Whether BLAS multiplies small matrices without packing them: OpenBLAS does with its AVX-512 kernels."""
        return self.kernel in ("SkylakeX", "Cooperlake", "SapphireRapids")


class Layer(NamedTuple):
    """What a choice may depend on. Channels are those of a product: of one block where groups are packed in blocks."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    blocks: int
    in_channels: int
    out_channels: int
    out_size: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Output pixels of one image: M of the direct product."""
        return self.out_size[0] * self.out_size[1]

    @property
    def depth(self) -> int:
        """K of the direct product."""
        return self.kernel_size[0] * self.kernel_size[1] * self.in_channels

    @property
    def allows_winograd(self) -> bool:
        """3x3 without stride or dilation."""
        return self.kernel_size == (3, 3) and set(self.stride + self.dilation) == {1}

    def __str__(self) -> str:
        kernel, stride = "x".join(map(str, self.kernel_size)), "" if max(self.stride) == 1 else f"/{self.stride[0]}"
        groups = "" if self.blocks == 1 else f" in {self.blocks} blocks"
        dilation = "" if max(self.dilation) == 1 else f" dilated {self.dilation[0]}"
        size = "x".join(map(str, self.out_size))
        return f"{kernel}{stride}{dilation} {self.in_channels}->{self.out_channels}{groups}, {size}"


def candidates(layer: Layer) -> list[Choice]:
    """Every choice that this layer can take."""
    forms = [form for form in gemm.FORMS if gemm.fits(form, layer.depth, layer.out_channels)]
    found = [Choice("direct", 0, form) for form in forms]
    if layer.allows_winograd:
        forms = [form for form in ("packed", "panels") if gemm.fits(form, layer.in_channels, layer.out_channels)]
        found += [Choice("winograd", tile, form) for tile in (2, 4) for form in forms]
    return found


def choose(layer: Layer, cpu: Processor, table: Mapping[str, Choice], *, winograd: bool = True) -> Choice:
    """The choice for a layer.

    cpu       the processor, as BLAS and the system name it
    table     this machine's own measurements, which come first
    winograd  False leaves Winograd out
    """
    allowed = [choice for choice in candidates(layer) if winograd or choice.algorithm == "direct"]
    own = table.get(str(layer))
    if own in allowed:
        return own
    return next(choice for choice in _by_rule(layer, cpu) if choice in allowed)


def _by_rule(layer: Layer, cpu: Processor) -> Iterator[Choice]:
    """Wishes, the best first; the last fits every layer."""
    if cpu.kernel:  # an unknown BLAS, such as Apple's on its matrix units, may be too fast for the transforms
        tile = 4 if layer.rows > MAX_ROWS_F2 else 2
        if cpu.has_small_products:
            yield Choice("winograd", tile, "panels")
        yield Choice("winograd", tile, "packed")
    if cpu.has_small_products:
        yield Choice("direct", 0, _small_form(layer, cpu))
    yield Choice("direct", 0, "packed")


def _small_form(layer: Layer, cpu: Processor) -> Form:
    """How direct products are best made where BLAS has kernels for small ones.

    On AMD's Zen 5 they beat the packed kernels wherever they apply; on Intel's Cascade Lake, whose first cache is
    smaller, only for short sums, and where so few rows share the weights that packing those would cost too much.
    """
    if cpu.vendor == "AuthenticAMD":
        if layer.depth <= MAX_PANEL_DEPTH:
            return "panels"
        return "split" if layer.rows < 150 else "packed"
    if layer.depth <= 147 or (layer.depth <= 256 and layer.out_channels <= 64):
        return "panels"
    return "split" if layer.rows < 100 and layer.depth > MAX_PANEL_DEPTH else "packed"
