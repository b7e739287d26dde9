"""Networks that were saved with the heads of another task: detection, contrastive training, segmentation."""

from __future__ import annotations

from npresnet.arch.homes import Home

_DETECTION = r"^(backbone\.)?fpn\.|^rpn\.|^roi_heads\.|^head\.(classification|regression)_head\."
_SEGMENTATION = r"^(aux_)?classifier\."

DETECTION = Home(_DETECTION, left_out=_DETECTION, note="the head of a detection net; this is its backbone")

# The fc of contrastive training (MoCo) is a projection for its loss, not a classifier.
CONTRASTIVE = Home(
    r"^queue(_ptr)?$",
    left_out=r"^fc\.|^encoder_k\.|^queue",
    note="of a contrastive training; this is the net it trained",
)

# Their classifiers are convolutions over all pixels. A linear layer called classifier is a classifier.
SEGMENTATION = Home(
    _SEGMENTATION,
    ndim=4,
    left_out=_SEGMENTATION,
    note="the head of a segmentation net; this is its backbone",
    implied={"replace_stride_with_dilation": [False, True, True]},
    where=r"^layer4\.0\.conv3\.weight$",  # torchvision dilates Bottlenecks only
    because="the backbone of a segmentation net, by torchvision's custom",
)
