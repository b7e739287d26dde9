"""Big Transfer (BiT): Google's `.npz` files, in the names of its TensorFlow code.

    resnet/root_block/standardized_conv2d/kernel           stem.conv
    resnet/block<i+1>/unit<jj>/a, b, c/group_norm          stages.<i>.blocks.<j>.norm1, .norm2, .norm3
    .../a, b, c/standardized_conv2d/kernel                 .../conv1, .conv2, .conv3
    .../a/proj/standardized_conv2d/kernel                  .../downsample.conv
    resnet/group_norm, resnet/head/conv2d                  norm, head.fc

Units are counted from 01; a kernel is (height, width, in, out). Ours are timm's names, see families/resnetv2.py.
"""

from __future__ import annotations

import re

from npresnet.arch.homes.home import Home

_PARTS = {
    "a/group_norm": "norm1",
    "b/group_norm": "norm2",
    "c/group_norm": "norm3",
    "a/standardized_conv2d": "conv1",
    "b/standardized_conv2d": "conv2",
    "c/standardized_conv2d": "conv3",
    "a/proj/standardized_conv2d": "downsample.conv",
}


def _in_a_block(found: re.Match[str]) -> str:
    stage, unit, part = found.groups()
    return f"stages.{int(stage) - 1}.blocks.{int(unit) - 1}.{_PARTS.get(part, part)}."


BIT = Home(
    home="Google BiT",
    marks=("resnet/block1/unit01/a/standardized_conv2d/kernel", "resnet/root_block/standardized_conv2d/"),
    renamed=(
        (r"/(kernel|gamma)$", "/weight"),
        (r"/beta$", "/bias"),
        (r"^resnet/root_block/standardized_conv2d/", "stem.conv."),
        (r"^resnet/group_norm/", "norm."),
        (r"^resnet/head/conv2d/", "head.fc."),
        (r"^resnet/block([1-9])/unit([0-9]{1,4})/(.*)/", _in_a_block),
    ),
    hwio=True,
    implied={"weight_eps": 1e-10},
    where=r"^stem\.conv\.weight$",
    because="of the filters' standard deviation, as in its authors' code",
)
