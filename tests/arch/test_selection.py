"""Prefixes are removed, heads of other tasks are left out, and both are recorded."""

from __future__ import annotations

import re

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch import selection
from npresnet.arch.homes import Home
from npresnet.config import Decision
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, bottleneck_net, conv, linear, norm, prefixed

BACKBONE = bottleneck_net(head=None)
SEGMENTATION = conv("classifier.0", 8, 256, 3, 3) | norm("classifier.1", 8) | conv("classifier.4", 21, 8, 1, 1)


@pytest.mark.parametrize("prefix", ["backbone.", "backbone.body.", "encoder.", "model.", "net.resnet.", "(odd)+."])
def test_prefix_of_the_backbone_alone(prefix):
    """Where only some tensors have the prefix, the others must still be used."""
    network, config = arch.build(prefixed(BACKBONE, prefix))
    assert config["prefix"].value == prefix
    assert network.nodes[0].name == "conv1"
    with pytest.raises(ArchitectureError, match=r"projector\.weight"):
        arch.build(prefixed(BACKBONE, prefix) | linear("projector", 3, 256))


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


def test_the_projection_of_a_contrastive_training_is_no_classifier():
    memory = {"queue": np.ones((128, 64), np.float32), "queue_ptr": np.zeros(1, np.int64)}
    network, config = arch.build(BACKBONE | memory | linear("fc.0", 256, 256) | linear("fc.2", 128, 256))
    assert dict(network.outputs) == {"embedding": "flatten"}
    assert config["ignored"].value == "queue, queue_ptr, fc.0, fc.2"


def test_two_networks_in_one_file():
    with pytest.raises(ArchitectureError, match=r"student\.conv1\.weight"):
        arch.build(prefixed(BACKBONE, "student.") | prefixed(BACKBONE, "teacher."))


def test_a_linear_layer_called_classifier_is_no_segmentation_head():
    network, config = arch.build(BACKBONE | linear("classifier", 2, 256))
    assert dict(network.outputs) == {"logits": "classifier"}
    assert "ignored" not in config
    assert config.value("num_classes") == 2


def test_nothing_is_ignored_silently():
    network, config = arch.build(BACKBONE)
    assert "ignored" not in config
    assert np.array_equal(network["conv1"].params["weight"], BACKBONE["conv1.weight"])


def test_a_new_home_is_a_table(monkeypatch):
    """Names of another home, translated by patterns only; what is left out and what follows is recorded."""
    home = Home(
        found_by=r"^blocks\.",
        renamed=(
            (r"^blocks\.([0-9]+)\.", r"layer\1."),
            (r"\.layer\.([0-9])\.conv\.", r".conv\1."),
            (r"\.layer\.([0-9])\.norm\.", r".bn\1."),
        ),
        left_out=r"^tracker\.",
        note="of a training loop",
        implied={"max_pool": False},
        where=r"^layer1\.0\.conv1\.weight$",
        because="that home has no max pool",
    )
    theirs = {re.sub(r"^layer([0-9])\.", r"blocks.\1.", name): array for name, array in basic_net().items()}
    theirs = {re.sub(r"\.conv([0-9])\.", r".layer.\1.conv.", name): array for name, array in theirs.items()}
    theirs = {re.sub(r"\.bn([0-9])\.", r".layer.\1.norm.", name): array for name, array in theirs.items()}
    theirs |= {"tracker.mean": np.ones(3, np.float32)}
    with pytest.raises(ArchitectureError):
        arch.build(theirs)
    monkeypatch.setattr(selection, "HOMES", (*selection.HOMES, home))
    network, config = arch.build(theirs)
    expected, _ = arch.build(basic_net(), options={"max_pool": False})
    assert [node.name for node in network] == [node.name for node in expected]
    assert network["layer2.0.bn1"].params["bias"] is theirs["blocks.2.0.layer.1.norm.bias"]
    assert config["ignored"] == Decision("tracker.mean", "inferred", home.note)
    assert config["max_pool"] == Decision(False, "inferred", home.because)
