"""MXNet: Gluon's model zoo (resnet18_v1 .. resnet152_v1) and GluonCV (v1b, v1c, v1d, v1s), in `.params` files.

    Gluon, by modules            Gluon, by counters                    ours
    features.0, .1               <net>_conv0, _batchnorm0              conv1, bn1
    features.<i+3>.<j>.body.*    <net>_stage<i>_conv*, _batchnorm*     layer<i>.<j>.conv<k>, .bn<k>
    .downsample.0, .1            the ones after those of its branch    .downsample.0, .1
    output                       <net>_dense0                          fc
    gamma, beta                  the same                              weight, bias

A branch's convolutions are body.0, .3 and .6, its norms body.1, .4 and .7. The counters of a stage begin at 0 in every
stage and go on through its blocks: the branch's convolutions, then a projection's. These networks stride on the first
1x1, whose convolutions have biases. GluonCV's names are timm's but for gamma and beta; it strides on the 3x3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from npresnet.arch.homes.home import Home
from npresnet.arch.homes.torchvision import FIRST_BLOCK

_ROLES = ((r"\.gamma$", ".weight"), (r"\.beta$", ".bias"))
_COUNTED = re.compile(r"^[a-z0-9]+?_stage([1-4])_(conv|batchnorm)([0-9]{1,4})_(.*)$")
_OUTER = {"conv0": "conv1", "batchnorm0": "bn1", "dense0": "fc"}


def by_counters(names: Sequence[str]) -> list[str]:
    """Our names of modules for Gluon's counters, with Gluon's roles."""
    counts = {stage: _branch_and_first(names, stage) for stage in "1234"}
    return [_counted(name, counts) for name in names]


def _branch_and_first(names: Sequence[str], stage: str) -> tuple[int, bool]:
    """How many convolutions a branch has, 2 or 3, and whether the first block has a projection.

    Bottlenecks have biases on their 1x1s. A stage has one convolution more than a multiple where there is a projection.
    """
    found = [match for match in map(_COUNTED.match, names) if match and match[1] == stage and match[2] == "conv"]
    branch = 3 if any(match[4] == "bias" for match in found) else 2
    total = len({match[3] for match in found})
    return branch, total % branch == 1


def _counted(name: str, counts: dict[str, tuple[int, bool]]) -> str:
    found = _COUNTED.match(name)
    if found is None:
        module, _, role = name.partition("_")[2].partition("_")
        return f"{_OUTER.get(module, module)}.{role}"
    stage, kind, number, role = found.groups()
    branch, projects = counts[stage]
    place = int(number)
    if projects and place == branch:
        return f"layer{stage}.0.downsample.{int(kind == 'batchnorm')}.{role}"
    block, part = divmod(place - (projects and place > branch), branch)
    return f"layer{stage}.{block}.{'conv' if kind == 'conv' else 'bn'}{part + 1}.{role}"


_GLUON = Home(
    home="Gluon",
    implied={"stride_on": "1x1", "max_pool": True},
    where=r"^conv1\.weight$",
    because="of Gluon's model zoo",
)

MXNET: tuple[Home, ...] = (
    _GLUON._replace(
        marks=("features.4.0.body.0.weight", "features.1.gamma", "features.0.weight"),
        renamed=(
            *_ROLES,
            (r"^features\.0\.(?=weight)", "conv1."),
            (r"^features\.1\.", "bn1."),
            *((rf"^features\.{i + 3}\.(?=[0-9])", f"layer{i}.") for i in (1, 2, 3, 4)),
            *((rf"\.body\.{3 * k - 3}\.", f".conv{k}.") for k in (1, 2, 3)),
            *((rf"\.body\.{3 * k - 2}\.", f".bn{k}.") for k in (1, 2, 3)),
            (r"^output\.", "fc."),
        ),
    ),
    *(
        _GLUON._replace(
            marks=(f"{net}_stage1_conv0_weight", f"{net}_conv0_weight"), counted=by_counters, renamed=_ROLES
        )
        for net in ("resnetv10", "resnetv11", "resnetv12")
    ),
    Home(
        home="GluonCV",
        marks=(FIRST_BLOCK, "bn1.gamma"),
        renamed=_ROLES,
        implied={"stride_on": "3x3", "max_pool": True},
        where=r"^(conv1|conv1\.0)\.weight$",
        because="of GluonCV's networks (v1b and its descendants)",
    ),
)
