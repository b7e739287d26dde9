"""Keras: ResNet50, ResNet101, ResNet152 and their V2 of keras.applications, and networks on top of them.

    conv1_conv, conv1_bn                conv1, bn1
    conv<i+1>_block<j+1>_<k>_conv, _bn  layer<i>.<j>.conv<k>, .bn<k>
    conv<i+1>_block<j+1>_0_conv, _bn    layer<i>.<j>.downsample.0, .1
    kernel, bias                        weight, bias; a kernel is (height, width, in, out), a matrix (in, out)
    gamma, beta                         weight, bias
    moving_mean, moving_variance        running_mean, running_var

V1 strides on the first 1x1, has biases on all convolutions, and reads pixels of 0..255 in the order blue, green, red
minus their mean. V2 keeps its names, see families/keras_v2.py.
"""

from __future__ import annotations

import re

from npresnet.arch.homes.home import Home

EPS = 1.001e-5
_ROLES = (
    (r"\.(kernel|gamma)$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"\.moving_mean$", ".running_mean"),
    (r"\.moving_variance$", ".running_var"),
)
PIXELS = {"mean": [103.939 / 255, 116.779 / 255, 123.68 / 255], "std": [1 / 255] * 3, "bgr": True}
FIRST = "conv2_block1_1_conv.kernel"


def _part(found: re.Match[str]) -> str:
    stage, block, number, kind = found.groups()
    if number == "0":
        return f"layer{int(stage) - 1}.{int(block) - 1}.downsample.{int(kind == 'bn')}."
    return f"layer{int(stage) - 1}.{int(block) - 1}.{kind}{number}."


KERAS: tuple[Home, ...] = (
    Home(
        home="Keras",
        marks=(FIRST, "conv1_conv.", "conv2_block1_preact_bn."),
        renamed=_ROLES,
        transposed=r"\.weight$",
        hwio=True,
    ),
    Home(
        home="Keras",
        marks=(FIRST, "conv1_conv."),
        renamed=(
            *_ROLES,
            (r"^conv1_(?=(conv|bn)\.)", ""),
            (r"^(conv|bn)(?=\.)", r"\g<1>1"),
            (r"^conv([2-5])_block([0-9]{1,4})_([0-3])_(conv|bn)\.", _part),
        ),
        transposed=r"\.weight$",
        hwio=True,
        implied={"stride_on": "1x1", "bn_eps": EPS, "max_pool": True, "preprocess": PIXELS},
        where=r"^conv1\.weight$",
        because="of keras.applications",
    ),
)
