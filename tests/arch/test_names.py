"""`arch=`: the names, their meaning, and whether the given one fits the tensors."""

from __future__ import annotations

import pytest

from npresnet import arch
from npresnet.arch.families import FAMILIES
from npresnet.arch.names import find_arch
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, bottleneck_net

RESNET50 = bottleneck_net((3, 4, 6, 3), planes=64, width=64)
RESNEXT50 = bottleneck_net((3, 4, 6, 3), planes=64, width=128, groups=32)
RESNET18 = basic_net((2, 2, 2, 2))


TORCHVISION = [
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
]
LISTED = [
    *TORCHVISION,
    *("resnet10", "resnet14", "resnet26", "resnet200", "resnext101_32x4d", "resnext101_32x16d", "resnext101_32x32d"),
    *("resnetaa50", "resnetblur18", "resnetblur50"),
    *("cifar_resnet20", "cifar_resnet32", "cifar_resnet44", "cifar_resnet56", "cifar_resnet110"),
]


def test_the_list_of_names():
    """torchvision's first; every family's, each once; and nothing that the registry does not know."""
    names = arch.list_archs()
    assert names[: len(TORCHVISION)] == TORCHVISION
    assert set(LISTED) <= set(names)
    assert len(names) == len(set(names))
    assert names == list(dict.fromkeys(name for family in FAMILIES for name in family.ARCHS))


@pytest.mark.parametrize("name", ["resnet50", None])
def test_arch_that_fits(name):
    _, config = arch.build(RESNET50, arch=name)
    assert (config["arch"].value, config["arch"].origin) == ("resnet50", "caller" if name else "inferred")


@pytest.mark.parametrize(
    ("tensors", "name", "options"),
    [
        (RESNEXT50, "resnet50", {"groups": 32, "width_per_group": 4}),
        (RESNEXT50, "resnext50_32x4d", {}),
        (basic_net((1, 2, 1, 3)), "resnet", {}),
        (basic_net((3, 3, 3), stem=3, projection=None), "resnet20", {}),
        (basic_net((3, 3, 3), stem=3, projection=None), "cifar_resnet20", {}),
        (basic_net((9, 9, 9), stem=3, projection=None), "cifar_resnet56", {}),
        (basic_net((11, 11, 11), stem=3, projection=None), "cifar_resnet68", {}),
        (basic_net((2, 2, 2, 2), stem=3), "cifar_resnet18", {}),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_arch_says_the_same_in_other_words(tensors, name, options):
    _, config = arch.build(tensors, arch=name, options=options)
    assert config["arch"].value == name


@pytest.mark.parametrize(
    ("tensors", "name", "looks_like"),
    [
        (RESNET18, "resnet50", "resnet18"),
        (RESNET18, "resnet34", "resnet18"),
        (RESNET50, "resnet101", "resnet50"),
        (RESNEXT50, "resnet50", "resnext50_32x4d"),
        (RESNET50, "wide_resnet50_2", "resnet50"),
        (basic_net((2, 2, 2, 2), stem=3), "resnet18", "cifar_resnet18"),
        (basic_net((3, 3, 3), stem=3, projection=None), "cifar_resnet32", "cifar_resnet20"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arch_that_does_not_fit(tensors, name, looks_like):
    with pytest.raises(ArchitectureError) as caught:
        arch.build(tensors, arch=name)
    assert f"look like {looks_like}." in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["resnet51", "efficientnet_b0", "", 50, ["resnet50"], "resnet_18", "resnet9999999999"])
def test_unknown_names(name):
    with pytest.raises(ArchitectureError):
        arch.build(RESNET50, arch=name)


def test_a_near_miss_gets_a_hint():
    with pytest.raises(ArchitectureError, match=r"Did you mean resnext50_32x4d\?"):
        arch.build(RESNET50, arch="resnext50_32x4")


@pytest.mark.parametrize(
    ("pattern", "some", "none"),
    [
        ("*50*", ["resnet50", "wide_resnet50_2", "resnext50_32x4d"], ["resnet18"]),
        ("cifar_resnet??", ["cifar_resnet20", "cifar_resnet56"], ["cifar_resnet110", "resnet20"]),
        ("resnet[13]*", ["resnet18", "resnet34", "resnet101"], ["resnet50"]),
        ("resnet18", ["resnet18"], ["resnet18d"]),
        ("ResNet*", ["resnet18", "resnet50"], ["cifar_resnet20"]),
        ("RESNET50", ["resnet50"], ["resnet50d"]),
        ("", [], ["resnet18"]),
    ],
)
def test_patterns(pattern, some, none):
    found, names = arch.list_archs(pattern), arch.list_archs()
    assert set(some) <= set(found) <= set(names)
    assert not set(none) & set(found)
    assert found == [name for name in names if name in found], "the order is that of all"


def test_an_unknown_name_suggests_one_whatever_its_case():
    for name in ("RESNET50", "ResNet50", "resnet-50"):
        with pytest.raises(ArchitectureError, match=r"unknown architecture .*Did you mean resnet50\?"):
            find_arch(name)


def test_no_pattern_gives_all_and_other_types_are_refused():
    assert arch.list_archs(None) == arch.list_archs() == arch.list_archs("*")
    for bad in (50, b"*", ["*50*"]):
        with pytest.raises(ArchitectureError, match=r"expected a pattern such as '\*50\*', got"):
            arch.list_archs(bad)
