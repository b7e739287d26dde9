"""What homes leave out is left out only where shapes and types do not show it to be part of the answer."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.errors import ArchitectureError
from tests.arch.fabric import Tensors, basic_net, conv, linear, norm, prefixed

WIDTH = 64  # of the body's features
BODY = prefixed(basic_net(head=None), "trunk.")


def nets(*parts: Tensors) -> Tensors:
    return {name: array for part in (BODY, *parts) for name, array in part.items()}


@pytest.mark.parametrize("name", ["step", "global_step"])
def test_a_counter_is_a_whole_number(name):
    head = linear("fc", 3, WIDTH)
    _, config = arch.build(nets(head, {name: np.array(900)}))
    assert config["ignored"].value == name
    with pytest.raises(ArchitectureError, match=rf"reads: {name} \(\)"):
        arch.build(nets(head, {name: np.float32(0.5)}))


@pytest.mark.parametrize("name", ["f1", "acc", "metric", "val_f1"])
def test_a_layer_named_like_a_metric_is_a_layer(name):
    network, _ = arch.build(nets(linear(name, 20, WIDTH), linear("out", 3, 20)))
    assert network.nodes[-1].name == "out"
    assert network[name].op == "linear"


@pytest.mark.parametrize(
    "name", ["bbox_head", "roi_heads.cls", "decode_head", "segmentation_head", "head.regression_head"]
)
def test_a_linear_layer_named_like_the_head_of_a_task_is_the_classifier(name):
    network, config = arch.build(nets(linear(name, 4, WIDTH)))
    assert dict(network.outputs) == {"logits": name}
    assert "ignored" not in config


def test_convolutions_with_a_linear_layer_classify_no_pixels():
    head = conv("classifier.0", 12, WIDTH, 3, 3) | norm("classifier.1", 12) | linear("classifier.5", 3, 12)
    with pytest.raises(ArchitectureError, match=r"classifier"):
        arch.build(nets(head))
    pixels = conv("classifier.0", 12, WIDTH, 3, 3) | norm("classifier.1", 12) | conv("classifier.4", 3, 12, 1, 1)
    assert arch.build(nets(pixels))[1]["ignored"].value.startswith("classifier.0")


def test_a_classifier_may_stand_after_what_a_task_needs():
    """Where only the body has the width that `fc` reads, the pyramid is left out."""
    for width, fits in ((WIDTH, False), (24, True)):
        tensors = nets(conv("fpn.lateral", width, WIDTH, 3, 3), linear("fc", 3, WIDTH))
        if fits:
            assert "fpn" in arch.build(tensors)[1]["ignored"].value
        else:
            with pytest.raises(ArchitectureError, match=r"reads: fpn\.lateral"):
                arch.build(tensors)


@pytest.mark.parametrize("width", [WIDTH, 40])
def test_a_classifier_of_the_projector_s_width_is_said_aloud(width):
    tensors = nets(linear("projector.0", 48, WIDTH), linear("projector.2", width, 48), linear("classifier", 3, WIDTH))
    network, config = arch.build(tensors)
    assert network["classifier"].inputs == ("flatten",)
    if width != WIDTH:
        assert config.ambiguous() == {}
        return
    assert config["ignored"].alternatives == ("head='classifier'", "head='none'")
    assert arch.build(tensors, options={"head": "classifier"})[1].ambiguous() == {}
    assert dict(arch.build(tensors, options={"head": "none"})[0].outputs) == {"embedding": "flatten"}


@pytest.mark.parametrize(("out", "is_loss"), [(20, True), (5, False)])
def test_a_predictor_leads_back_to_the_space_it_reads(out, is_loss):
    """SimSiam's predictor; another module of that name gives the answer."""
    head = linear("projection.0", 20, WIDTH) | linear("predictor.0", 8, 20) | linear("predictor.3", out, 8)
    if is_loss:
        assert dict(arch.build(nets(head))[0].outputs) == {"embedding": "flatten"}
        return
    with pytest.raises(ArchitectureError, match=r"reads: projection\.0"):
        arch.build(nets(head))


def test_the_numbers_of_imagenet_are_told_to_a_network_for_small_images():
    """Its usual ones are CIFAR's."""
    net = prefixed(basic_net((1, 1, 1), channels=16, stem=3, classes=10), "1.")
    numbers = {"0.mean": np.float32([0.485, 0.456, 0.406]), "0.std": np.float32([0.229, 0.224, 0.225])}
    told = arch.build(net | numbers)[1]["preprocess"]
    assert told.origin == "file"
    assert np.allclose(told.value["mean"], numbers["0.mean"], atol=1e-6)
