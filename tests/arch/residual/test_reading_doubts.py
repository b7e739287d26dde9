"""Decisions about stems and norms that are custom for some networks, and said aloud for the others."""

from __future__ import annotations

import pytest

from npresnet import arch
from npresnet.errors import ArchitectureError
from tests.arch.fabric import Tensors, basic_net, bottleneck_net, linear, without


def without_statistics(tensors: Tensors) -> Tensors:
    return {name: array for name, array in tensors.items() if "running" not in name and "tracked" not in name}


@pytest.mark.parametrize(("classes", "channels"), [(7, 32), (1000, 32), (7, 96)])
def test_the_number_of_groups_is_ambiguous(classes, channels):
    """There are networks with fewer groups, with InstanceNorm, and with a BatchNorm saved by `named_parameters`."""
    tensors = without_statistics(basic_net((1,), channels=channels, classes=classes))
    groups = arch.build(tensors)[1]["norm_groups"]
    assert (groups.value, groups.alternatives) == (32, tuple(f"norm_groups={n}" for n in (16, 8, 2)))
    assert "BatchNorm" in groups.note
    assert "buffers" in groups.note
    assert arch.build(tensors, options={"norm_groups": 8})[1].ambiguous() == {}


@pytest.mark.parametrize(("depths", "classes"), [((3, 4, 6, 3), 1000), ((3, 4, 6, 3), 7), ((3, 4, 3, 3), 1000)])
def test_it_is_custom_for_the_published_network_with_group_norm(depths, classes):
    tensors = without_statistics(bottleneck_net(depths, planes=32, width=32, head=None))
    tensors |= linear("fc", classes, 32 * 4 * 8)
    is_published = (depths, classes) == ((3, 4, 6, 3), 1000)
    assert ("norm_groups" in arch.build(tensors)[1].ambiguous()) != is_published


@pytest.mark.parametrize("name", ["resnet50", "wide_resnet50_2", "resnext50_32x4d", "resnet50d", "seresnet50"])
def test_its_relatives_were_published_with_batch_norm_alone(name):
    """ResNet-50 as named_parameters() saves it has the tensors of the one with GroupNorm; these have no such twin."""
    tensors = without_statistics(arch.random_tensors(name))
    assert ("norm_groups" in arch.build(tensors)[1].ambiguous()) == (name != "resnet50")


def test_statistics_that_are_missing_everywhere_are_told_for_what_they_are():
    """Norms of video networks cannot be GroupNorms."""
    whole = arch.random_tensors("r3d_18", num_classes=2)
    with pytest.raises(ArchitectureError, match=r"stem\.1\.running_mean is missing.*state_dict.*named_parameters"):
        arch.build(without_statistics(whole))
    with pytest.raises(ArchitectureError, match=r"running_mean is missing.*saved in part"):
        arch.build(without(whole, "stem.1.running_mean"))


@pytest.mark.parametrize(("channels", "projection", "is_usual"), [(16, "downsample", True), (64, "downsample", False)])
def test_three_stages_are_he_s_where_they_begin_with_few_channels(channels, projection, is_usual):
    """torchvision's net without its last stage begins with 64, and was made with a max pool or without."""
    tensors = basic_net((1, 1, 1), channels=channels, stem=3, projection=projection, classes=10)
    _, config = arch.build(tensors)
    assert ("max_pool" in config.ambiguous()) != is_usual
    assert (config.value("labels") == "cifar10") == is_usual


def test_basic_blocks_and_bottlenecks_in_one_network_are_refused_as_what_they_are():
    mixed = {name: array for name, array in bottleneck_net((2, 1)).items() if not name.startswith("layer2.")}
    mixed |= {name: array for name, array in basic_net((2, 1)).items() if name.startswith("layer2.")}
    with pytest.raises(ArchitectureError, match=r"layer2\.0 have two convolutions, other blocks three"):
        arch.build(mixed)
    torn = without(bottleneck_net((2, 1)), "layer2.0.conv3.weight")
    with pytest.raises(ArchitectureError, match=r"layer2\.0\.conv3\.weight is missing"):
        arch.build(torn)
