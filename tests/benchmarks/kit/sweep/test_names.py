from __future__ import annotations

import pytest

from benchmarks.kit.sweep.names import Name, is_resnet


@pytest.mark.parametrize(
    "found",
    [
        ("timm", "resnet", "seresnext26d_32x4d"),
        ("timm", "byobnet", "gernet_l"),
        ("timm", "byobnet", "eca_resnet33ts"),
        ("timm", "dla", "dla60_res2net"),
        ("timm", "cspnet", "cspresnext50"),
        ("torchvision", "resnet", "wide_resnet50_2"),
        ("torchvision", "video.resnet", "mc3_18"),
    ],
)
def test_resnets(found):
    assert is_resnet(Name(*found))


@pytest.mark.parametrize(
    "found",
    [
        ("timm", "byobnet", "repvgg_a0"),
        ("timm", "byoanet", "halonet26t"),
        ("timm", "dla", "dla34"),
        ("timm", "cspnet", "darknet53"),
        ("timm", "inception_resnet_v2", "inception_resnet_v2"),
        ("timm", "vision_transformer_hybrid", "vit_base_resnet50_384"),
        ("torchvision", "regnet", "regnet_x_16gf"),
        ("torchvision", "detection.faster_rcnn", "fasterrcnn_resnet50_fpn"),
        ("torchvision", "video.mvit", "mvit_v1_b"),
    ],
)
def test_other_networks(found):
    assert not is_resnet(Name(*found))
