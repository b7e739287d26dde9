"""Winograd's minimal filtering: 3x3 convolution with a quarter of the multiplications; the matrices are derived here.

F(m, r) computes m neighbouring outputs of a filter of r taps from the n = m + r - 1 inputs that they depend on, with n
multiplications instead of m*r. F(2, 3), with y0 = d0*g0 + d1*g1 + d2*g2 and y1 one position further:

    m0 = (d0 - d2) * g0    m1 = (d1 + d2) * (g0 + g1 + g2)/2    m2 = (d2 - d1) * (g0 - g1 + g2)/2    m3 = (d3 - d1) * g2
    y0 = m0 + m1 + m2      y1 = m1 - m2 + m3                    four multiplications instead of six

**1. Multiply polynomials by their values.** Let g(x) = g0 + g1*x + ... have r coefficients and y(x) have m. The product
s(x) = g(x) * y(x) has n coefficients, the full convolution of the two lists. Its value at a point p,
s(p) = g(p) * y(p), costs one multiplication. Take n - 1 points p_j and the "value at infinity", the leading
coefficient, which is the product of the two leading coefficients. n values determine n coefficients (Lagrange):

    s(x) = sum over j of s(p_j) * N_j(x)/f_j  +  s(inf) * M(x)
    M(x) = product over k of (x - p_k)    N_j(x) = M(x)/(x - p_j)    f_j = N_j(p_j)

M is zero at every point and has leading coefficient 1: it corrects the leading coefficient without changing the values.
In matrices, with row j for point j and the last row for infinity: E_r evaluates r coefficients (1, p, p^2, ...; at
infinity 0, ..., 0, 1), and B^T holds the coefficients of the N_j and of M. With f_j moved to the filter (infinity has
none), G = E_r with row j divided by f_j:

    s = B [ (G g) * (E_m y) ]    * is elementwise: n multiplications

**2. Transpose: convolution becomes correlation.** For a fixed g, step 1 is a matrix on y: s = T y with T[i+u, i] = g[u]
(n x m). A layer computes Y[i] = sum over u of g[u] * d[i+u], which is Y = T^T d (cross-correlation: the filter is not
flipped). As T = B diag(G g) E_m, its transpose T^T = E_m^T diag(G g) B^T costs the same n multiplications:

    Y = A^T [ (G g) * (B^T d) ]    where A^T = E_m^T

**3. Two dimensions, many channels.** Apply it to the rows, then to the columns. Filters are transformed once, at load.
As A^T [...] A is linear, channels are summed before it, so that it is computed once for all of them:

    Y[o] = A^T [ sum over c of (G g[o,c] G^T) * (B^T d[c] B) ] A

For each of the n*n positions that sum is a matrix product: tiles x C times C x O. Most of the work is GEMM.

**Savings.** A tile of m*m outputs takes n^2 multiplications per channel and filter instead of m^2 * r^2. For r = 3
(for stride 2 see `ops.polyphase`, which derives the same form with n = 2m + 1):

    F(2x2)   16 for  36: 2.25 times fewer      F(4x4)   36 for 144: 4      F(6x6)   64 for 324: 5.06

**Costs.** The transforms, n^2/r^2 as much memory for filters (1.8, 4, 7.1 times), and precision. B^T and A^T hold
powers of the points, so the result is a small difference of large numbers, each of which was rounded relative to its
size. More points are spread wider, so the error grows with m: with C = 64 channels of normal random numbers the RMS
error of F(2x2), F(4x4), F(6x6) is about 1, 6 and 12 times that of direct convolution. The points are therefore near 1
in magnitude and of few binary digits: B^T and A^T are then exact in float32 (integers for n <= 6 and the usual points),
and only G is rounded. The choice matters: with inputs after a ReLU the error of F(4x4) is 6.1 times that of the direct
sum at the usual points (0, 1, -1, 2, -2), 4.0 at (0, 1, -1, 1/2, -2), and 2.8 at (0, 5/8, -5/8, 3/2, -3/2), the least
of all pairs of sixteenths.

Sources: Winograd, Arithmetic Complexity of Computations, 1980; Toom 1963 and Cook 1966 for step 1; Lavin and Gray, Fast
Algorithms for Convolutional Neural Networks, arXiv:1509.09308, whose matrices these are (some rows with other signs);
Barabasz et al., Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks,
arXiv:1803.10986, for the points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import prod

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array
from npresnet.ops import polyphase
from npresnet.ops.windows import check_image, sliding_windows
from npresnet.window import Window

Points = tuple[Fraction, ...]
POINTS: Points = tuple(map(Fraction, "0 1 -1 2 -2 1/2 -1/2 4 -4 1/4 -1/4".split()))  # the usual ones
BALANCED_POINTS: Points = tuple(map(Fraction, "0 5/8 -5/8 3/2 -3/2".split()))  # the least float32 error of F(4, 3)


@dataclass(frozen=True, eq=False)
class Transforms:
    """The three matrices of F(m, r), float64 and read-only; n = tile = (m - 1) * stride + r.

    m                   outputs along one side of a tile
    r                   taps along one side of the filter
    input_transform     B^T (n, n)
    kernel_transform    G   (n, r)
    output_transform    A^T (m, n)
    stride              of the convolution: 1, or 2 by `ops.polyphase`
    """

    m: int
    r: int
    input_transform: Array
    kernel_transform: Array
    output_transform: Array
    stride: int = 1

    @property
    def tile(self) -> int:
        """Inputs along one side of a tile. Neighbouring tiles overlap by r - stride."""
        return (self.m - 1) * self.stride + self.r


@cache
def transforms(m: int, r: int = 3, points: Points = POINTS, stride: int = 1) -> Transforms:
    """The matrices of F(m, r) in float64, cached; stride 2 needs r = 3. Raises ShapeError like `cook_toom`."""
    exact = cook_toom(m, r, points) if stride == 1 else polyphase.interleave(*cook_toom(m, r - 1, points))
    matrices = [np.array(matrix, np.float64) for matrix in exact]
    for matrix in matrices:
        matrix.setflags(write=False)  # shared by all callers
    return Transforms(m, r, matrices[0], matrices[1], matrices[2], stride)


def balanced(m: int, stride: int = 1) -> Transforms:
    """The transforms used by the CPU backend: 3 taps, the points with the least float32 error; m is 2 or 4."""
    return transforms(m, 3, polyphase.POINTS[m] if stride > 1 else BALANCED_POINTS if m == 4 else POINTS, stride)


def cook_toom(m: int, r: int, points: Points = POINTS) -> tuple[Array, Array, Array]:
    """B^T (n, n), G (n, r) and A^T (m, n) as exact arrays of Fractions, derived in the module's docstring.

    points   all different; the first n - 1 are used, and infinity. POINTS give the usual matrices, BALANCED_POINTS a
             smaller error for n = 6

    Raises ShapeError unless m and r are at least 2 and there are enough points: m + r - 1 at most 12 for POINTS.
    """
    if min(m, r) < 2 or m + r - 2 > len(points):
        raise ShapeError(f"F(m, r) needs m, r >= 2 and m + r - 1 <= {len(points) + 1}, got F({m}, {r})")
    points = points[: m + r - 2]
    if len(set(points)) < len(points):
        raise ValueError(f"the points must be distinct, got {', '.join(map(str, points))}")
    others = [[q for q in points if q != p] for p in points]  # the roots of N_j
    scales = [prod(p - q for q in roots) for p, roots in zip(points, others, strict=True)]  # f_j = N_j(p_j)
    input_transform = [[*_expand(roots), Fraction(0)] for roots in others] + [_expand(points)]  # N_j, then M
    kernel_transform = _evaluate(points, r) / np.array([*scales, Fraction(1)])[:, None]
    return np.array(input_transform), kernel_transform, _evaluate(points, m).T


def _expand(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of the product of (x - root), the constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [*coefficients, Fraction(0)]  # times x, times 1
        coefficients = [high - root * low for high, low in zip(shifted, scaled, strict=True)]
    return coefficients


def _evaluate(points: Sequence[Fraction], count: int) -> Array:
    """E (points + 1, count): powers of each point, which evaluate a polynomial; the last row is for infinity."""
    infinity = [Fraction(0)] * (count - 1) + [Fraction(1)]
    return np.array([[p**power for power in range(count)] for p in points] + [infinity])


def transform_kernel(weight: Array, t: Transforms) -> Array:
    """Transform the filters, G g G^T, prepacked for the products.

    out[:, :, c, o] = G weight[o, c] G^T

    weight   (O, C, r, r)    any float dtype, also that of the result
    returns  (tile, tile, C, O), contiguous

    Cost: O * C * tile^2 * r^2 multiply-adds. Raises ShapeError unless the filters are r x r.
    """
    weight = np.asarray(weight)
    if weight.ndim != 4 or weight.shape[2:] != (t.r, t.r):
        axes = f"(out_channels, in_channels, {t.r}, {t.r})"
        raise ShapeError(f"F({t.m}, {t.r}) expects filters {axes}, got {weight.shape}")
    _check_float("weight", weight)
    # With matrices flattened row by row, G g G^T is (G kron G) g: one product for all filters.
    out_channels, channels = weight.shape[:2]
    filters = weight.transpose(2, 3, 1, 0).reshape(t.r * t.r, channels * out_channels)
    both = np.kron(t.kernel_transform, t.kernel_transform).astype(weight.dtype)  # (tile*tile, r*r)
    return (both @ filters).reshape(t.tile, t.tile, channels, out_channels)


def conv2d_winograd(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    padding: int | Sequence[int] = (1, 1),
    m: int = 4,
    points: Points = POINTS,
    stride: int = 1,
) -> Array:
    """`conv2d` with dilation 1 and one group by F(m x m, r x r): equal up to rounding.

    Y[n,o] = A^T [ sum over c of (G weight[o,c] G^T) * (B^T d[n,c] B) ] A    for each tile d of n x n, see Transforms

    x        (N, C, H, W)    any float dtype, also that of the result; outside the image x is 0
    weight   (O, C, r, r)
    bias     (O,)            optional
    padding                  one number, or (height, width)
    m                        outputs along a tile's side; if m does not divide OH or OW the last tiles are cropped
    points                   see `cook_toom`
    stride                   1, or 2 for 3x3 filters
    returns  (N, O, OH, OW)  OH, OW = Window.output_size((H, W)); NaN or infinity in x affects all outputs of its tiles

    Cost: N * ceil(OH/m)*ceil(OW/m) * n^2 * C*O multiply-adds, and the transforms. Raises ShapeError if the filters
    are not square, the channels differ or the padded image is smaller than the window.
    """
    x, weight = np.asarray(x), np.asarray(weight)
    _check(x, weight, bias)
    window = Window.of(weight.shape[2:], stride, padding)
    check_window(window)
    t = transforms(m, weight.shape[2], points, stride)
    input_transform, output_transform = t.input_transform.astype(x.dtype), t.output_transform.astype(x.dtype)
    OH, OW = window.output_size(x.shape[2:])
    TH, TW = -(-OH // m), -(-OW // m)  # tiles down and across, rounded up

    # Tiles are windows of tile x tile inputs, m outputs apart, zero-padded.
    tile_window = Window.of(t.tile, stride=m * stride, padding=padding)
    tiles = sliding_windows(x, tile_window, (TH, TW), fill=0)  # (N, C, TH, TW, tile, tile), no copy yet
    tiles = input_transform @ tiles @ input_transform.T  # B^T d B
    N, C, out_channels = len(x), x.shape[1], len(weight)
    tiles = tiles.transpose(4, 5, 0, 2, 3, 1).reshape(t.tile, t.tile, N * TH * TW, C)  # one row per tile
    product = tiles @ transform_kernel(weight.astype(x.dtype, copy=False), t)  # (tile, tile, N*TH*TW, O)
    product = product.reshape(t.tile, t.tile, N, TH, TW, out_channels).transpose(2, 5, 3, 4, 0, 1)
    out = output_transform @ product @ output_transform.T  # (N, O, TH, TW, m, m)
    out = out.transpose(0, 1, 2, 4, 3, 5).reshape(N, out_channels, TH * m, TW * m)  # tiles side by side
    if bias is not None:
        out = out + np.asarray(bias, x.dtype)[:, None, None]
    return np.ascontiguousarray(out[:, :, :OH, :OW])


def check_window(window: Window) -> None:
    """Raise ShapeError for unsupported windows: not square, dilated, or strided except for 3x3 with stride 2."""
    (rows, columns), stride = window.kernel_size, window.stride
    fits_stride = stride == (1, 1) or (rows, stride) == (3, (2, 2))
    if rows != columns or not fits_stride or window.dilation != (1, 1):
        raise ShapeError(
            f"Winograd's filtering needs a square window with stride 1 and dilation 1, or 3x3 with stride 2, got "
            f"kernel_size {window.kernel_size}, stride {window.stride}, dilation {window.dilation}; use conv2d"
        )


def _check(x: Array, weight: Array, bias: Array | None) -> None:
    check_image(x)
    _check_float("input", x)
    if weight.ndim != 4 or weight.shape[1] != x.shape[1]:
        raise ShapeError(
            f"expects filters over all {x.shape[1]} input channels (groups = 1)\n"
            f"  input   {x.shape}   N, C, H, W\n"
            f"  weight  {weight.shape}   out_channels, in_channels, kernel_height, kernel_width"
        )
    if bias is not None and np.shape(bias) != weight.shape[:1]:
        raise ShapeError(f"expects one bias per filter, ({len(weight)},), got {np.shape(bias)}")


def _check_float(name: str, array: Array) -> None:
    if not np.issubdtype(array.dtype, np.floating):
        raise ShapeError(f"expects floating-point numbers, because G holds fractions, got {name} of {array.dtype}")
