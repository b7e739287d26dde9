"""Heads of other tasks beside a network: they are left out, and tell about strides, dilation and norms."""

from __future__ import annotations

import pytest

from npresnet import arch
from npresnet.arch.selection.select import select
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from tests.arch.fabric import basic_net, bottleneck_net, conv, linear, norm, prefixed

BACKBONE = bottleneck_net(head=None)
SEGMENTATION = conv("classifier.0", 8, 256, 3, 3) | norm("classifier.1", 8) | conv("classifier.4", 21, 8, 1, 1)
DECODER = conv("decode_head.conv_seg", 19, 8, 1, 1) | norm("decode_head.bn", 8)


@pytest.mark.parametrize("prefix", ["backbone.", ""])
def test_heads_of_a_segmentation_net_mean_a_dilated_backbone(prefix):
    auxiliary = {name.replace("classifier", "aux_classifier"): a for name, a in SEGMENTATION.items()}
    network, config = arch.build(prefixed(BACKBONE, prefix) | SEGMENTATION | auxiliary)
    assert config["replace_stride_with_dilation"].value == [False, True, True]
    assert config["replace_stride_with_dilation"].origin == "inferred"
    parts = [f"{head}.{i}" for head in ("classifier", "aux_classifier") for i in (0, 1, 4)]
    assert config["ignored"].value == ", ".join(parts)
    assert network["layer4.0.conv2"].window.dilation == (2, 2)
    plain = {"replace_stride_with_dilation": [False] * 3}
    _, config = arch.build(prefixed(BACKBONE, prefix) | SEGMENTATION, options=plain)
    assert config["replace_stride_with_dilation"].origin == "caller"


def test_a_segmentation_net_of_basic_blocks_has_no_known_dilation():
    _, config = arch.build(basic_net(head=None) | SEGMENTATION)
    assert config["replace_stride_with_dilation"].origin == "default"
    assert "ignored" in config


@pytest.mark.parametrize(
    ("heads", "dilated", "alternative"),
    [
        (conv("classifier.aspp.convs.0.0", 8, 256, 1, 1), [False, False, True], "output_stride=8"),
        (
            DECODER,
            [False, True, True],
            "output_stride=16",
        ),
        (conv("ppm.0.1", 8, 256, 1, 1), [False, True, True], "output_stride=16"),
        (
            linear("transformer.encoder.layers.0.linear1", 8, 8) | linear("query_embed", 8, 8),
            [False, False, False],
            "output_stride=16",
        ),
    ],
    ids=["VainF", "MMSegmentation", "semseg", "DETR"],
)
def test_dilation_of_other_tasks_is_ambiguous(heads, dilated, alternative):
    _, config = arch.build(prefixed(BACKBONE, "backbone.") | heads)
    assert config["replace_stride_with_dilation"].value == dilated
    assert alternative in config["replace_stride_with_dilation"].alternatives


def test_heads_of_a_detection_net():
    heads = (
        conv("backbone.fpn.inner_blocks.0.0", 8, 256, 1, 1)
        | conv("rpn.head.conv.0.0", 8, 8, 3, 3)
        | linear("roi_heads.box_head.fc6", 5, 8)
    )
    network, config = arch.build(prefixed(BACKBONE, "backbone.body.") | heads)
    assert dict(network.outputs) == {"embedding": "flatten"}
    assert "rpn.head" in config["ignored"].value
    assert config["replace_stride_with_dilation"].value == [False] * 3
    assert config["bn_eps"].certainty == "custom"


def test_eps_of_a_detector_without_counters_is_ambiguous():
    """Frozen BatchNorm: eps 0 in COCO's first files; FCOS has torch's 1e-5."""
    frozen = {name: a for name, a in prefixed(BACKBONE, "backbone.body.").items() if "tracked" not in name}
    retina = conv("head.classification_head.cls_logits", 9, 8, 3, 3)
    network, config = arch.build(frozen | retina)
    assert (config["bn_eps"].value, config["bn_eps"].alternatives) == (0.0, ("bn_eps=1e-5",))
    assert network["bn1"].attrs["eps"] == 0
    assert list(config.ambiguous()) == ["bn_eps"]
    _, config = arch.build(frozen | retina | conv("head.regression_head.bbox_ctrness", 1, 8, 3, 3))
    assert (config["bn_eps"].value, config["bn_eps"].certainty) == (1e-5, "custom")


def test_the_style_of_a_detector_of_openmmlab_is_ambiguous():
    _, config = arch.build(prefixed(BACKBONE, "backbone.") | conv("rpn_head.rpn_conv", 8, 256, 3, 3))
    assert config["stride_on"].alternatives == ("stride_on='1x1'",)
    assert config.value("ignored") == "rpn_head.rpn_conv"


def test_a_linear_layer_called_classifier_is_no_segmentation_head():
    network, config = arch.build(BACKBONE | linear("classifier", 2, 256))
    assert dict(network.outputs) == {"logits": "classifier"}
    assert "ignored" not in config
    assert config.value("num_classes") == 2


def test_last_stride_of_a_network_for_re_identification_is_ambiguous():
    _, decisions = select(
        Tensors(prefixed(BACKBONE, "base.") | norm("bottleneck", 256) | linear("classifier", 751, 256))
    )
    assert decisions["last_stride"] == Decision(2, "default", "a network for re-identification", ("last_stride=1",))


@pytest.mark.parametrize(
    "beside",
    [
        linear("transformer.encoder.layers.0.linear1", 8, 8),  # not DETR's: no queries
        conv("classifier.1", 7, 256, 1, 1),  # of one pixel: as good as a linear layer
        linear("classification_head.3", 7, 256),
    ],
    ids=["transformer", "1x1", "classification head"],
)
def test_what_may_be_part_of_the_answer_is_not_left_out(beside):
    found, decisions = select(Tensors(prefixed(BACKBONE, "encoder.") | beside))
    assert set(beside) < set(found)
    assert "ignored" not in decisions
