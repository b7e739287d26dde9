"""Networks that were saved with the heads of another task: detection, segmentation, retrieval, text."""

from __future__ import annotations

from npresnet.arch.homes.home import Home

_FPN = r"^(backbone\.)?fpn\."
_DETECTION = rf"{_FPN}|^rpn\.|^roi_heads\.|^head\.(classification|regression)_head\."
_CONVOLUTIONS = r"^(aux_)?classifier\."
_BOTTLENECK = r"^layer4\.0\.conv3\.weight$"  # torchvision dilates Bottlenecks only

_DILATED = "replace_stride_with_dilation"
_STRIDE_8, _STRIDE_16, _STRIDE_32 = [False, True, True], [False, False, True], [False, False, False]

TASKS: tuple[Home, ...] = (
    Home(_DETECTION, left_out=_DETECTION, note="the head of a detection net; this is its backbone"),
    # Frozen norms have no counters, like norms from Caffe; but these backbones are torchvision's own.
    Home(
        r"^(rpn|fpn|roi_heads|head)\.",
        among=r"(^|\.)body\.$",
        implied={"stride_on": "3x3", "max_pool": True},
        where=r"^conv1\.weight$",
        because="torchvision's backbone of a detection net",
    ),
    # torchvision's detectors freeze BatchNorm, with eps 0 in its COCO V1 files and their descendants, else 1e-5.
    Home(
        r"^rpn\.|^head\.classification_head\.",
        among=r"(^|\.)body\.$",
        implied={"bn_eps": 0.0},
        where=r"^bn1\.running_var$",
        because="of torchvision's first COCO detectors, whose frozen BatchNorm has no counter",
        alternatives={"bn_eps": ("bn_eps=1e-5",)},
        unless=r"num_batches_tracked$|^head\.regression_head\.bbox_ctrness\.",  # FCOS
    ),
    # Classifiers of segmentation nets are convolutions over all pixels; a linear layer called so is a classifier.
    Home(
        r"^(aux_)?classifier\.[0-9]",
        ndim=4,
        least_side=2,
        left_out=_CONVOLUTIONS,
        pixelwise=True,
        note="the head of a segmentation net; this is its backbone",
        implied={_DILATED: _STRIDE_8},
        where=_BOTTLENECK,
        because="the backbone of a segmentation net, by torchvision's custom",
    ),
    # VainF's DeepLabV3Plus-Pytorch, and others: the stride is an argument of the training script.
    Home(
        r"^classifier\.(project|aspp|classifier)\.",
        ndim=4,
        left_out=_CONVOLUTIONS,
        pixelwise=True,
        note="the head of a segmentation net; this is its backbone",
        implied={_DILATED: _STRIDE_16},
        where=_BOTTLENECK,
        because="DeepLabV3Plus-Pytorch's output stride 16",
        alternatives={_DILATED: ("output_stride=8", "output_stride=32")},
    ),
    # MMSegmentation: most of its configurations have output stride 8.
    Home(
        r"^(decode_head|auxiliary_head)\.",
        left_out=r"^(decode_head|auxiliary_head|neck)\.",
        pixelwise=True,
        note="the head of a segmentation net; this is its backbone",
        implied={_DILATED: _STRIDE_8},
        where=_BOTTLENECK,
        because="usual in MMSegmentation",
        alternatives={_DILATED: ("output_stride=16", "output_stride=32")},
    ),
    # MMDetection: style='caffe' in some configurations.
    Home(
        r"^(rpn_head|bbox_head|roi_head|mask_head)\.",
        left_out=r"^(neck|rpn_head|bbox_head|roi_head|mask_head)\.",
        note="the neck and head of a detection net; this is its backbone",
        implied={"stride_on": "3x3"},
        where=_BOTTLENECK,
        because="MMDetection's style 'pytorch'",
        alternatives={"stride_on": ("stride_on='1x1'",)},
    ),
    # segmentation_models_pytorch: only its DeepLab models dilate the encoder.
    Home(
        r"^segmentation_head\.",
        left_out=r"^(decoder|segmentation_head)\.",
        pixelwise=True,
        note="the decoder of a segmentation net; this is its encoder",
    ),
    Home(
        r"^decoder\.aspp\.",
        implied={_DILATED: _STRIDE_16},
        where=_BOTTLENECK,
        because="of segmentation_models_pytorch's DeepLab models",
        alternatives={_DILATED: ("output_stride=8",)},
    ),
    # semantic-segmentation-pytorch and semseg, which dilate to stride 8; their files hold the encoder or all of it.
    Home(
        r"^(ppm|psp)\.",
        ndim=4,
        left_out=r"^(ppm|psp|aux|cls|final)\.",
        pixelwise=True,
        note="the head of a segmentation net; this is its backbone",
        implied={_DILATED: _STRIDE_8},
        where=_BOTTLENECK,
        because="usual for a pyramid of pools",
        alternatives={_DILATED: ("output_stride=16", "output_stride=32")},
    ),
    Home(  # DETR
        r"^query_embed\.",
        beside=r"^transformer\.decoder\.layers\.|^transformer\.encoder\.layers\.",
        left_out=r"^(transformer|query_embed|class_embed|bbox_embed|input_proj)\.",
        note="the transformer of a detection net; this is its backbone",
        read_by="ambiguous",
        implied={_DILATED: _STRIDE_32},
        where=_BOTTLENECK,
        because="DETR's, and not DETR-DC5's",
        alternatives={_DILATED: ("output_stride=16",)},
    ),
    Home(  # CLIP
        r"^token_embedding\.",
        left_out=r"^(transformer|token_embedding|ln_final)\.|^(positional_embedding|text_projection|logit_scale)$"
        r"|^(input_resolution|context_length|vocab_size|attn_mask)$",
        read_by="nothing",
        note="of CLIP's tower of texts; this is its tower of images",
    ),
    # Re-identification: "bag of tricks" and torchreid networks often keep stride 1 in the last stage.
    Home(
        r"^bottleneck\.running_mean$",
        among=r"(^|\.)base\.$",
        implied={"last_stride": 2},
        where=r"^layer4\.",
        because="a network for re-identification",
        alternatives={"last_stride": ("last_stride=1",)},
    ),
    # layumi's ft_net: the network's own fc is not used.
    Home(
        r"^classifier\.add_block\.", left_out=r"^fc\.", note="not used by networks with a ClassBlock", read_by="nothing"
    ),
)
