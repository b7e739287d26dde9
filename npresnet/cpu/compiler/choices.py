"""Which algorithm a convolution takes: a table by the BLAS's kernel and the layer's shape, never a clock.

A clock would choose differently from run to run, and another algorithm is other bits. So everything here is a function
of the layer, of the kernel that BLAS chose for this processor, and of the table that `npresnet bench --tune` may have
written for this machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from npresnet.cpu.kernels import gemm
from npresnet.cpu.kernels.gemm import Form, has_small_products
from npresnet.cpu.kernels.layer import Choice, Layer

# Measured layer by layer on a Xeon of the Cascade Lake family (`npresnet bench --tune`).
MIN_CHANNELS_WINOGRAD = 16  # fewer cost more to transform than to multiply
MAX_ROWS_F2 = 256  # up to 16x16 outputs take F(2x2): F(4x4)'s weights would outweigh what they save of multiplying
MAX_ROWS_F2_GROUPED = 64  # with groups there are few weights
MIN_CHANNELS_F4 = 64  # sums over fewer are short and lose little directly: F(4x4) would lose more than twice as much
MIN_CHANNELS_STRIDED = 64  # of stride 2, where there is less to save
FEW_ROWS = 100  # so few rows share the weights that packing those costs too much
MAX_DEPTH_PANELS = 1950  # K at which a block of a small product has 8 rows


def possible(layer: Layer) -> list[Choice]:
    """Every choice that gives this layer's result."""
    found = [Choice("direct", 0, form) for form in gemm.FORMS if gemm.fits(form, layer.depth, layer.out_channels)]
    if layer.allows_winograd:
        forms = [form for form in gemm.FORMS if gemm.fits(form, layer.in_channels, layer.out_channels)]
        found += [Choice("winograd", tile, form) for tile in (2, 4) for form in forms if form != "split_k"]
    return found


def candidates(layer: Layer) -> list[Choice]:
    """Those of them that lose neither time nor digits for certain."""
    channels = layer.blocks * layer.in_channels
    largest = 4 if channels >= MIN_CHANNELS_F4 else 2 if channels >= MIN_CHANNELS_WINOGRAD else 0
    if layer.is_strided and channels < MIN_CHANNELS_STRIDED:
        largest = 0
    return [choice for choice in possible(layer) if choice.tile <= largest]


def choose(
    layer: Layer,
    kernel: str,
    table: Mapping[str, Choice],
    images: int = 1,
    *,
    winograd: bool = True,
    exact: bool = True,
) -> Choice:
    """The choice for a layer and so many images at once.

    kernel    the architecture that BLAS names: "SkylakeX", "Haswell", ... or "" for a BLAS that names none
    table     this machine's own measurements, which come first; they are for one image
    winograd  False leaves Winograd out
    exact     every image has the bits that it has alone, so that several take what one takes
    """
    allowed = [choice for choice in candidates(layer) if winograd or choice.algorithm == "direct"]
    together = images > 1 and not exact
    own = table.get(str(layer))
    if own in allowed and not together:
        return own
    return next(choice for choice in _by_rule(layer, kernel, together) if choice in allowed)


def _by_rule(layer: Layer, kernel: str, together: bool) -> Iterator[Choice]:
    """Wishes, the best first; the last fits every layer."""
    small = has_small_products(kernel)
    if kernel:  # an unknown BLAS, such as Apple's on its matrix units, may be too fast for the transforms
        largest_f2 = MAX_ROWS_F2 if layer.blocks == 1 or layer.is_strided else MAX_ROWS_F2_GROUPED
        forms: tuple[Form, ...] = ("panels", "gemm") if small else ("gemm",)
        if layer.is_strided:  # saves less than it costs to pack the weights, or where few rows share them
            forms = ("panels",) if small and (layer.rows >= FEW_ROWS or together) else ()
        for tile in (2,) if layer.rows <= largest_f2 and not together else (4, 2):
            yield from (Choice("winograd", tile, form) for form in forms)
    if small and layer.depth <= MAX_DEPTH_PANELS:
        yield Choice("direct", 0, "panels")
    if small and layer.rows < FEW_ROWS and not together:
        yield Choice("direct", 0, "split_k")
    yield Choice("direct", 0, "gemm")
