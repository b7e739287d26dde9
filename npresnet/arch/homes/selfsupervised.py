"""Self-supervised and contrastive training: the network, and the heads and copies that only its loss needs.

LEADERS tells which of two networks is the one that such a training trains for use.
"""

from __future__ import annotations

from npresnet.arch.homes.home import Home

# (the network, the other): parts of a prefix. The other is a moving average of it, or a copy.
LEADERS: tuple[tuple[str, str], ...] = (
    ("encoder_q", "encoder_k"),  # MoCo v1, v2
    ("base_encoder", "momentum_encoder"),  # MoCo v3
    ("online_encoder", "target_encoder"),  # BYOL
    ("online_network", "target_network"),
    ("online_net", "target_net"),
    ("online_backbone", "target_backbone"),
    ("online", "target"),
    ("encoder", "momentum_encoder"),
    ("encoder", "encoder_momentum"),
    ("encoder", "target_encoder"),
    ("backbone", "momentum_backbone"),  # solo-learn
    ("backbone", "backbone_momentum"),  # lightly
    ("backbone", "target_backbone"),
    ("backbone_q", "backbone_k"),
)

NOTE = "of a self-supervised training; this is the network it trained"

# Where there is a predictor or a queue, the network's own fc is the projection for the loss. One linear layer called
# predictor or projector may be the classifier, or the embedding that is wanted: it is not left out.
_PROJECTION = r"^fc\."
_LOSS_SPACE = r"^(fc|projector|projection)\.[0-9]+\."  # a Sequential to the space of the loss
_MOMENTUM = r"^(momentum_(encoder|backbone|projector|predictor|classifier)|(encoder|backbone)_k)\."

SELF_SUPERVISED: tuple[Home, ...] = (
    Home(
        r"^queue(_ptr|2)?$", left_out=rf"{_PROJECTION}|{_MOMENTUM}|^queue(_ptr|2)?$", note=NOTE, read_by="ambiguous"
    ),  # MoCo
    Home(
        r"^predictor\.[0-9]+\.",
        beside=_LOSS_SPACE,
        left_out=rf"{_PROJECTION}|^(predictor|projector|projection)\.|{_MOMENTUM}",
        closes=r"^predictor\.",
        note=NOTE,
        read_by="ambiguous",
    ),
    Home(
        r"^projector\.[0-9]+\.", left_out=rf"^projector\.|^(outside\.)?bn\.|{_MOMENTUM}", note=NOTE, read_by="ambiguous"
    ),  # Barlow Twins, VICReg, solo-learn
    Home(  # lightly
        r"^(projection|prediction)_(head|mlp)\.layers\.[0-9]",
        left_out=r"^(projection|prediction)_(head|mlp)(_momentum)?\.",
        note=NOTE,
        read_by="ambiguous",
    ),
    Home(
        r"^projection_head\.", beside=r"^prototypes\.", left_out=r"^projection_head\.", note=NOTE, read_by="ambiguous"
    ),  # SwAV
    Home(
        r"^prototypes(\.prototypes[0-9]+)?\.weight$", left_out=r"^prototypes\.", note=NOTE, read_by="ambiguous"
    ),  # SwAV
    Home(r"^head\.last_layer\.", left_out=r"^head\.(mlp|last_layer)\.", note=NOTE, read_by="ambiguous"),  # DINO
    Home(  # BYOL
        r"^online_(predictor|encoder|projector)\.",
        left_out=r"^(online|target)_(predictor|encoder|projector|network)\.",
        note=NOTE,
        read_by="ambiguous",
    ),
    # SupContrast: `head` beside an encoder in DataParallel; its classifiers are files of their own.
    Home(
        r"^head\.[02]\.weight$",
        among=r"(^|\.)encoder\.module\.$",
        left_out=r"^head\.",
        note=NOTE,
        read_by="ambiguous",
    ),
    # solo-learn's networks for CIFAR
    Home(
        r"^(projector|momentum_projector)\.[0-9]+\.",
        implied={"stem": [[3, 1, 2]], "stem_stride": 1, "max_pool": False},
        where=r"^conv1\.weight$",
        because="of solo-learn's networks for small images, which have names like these",
        alternatives={"stem": ("stem=[[3, 1, 1]]",), "max_pool": ("max_pool=True",)},
        stem_side=3,
    ),
)
