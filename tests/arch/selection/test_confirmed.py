"""Hand-written networks of unknown names: what no tensor tells is assumed aloud, until the caller confirms it."""

from __future__ import annotations

from ast import literal_eval

import pytest

from npresnet import arch
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, linear


def own_names(tensors):
    """The network with stages of another name."""
    return {name.replace("layer", "stage"): array for name, array in tensors.items()}


def test_what_no_tensor_tells_is_ambiguous_until_the_network_is_confirmed():
    tensors = own_names(basic_net())
    for options in (
        {"max_pool": True},
        {"max_pool": True, "activation": "relu", "last_stride": 2, "output_stride": 32},
    ):
        assert list(arch.build(tensors, options=options)[1].ambiguous()) == ["arch"]
    _, config = arch.build(tensors, options={"max_pool": True})
    assert "activation='leaky_relu'" in config["arch"].alternatives
    assert "ReLU after each norm but a block's last" in config["arch"].note
    assert f"arch='{config.value('arch')}'" in config["arch"].note
    confirmed = arch.build(tensors, arch=config.value("arch"), options={"max_pool": True})[1]
    assert not confirmed.ambiguous()
    told = arch.build(tensors, arch=config.value("arch"), origins={"arch": "file"}, options={"max_pool": True})[1]
    assert list(told.ambiguous()) == ["arch"]


def test_each_alternative_can_be_given():
    for tensors in (own_names(basic_net((1, 1, 1))), own_names(basic_net((1, 1, 1, 1))), own_names(basic_net((1, 1)))):
        for text in arch.build(tensors)[1]["arch"].alternatives:
            name, _, value = text.partition("=")
            _, config = arch.build(tensors, options={name: literal_eval(value)})
            assert config[name].origin == "caller"


def test_a_classifier_on_two_images_is_not_taken_for_two_pools():
    tensors = own_names(basic_net((1, 1))) | linear("fc", 3, 32)
    with pytest.raises(ArchitectureError, match=r"twice the features .* two images, .*global_pool='catavgmax'"):
        arch.build(tensors)
    assert arch.build(tensors, options={"global_pool": "catmaxavg"})[1].value("num_classes") == 3
    assert arch.build(tensors, options={"head": "none"})[1].value("home") == "hand-written"
