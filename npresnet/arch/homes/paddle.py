"""PaddlePaddle: paddle.vision, and PaddleClas in its old and its new names.

All call the running statistics `_mean` and `_variance`, and store a linear layer's weight as (in_features,
out_features). paddle.vision's other names are torchvision's.

    old PaddleClas                      new PaddleClas                 ours
    conv._conv, conv._batch_norm        stem.0.conv, stem.0.bn         conv1, bn1
    conv1_1, conv1_2, conv1_3           stem.0, stem.1, stem.2         conv1.0 and .1, conv1.3 and .4, conv1.6 and bn1
    bb_<i-1>_<j>                        blocks.<number>                layer<i>.<j>
    conv0, conv1, conv2                 the same                       conv1 and bn1, conv2 and bn2, conv3 and bn3
    short                               the same                       downsample.0, .1; in the vd networks .1, .2
    out                                 fc                             fc

The blocks of new PaddleClas are numbered through; those that start a stage have a `short`, always.
"""

from __future__ import annotations

from npresnet.arch.homes.home import Home

STATISTICS = ((r"\._mean$", ".running_mean"), (r"\._variance$", ".running_var"))
MATRICES = r"(^|\.)(fc|out|linear|classifier)(\.[0-9]+)?\.weight$"

_OLD = (*STATISTICS, (r"\._conv\.", ".conv."), (r"\._batch_norm\.", ".bn."), (r"^out\.", "fc."))
_STAGES = tuple((rf"^bb_{i - 1}_([0-9]+)\.", rf"layer{i}.\1.") for i in (1, 2, 3, 4))
_CONVS = tuple(
    pair
    for k in (3, 2, 1)
    for pair in ((rf"\.conv{k - 1}\.conv\.", f".conv{k}."), (rf"\.conv{k - 1}\.bn\.", f".bn{k}."))
)
_PLAIN_SHORT = ((r"\.short\.conv\.", ".downsample.0."), (r"\.short\.bn\.", ".downsample.1."))
_POOLED_SHORT = ((r"\.short\.conv\.", ".downsample.1."), (r"\.short\.bn\.", ".downsample.2."))
_ONE_CONV = ((r"^(conv|stem\.0)\.conv\.", "conv1."), (r"^(conv|stem\.0)\.bn\.", "bn1."))
_THREE_CONVS = (
    (r"^(conv1_1|stem\.0)\.conv\.", "conv1.0."),
    (r"^(conv1_1|stem\.0)\.bn\.", "conv1.1."),
    (r"^(conv1_2|stem\.1)\.conv\.", "conv1.3."),
    (r"^(conv1_2|stem\.1)\.bn\.", "conv1.4."),
    (r"^(conv1_3|stem\.2)\.conv\.", "conv1.6."),
    (r"^(conv1_3|stem\.2)\.bn\.", "bn1."),
)


def _paddle(marks: tuple[str, ...], renamed: tuple[tuple[str, str], ...], blocks: tuple[str, str] | None) -> Home:
    return Home(
        home="PaddlePaddle",
        marks=marks,
        renamed=renamed,
        blocks=blocks,
        transposed=MATRICES,
        implied={"stride_on": "3x3", "max_pool": True},  # told, though Paddle's norms have no counters
        where=r"^conv1\.",
        because="of PaddlePaddle's networks",
    )


_NUMBERED = (r"^blocks\.([0-9]+)\.", r"^blocks\.([0-9]+)\.short\.")

PADDLE: tuple[Home, ...] = (
    _paddle(("layer1.0.bn1._mean", "conv1."), STATISTICS, None),  # paddle.vision
    _paddle(("bb_0_0.conv0._conv.weight", "conv1_3."), _OLD + _THREE_CONVS + _STAGES + _CONVS + _POOLED_SHORT, None),
    _paddle(("bb_0_0.conv0._conv.weight", "conv._conv."), _OLD + _ONE_CONV + _STAGES + _CONVS + _PLAIN_SHORT, None),
    _paddle(("blocks.0.conv0.conv.weight", "stem.2."), STATISTICS + _THREE_CONVS + _CONVS + _POOLED_SHORT, _NUMBERED),
    _paddle(("blocks.0.conv0.conv.weight", "stem.0."), STATISTICS + _ONE_CONV + _CONVS + _PLAIN_SHORT, _NUMBERED),
)
