"""The exercises, in the order of the lessons."""

from __future__ import annotations

from npresnet.ops.conv2d import im2col
from npresnet.ops.softmax import softmax
from npresnet.passes.fold_batch_norm import fold
from npresnet.teach import by_hand, rungs, simt_kernels
from npresnet.teach.exercises import cases
from npresnet.teach.exercises.exercise import Exercise

NUMPY = "import numpy as np"
RUNGS = f"{NUMPY}\n\nfrom npresnet.network import Array\nfrom npresnet.window import Window"

EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "output_size",
        "How many places are there for a filter of KH x KW to stand on an image of H x W, with `padding` zeros on "
        "each side, when it moves `stride` pixels at a time? Down (OH) and across (OW).\n\n"
        "Hint: on 7 pixels a filter of 3 has 5 places; with stride 2 it has 3.",
        by_hand.conv,
        NUMPY,
        "OH = (H + 2 * padding - KH)",
        "OW = (W + 2 * padding - KW)",
        cases.by_hand_conv,
    ),
    Exercise(
        "position",
        "Which pixel does tap (u, v) of the filter see when it stands at output (i, j)? Stride moves the filter, "
        "dilation spreads its taps, padding moves it out over the edge.\n\n"
        "Hint: the module's own equation has it.",
        rungs.seven_loops,
        RUNGS,
        "row = i * stride_h",
        "column = j * stride_w",
        cases.grouped_conv,
    ),
    Exercise(
        "matrix_product",
        "One tap of all filters at once: `seen` (N, C, OH, OW) is what tap (u, v) sees everywhere. Mix its "
        "channels by the filters' numbers at that tap, and add to out (N, O, OH*OW).\n\n"
        "Hint: (O, C) @ (N, C, L) is (N, O, L).",
        by_hand.conv,
        NUMPY,
        "out += weight[:, :, u, v]",
        "out += weight[:, :, u, v]",
        cases.by_hand_conv,
    ),
    Exercise(
        "im2col",
        "The image as a matrix: one column for each position of the window, one row for each channel and tap.\n\n"
        "Hint: `windows` has the axes N, C, OH, OW, KH, KW. Bring those of a row together, and those of a column; "
        "a reshape does the rest.",
        im2col,
        "from npresnet.network import Array\nfrom npresnet.ops.windows import sliding_windows\n"
        "from npresnet.window import Window",
        "rows_first = windows.transpose",
        "return rows_first.reshape",
        cases.im2col_matrices,
    ),
    Exercise(
        "groups",
        "With groups, filter o sees only the channels of its own group: C/G of them. Which is the first?\n\n"
        "Hint: filters 0 to O/G - 1 are group 0.",
        rungs.seven_loops,
        RUNGS,
        "first_channel = o //",
        "first_channel = o //",
        cases.grouped_conv,
    ),
    Exercise(
        "max_pool_padding",
        "A max pool's border must never win, and nor must what `out` holds at first. What is less than every "
        "number?\n\n"
        "Hint: it is not 0; all the numbers of the check are negative.",
        by_hand.max_pool,
        NUMPY,
        "x = np.pad(x, border",
        "out = np.full(",
        cases.max_pools,
    ),
    Exercise(
        "batch_norm",
        "At inference a BatchNorm is a line through each channel, y = scale * x + shift. Find the line.\n\n"
        "Hint: y = (x - mean) / sqrt(var + 1e-5) * gamma + beta.",
        by_hand.batch_norm,
        NUMPY,
        "scale = gamma",
        "shift = beta",
        cases.batch_norms,
        exact=False,
    ),
    Exercise(
        "fold",
        "A line after a convolution is a convolution: its filters are those of before times `scale`, which is "
        "kept beside them. What is its bias (float64, O numbers)?\n\n"
        "Hint: a convolution without a bias has the bias 0; scale * (w*x + b) + shift.",
        fold,
        f"{NUMPY}\n\nfrom npresnet.network import Node\nfrom npresnet.passes.fold_batch_norm import scale_and_shift\n"
        "from npresnet.passes.rewrite import carrying",
        "bias = np.asarray",
        "bias = np.asarray",
        cases.folds,
        exact=False,
    ),
    Exercise(
        "shortcut",
        "The shortcut carries x past two convolutions. Where they change its shape, a 1x1 convolution and its "
        "BatchNorm (`downsample.0.weight`, `downsample.1`) bring x along. Then both are added, and ReLU comes "
        "last of all.",
        by_hand.block,
        f"{NUMPY}\n\nfrom npresnet.teach.by_hand import batch_norm, conv, relu",
        'if f"{name}.downsample.0.weight"',
        "return relu(y + x)",
        cases.blocks,
        exact=False,
    ),
    Exercise(
        "ragged_tile",
        "The output is made in bands of `band` rows, and the last band may be shorter. Where does a band end, and "
        "which rows of the padded image does it need?\n\n"
        "Hint: rows first to last - 1 of the output start at `stride` times as many rows of the input, and the "
        "last of them still sees `extent` rows.",
        rungs.tiled_and_fused,
        f"{RUNGS}\nfrom npresnet.ops.conv2d import im2col",
        "last = min(",
        "rows = padded[",
        cases.tiled_conv,
    ),
    Exercise(
        "softmax",
        "From logits to probabilities, without an exponential that overflows.\n\n"
        "Hint: a factor that all of them have cancels.",
        softmax,
        f"{NUMPY}\n\nfrom npresnet.network import Array",
        "powers = np.exp",
        "return powers",
        cases.softmaxes,
        exact=False,
    ),
    Exercise(
        "shared_memory",
        "A CUDA kernel as a generator: every `yield` is __syncthreads(). The block's threads bring the piece of x "
        "that they need together, halo included, into the shared array S, and wait for each other.\n\n"
        "Hint: there are more cells than threads, so each thread takes every `threads`-th; the last block must "
        "not read beyond x. What happens without the barrier? Try it: the check tells you.",
        simt_kernels.conv1d_shared,
        "from collections.abc import Iterator\nfrom typing import Any",
        "for cell in range(",
        "yield",
        cases.kernels_1d,
    ),
)
