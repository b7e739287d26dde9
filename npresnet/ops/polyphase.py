"""Winograd's filtering with stride 2: the filter is split into its even and odd taps, each with stride 1.

Two outputs of a three-tap filter with stride 2 read five neighbouring inputs:

    y0 = d0*g0 + d1*g1 + d2*g2        y1 = d2*g0 + d3*g1 + d4*g2

`ops.winograd` cannot share products between windows two positions apart. But the even inputs (d0, d2, d4) meet only
the even taps (g0, g2), the odd ones (d1, d3) only the odd tap g1, and within each of these two phases the window moves
by one. The even phase is F(m, 2), which `ops.winograd` derives: m + 1 multiplications for m outputs instead of 2m. The
odd phase, a filter of one tap, needs m in any case:

    m0 = (d2 - d0) * -g0    m1 = d2 * (g0 + g2)    m2 = (d4 - d2) * g2    |    m3 = d1 * g1    m4 = d3 * g1
    y0 = m0 + m1 + m3       y1 = m1 + m2 + m4                                     five multiplications instead of six

In matrices it has Winograd's form again, Y = A^T [ (G g) * (B^T d) ], with t = 2m + 1 products instead of m + 2:

    B^T = [ B^T of F(m, 2) on the even columns ]     G = [ G of F(m, 2) for (g0, g2) ]     A^T = [ A^T of F(m, 2) | 1 ]
          [ ones on the odd columns            ]         [ m rows, each g1           ]

Two dimensions and channels are therefore handled in the same way. The last m rows of G
are equal: of the t*t products of a tile only (m + 2)^2 have distinct filters, as many as in F(m x m) with stride 1.

Savings: 25 multiplications instead of 36 with m = 2 (1.44 times fewer), 81 instead of 144 with m = 4 (1.78), at most
2.25 times fewer. Accuracy: short filters need few points, and the odd inputs are not transformed. With C = 64 channels
of normal random numbers the RMS error is 0.8 (m = 2) and 1.2 times (m = 4) that of direct convolution, at the POINTS
below; at (0, 1, -1, 1/2) the second would be twice as large.

Source: Huang et al., DWM: A Decomposable Winograd Method for Convolution Acceleration, arXiv:2002.00552, for Winograd's
form per phase.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array

# m -> points of F(m, 2). Those for 4 have the least float32 error of all small fractions with power-of-2 denominators.
POINTS = {2: (Fraction(0), Fraction(1)), 4: (Fraction(-1, 2), Fraction(1), Fraction(1, 4), Fraction(-3, 2))}


def interleave(input_transform: Array, kernel_transform: Array, output_transform: Array) -> tuple[Array, Array, Array]:
    """The matrices of F(m, 2), stride 1  ->  B^T (t, t), G (t, 3) and A^T (m, t) of 3 taps with stride 2, t = 2m + 1.

    Positions 0..m are the even phase, m+1..2m the odd one. Raises ShapeError for F(m, r) with r != 2.
    """
    m, even = output_transform.shape
    if even != m + 1:
        raise ShapeError(f"stride 2 needs filters of 3 taps, whose even ones are F(m, 2), got F({m}, {even - m + 1})")
    size = 2 * m + 1
    strided_input, strided_kernel = np.full((size, size), Fraction(0)), np.full((size, 3), Fraction(0))
    strided_input[:even, ::2], strided_input[even:, 1::2] = input_transform, _identity(m)
    strided_kernel[:even, ::2], strided_kernel[even:, 1] = kernel_transform, Fraction(1)
    return strided_input, strided_kernel, np.hstack([output_transform, _identity(m)])


def _identity(m: int) -> Array:
    return np.array([[Fraction(int(i == j)) for j in range(m)] for i in range(m)])
