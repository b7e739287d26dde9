"""Caffe2 and Detectron: pickles `{"blobs": {name: array}}`, in which `_` stands for every dot.

    conv1_w, conv1_b                    conv1
    res_conv1_bn_s, _b; conv1_bn_s      bn1
    res<i+1>_<j>_branch2a, 2b, 2c       layer<i>.<j>.conv1, .conv2, .conv3
    res<i+1>_<j>_branch2a_bn, ...       layer<i>.<j>.bn1, .bn2, .bn3
    res<i+1>_<j>_branch1, branch1_bn    layer<i>.<j>.downsample.0, .1
    pred_w, _b; fc1000_w, _b            fc

`_s` and `_b` are a norm's weight and bias, `_rm` and `_riv` its mean and variance. Detectron has folded the statistics
into weight and bias (AffineChannel, y = s x + b), so most of its files have none; `_gn` is GroupNorm. Images are pixels
of 0..255 in the order blue, green, red, without a division by their standard deviation.

Its ResNets come from MSRA and stride on the first 1x1 (STRIDE_1X1); its ResNeXts and networks with GroupNorm were
trained in Caffe2 and stride on the 3x3. Detectron2 divides the pixels of ResNeXts by their standard deviation.
"""

from __future__ import annotations

from npresnet.arch.homes.home import Home

_END = r"_(w|s|b|rm|riv)$"  # the last part of a name; an optimizer's state has one more
_ROLES = ((r"_[ws]$", ".weight"), (r"_b$", ".bias"), (r"_rm$", ".running_mean"), (r"_riv$", ".running_var"))
_BRANCHES = tuple(
    pair
    for k, letter in enumerate("abc", start=1)
    for pair in (
        (rf"^(layer[0-9]+\.[0-9]+)_branch2{letter}_[bg]n(?=[._])", rf"\1.bn{k}"),
        (rf"^(layer[0-9]+\.[0-9]+)_branch2{letter}(?=[._])", rf"\1.conv{k}"),
    )
)
_BODY = rf"(?=.*{_END})"  # only these names are a network's

MEAN = [102.9801 / 255, 115.9465 / 255, 122.7717 / 255]
PIXELS = {"mean": MEAN, "std": [1 / 255] * 3, "bgr": True}
DIVIDED = "preprocess={'mean': [0.406, 0.456, 0.485], 'std': [0.225, 0.224, 0.229], 'bgr': True}"

_FIRST_1X1 = Home(
    implied={"stride_on": "1x1"},
    where=r"^layer1\.0\.conv3\.weight$",
    because="Detectron's STRIDE_1X1, as its ResNets from MSRA have it",
    alternatives={"stride_on": ("stride_on='3x3'",)},
)
_NOT_1X1 = _FIRST_1X1._replace(
    implied={"stride_on": "3x3"},
    because="usual for Detectron's networks that were trained in Caffe2",
    alternatives={"stride_on": ("stride_on='1x1'",)},
)
_OF_32 = Home(
    implied={"norm_groups": 32},
    where=r"^bn1\.weight$",
    because="GroupNorm by its names, of Detectron's number of groups",
)
_GROUPS = Home(
    implied={"preprocess": PIXELS},
    where=r"^conv1\.weight$",
    because="Detectron's pixels; Detectron2 divides those of ResNeXts",
    alternatives={"preprocess": (DIVIDED,)},
    grouped=True,
)
_AFFINE = Home(
    implied={"bn_eps": 0.0}, where=r"^bn1\.weight$", because="AffineChannel: a BatchNorm whose statistics are folded"
)

_RENAMED = (
    (rf"^(res_)?conv1_[bg]n(?={_END})", "bn1"),
    (rf"^(pred|fc1000)(?={_END})", "fc"),
    *((rf"^res{i + 1}_([0-9]+){_BODY}", rf"layer{i}.\1") for i in (1, 2, 3, 4)),
    *_BRANCHES,
    (r"^(layer[0-9]+\.[0-9]+)_branch1_[bg]n(?=_)", r"\1.downsample.1"),
    (r"^(layer[0-9]+\.[0-9]+)_branch1(?=_)", r"\1.downsample.0"),
    *((rf"^((conv1|bn1|fc|layer[0-9]+\..*[0-9])){end}", rf"\1{role}") for end, role in _ROLES),
)


def _caffe2(*marks: str, affine: str = "", also: tuple[Home, ...]) -> Home:
    return Home(
        home="Caffe2",
        marks=("res2_0_branch2a_w", "conv1_w", *marks),
        ndim=4,  # Detect-and-Track's networks of videos have these names too
        renamed=_RENAMED,
        implied={"max_pool": True, "preprocess": PIXELS},
        where=r"^conv1\.weight$",
        because="of Caffe2's networks",
        affine=affine,
        also=also,
    )


_PLAIN, _GROUPED = _FIRST_1X1._replace(grouped=False), _NOT_1X1._replace(grouped=True)
CAFFE2: tuple[Home, ...] = (
    _caffe2("res2_0_branch2a_gn_s", also=(_NOT_1X1, _OF_32)),
    _caffe2("res2_0_branch2a_bn_rm", also=(_PLAIN, _GROUPED, _GROUPS)),
    _caffe2(affine=r"(^|\.)(bn[0-9]|downsample\.1)\.weight$", also=(_PLAIN, _GROUPED, _GROUPS, _AFFINE)),
)

# Tensors beside the network, under their own names.
HEADS = Home(
    found_by=r"^(fpn_|(conv_)?rpn_|cls_score_|retnet_)",
    left_out=r"^(fpn_|(conv_)?rpn_|retnet_|fc[67]_|cls_score_|bbox_pred_|head_conv|conv_fcn|(conv5_)?mask_|conv5_mask_"
    r"|_\[mask\]_|kps_)",
    beside=r"^conv1\.weight$",  # translated: networks of videos keep their names, and know their heads
    note="the heads of a Detectron network; this is its body",
)
MOMENTUM = Home(found_by=r"_momentum$", left_out=r"_momentum$|^lr$", note="of the optimizer")
