"""Which algorithm a convolution uses: a table by BLAS's core type and the layer's shape, never a timing.

Timings would choose differently from run to run, and another algorithm gives other bits. So everything here is a
function of the layer, of BLAS's core type on this processor, and of the table that `npresnet bench --tune` may have
written for this machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil

from npresnet.cpu.kernels import gemm
from npresnet.cpu.kernels.gemm import Form, has_small_products
from npresnet.cpu.kernels.layer import Choice, Layer

# Measured layer by layer on a Xeon of the Cascade Lake family (`npresnet bench --tune`).
MIN_CHANNELS_WINOGRAD = 16  # fewer cost more to transform than to multiply
MAX_ROWS_F2 = 256  # up to 16x16 outputs use F(2x2): reading F(4x4)'s weights would cost more than its products save
MAX_ROWS_F2_GROUPED = 64  # with groups there are few weights
MIN_CHANNELS_F4 = 64  # shorter sums have a small direct error: that of F(4x4) would be more than twice as large
# The first layers of a network, on maps of more than a quarter of the image's side, follow short sums only (3x3
# pixels), whose error is small, and what they lose passes through all others. RMS error of the logits over PyTorch's
# with F(4x4) on 64 channels there, and without (median of 3 random networks whose values grow, at 32x32 and 96x96):
# ResNet-18 with a 3x3 stem 2.5, 1.4; ResNet-50 with one 2.0, 1.1; timm's resnet50s 2.6, 1.2.
MIN_CHANNELS_F4_EARLY = 128
EARLY = 4  # the image's side over that of the first map that is no longer early
# Several images at once (fast=True) share the weights, so that F(4x4) is faster on outputs of up to 16x16 too. Its
# error is affordable there only for long sums, whose direct error is larger as well, and where the global average has
# some pixels to even it out. RMS error of the logits over PyTorch's, with F(4x4) on all of these outputs and with the
# bounds below (median of 20 seeds, the worse of OpenBLAS's Haswell and SkylakeX core types): cifar_resnet20 1.8, 1.3;
# the demo 2.2, 1.0; resnet18 at 64x64 2.4, 1.0; resnet50 at 64x64 2.2, 1.3. At 224x224 both bounds are met: 0.9, 0.8.
MIN_CHANNELS_F4_SMALL = 256  # at 128 a deep network that ends in 8x8 outputs of 128 channels has 1.65
MIN_ROWS_F4_SMALL = 49  # 7x7; with F(4x4) on 4x4 outputs too resnet34 at 64x64 has 2.0
MIN_CHANNELS_STRIDED = 64  # for stride 2, which saves fewer multiplications
FEW_ROWS = 100  # with so few rows BLAS's packing of the weights costs too much
MAX_DEPTH_PANELS = 1950  # K at which a block of a small product has 8 rows

DEPTHWISE = Choice("depthwise")


def possible(layer: Layer) -> list[Choice]:
    """Every choice that gives this layer's result."""
    found = [DEPTHWISE] if layer.is_depthwise else []
    found += [Choice("direct", 0, form) for form in gemm.FORMS if gemm.fits(form, layer.depth, layer.out_channels)]
    if layer.allows_winograd:
        forms = [form for form in gemm.FORMS if gemm.fits(form, layer.in_channels, layer.out_channels)]
        found += [Choice("winograd", tile, form) for tile in (2, 4) for form in forms if form != "split_k"]
    return found


def is_early(out_size: Sequence[int], image_size: Sequence[int]) -> bool:
    """Whether a layer is among the first of its network, by its output's size and the image's."""
    return any(EARLY * out > size for out, size in zip(out_size, image_size, strict=True))


def candidates(layer: Layer, *, early: bool = False) -> list[Choice]:
    """The possible choices without those known to be slower or less accurate."""
    enough = MIN_CHANNELS_F4_EARLY if early else MIN_CHANNELS_F4
    largest = 4 if layer.channels >= enough else 2 if layer.channels >= MIN_CHANNELS_WINOGRAD else 0
    if layer.is_strided and layer.channels < MIN_CHANNELS_STRIDED:
        largest = 0
    return [choice for choice in possible(layer) if choice.tile <= largest]


def choose(
    layer: Layer,
    core_type: str,
    table: Mapping[str, Choice],
    images: int = 1,
    *,
    winograd: bool = True,
    exact: bool = True,
    early: bool = False,
) -> Choice:
    """The choice for a layer and a number of images at once.

    core_type  BLAS's: "SkylakeX", "Haswell", ...; "" where BLAS reports none
    table      this machine's measured choices for one image, which take precedence
    winograd   False excludes Winograd
    exact      every image keeps the bits that it has alone, so that several use the choice for one
    early      see `is_early`
    """
    allowed = [choice for choice in candidates(layer, early=early) if winograd or choice.algorithm != "winograd"]
    together = images > 1 and not exact
    own = table.get(str(layer))
    if own in allowed and not together:
        return own
    return next(choice for choice in _by_rule(layer, core_type, together) if choice in allowed)


def _by_rule(layer: Layer, core_type: str, together: bool) -> Iterator[Choice]:
    """Preferred choices, best first; the last fits every layer."""
    if layer.is_depthwise:  # a product of combined groups multiplies up to 32 times as many numbers, mostly by zeros
        yield DEPTHWISE
    small = has_small_products(core_type)
    if core_type:  # an unknown BLAS, such as Apple's on its matrix units, may be too fast for the transforms
        forms: tuple[Form, ...] = ("panels", "gemm") if small else ("gemm",)
        if layer.is_strided:  # saves less than packing the weights costs, or than few rows repay
            forms = ("panels",) if small and (layer.rows >= FEW_ROWS or together) else ()
        for tile in _tiles(layer, together):
            yield from (Choice("winograd", tile, form) for form in forms)
    if small and layer.depth <= MAX_DEPTH_PANELS:
        yield Choice("direct", 0, "panels")
    if small and layer.rows < FEW_ROWS and not together:
        yield Choice("direct", 0, "split_k")
    yield Choice("direct", 0, "gemm")


def _tiles(layer: Layer, together: bool) -> list[int]:
    """Winograd's output tiles that are fast and accurate enough, best first."""
    largest_f2 = MAX_ROWS_F2 if layer.blocks == 1 or layer.is_strided else MAX_ROWS_F2_GROUPED
    if layer.rows > largest_f2:
        return [4, 2]
    if not together:
        return [2]
    affords_f4 = layer.channels >= MIN_CHANNELS_F4_SMALL and layer.rows >= MIN_ROWS_F4_SMALL
    tiles = [4, 2] if affords_f4 or layer.is_strided else [2]  # with stride 2 F(4x4) has no larger error than F(2x2)
    return [tile for tile in tiles if _multiplications(layer, tile) < 9 * layer.rows]


def _multiplications(layer: Layer, tile: int) -> int:
    """Winograd's multiplications for each channel and filter; the direct sum has 9 an output."""
    positions = ((tile - 1) * layer.stride[0] + 3) ** 2
    return positions * ceil(layer.out_size[0] / tile) * ceil(layer.out_size[1] / tile)
