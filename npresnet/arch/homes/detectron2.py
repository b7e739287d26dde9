"""Detectron2: `stem.conv1`, `res2` .. `res5`; a norm stands inside its convolution, a projection is a `shortcut`.

    stem.conv1, stem.conv1.norm             conv1, bn1
    res<i+1>.<j>.conv<k>, .conv<k>.norm     layer<i>.<j>.conv<k>, .bn<k>
    res<i+1>.<j>.shortcut, .shortcut.norm   layer<i>.<j>.downsample.0, .1

Its ImageNet weights from MSRA stride on the first 1x1 (STRIDE_IN_1X1, which is true unless a configuration file says
otherwise), those from torchvision on the 3x3.
"""

from __future__ import annotations

from npresnet.arch.homes.home import Home

DETECTRON2 = Home(
    home="Detectron2",
    marks=("res2.0.conv1.weight", "stem.conv1."),
    renamed=(
        (r"^stem\.conv1\.norm\.", "bn1."),
        (r"^stem\.conv1\.", "conv1."),
        *((rf"^res{i + 1}\.", f"layer{i}.") for i in (1, 2, 3, 4)),
        (r"\.conv([0-9])\.norm\.", r".bn\1."),
        (r"\.shortcut\.norm\.", ".downsample.1."),
        (r"\.shortcut\.", ".downsample.0."),
    ),
    implied={"stride_on": "1x1", "max_pool": True},
    where=r"^layer1\.0\.conv3\.weight$",
    because="Detectron2's STRIDE_IN_1X1, true by default and for MSRA's weights",
    alternatives={"stride_on": ("stride_on='3x3'",)},
)

# The fourth stage of a "C4" network runs on regions, inside the head.
HEADS = Home(
    found_by=r"^(proposal_generator|roi_heads|sem_seg_head)\.|^fpn_(lateral|output)[0-9]\.",
    left_out=r"^(proposal_generator|roi_heads|sem_seg_head|anchor_generator)\.|^(backbone\.)?fpn_(lateral|output)[0-9]\.",
    note="the heads of a Detectron2 network; this is its backbone",
)
