"""Hand-written networks of unknown names: what is read by shapes and order, and what is not a residual network."""

from __future__ import annotations

import re

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.selection import block_roles
from npresnet.arch.selection.structure import by_structure
from npresnet.arch.tensors import Tensors
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, bottleneck_net, conv, linear, norm

STEM = conv("start", 8, 3, 7, 7) | norm("start_norm", 8)


def own(tensors, *pairs):
    """The tensors, renamed by regular expressions."""
    for pattern, replacement in pairs:
        tensors = {re.sub(pattern, replacement, name): array for name, array in tensors.items()}
    return tensors


def stages(tensors, word="stage"):
    return own(tensors, ("^layer", word))


def block(name, before, after, *, first="conv", last=None):
    """Two convolutions, their norms, and a projection where the width changes."""
    tensors = conv(f"{name}.{first}1", after, before, 3, 3) | norm(f"{name}.bn1", after)
    tensors |= conv(f"{name}.{first}2", last or after, after, 3, 3) | norm(f"{name}.bn2", last or after)
    return tensors | (conv(f"{name}.skip", after, before, 1, 1) if before != after else {})


def grouped(name, last):
    """A Bottleneck from 8 channels whose 3x3 has two groups, 16 channels wide."""
    tensors = conv(f"{name}.a", 16, 8, 1, 1) | norm(f"{name}.na", 16)
    tensors |= conv(f"{name}.b", 16, 8, 3, 3) | norm(f"{name}.nb", 16)
    return tensors | conv(f"{name}.c", last, 16, 1, 1) | norm(f"{name}.nc", last) | conv(f"{name}.skip", last, 8, 1, 1)


@pytest.mark.parametrize("word", ["stage", "block", "conv", "res", "group_", "layers.", "net.levels."])
@pytest.mark.parametrize("first", [-1, 0, 1])
def test_stages_of_any_name_and_first_number(word, first):
    tensors = basic_net((2, 1, 1))
    shifted = own(tensors, (r"^layer([0-9])", lambda found: f"{word}{int(found[1]) + first}"))
    network, config = arch.build(shifted)
    assert config.value("layers") == [2, 1, 1]
    assert [node.name for node in network] == [node.name for node in arch.build(tensors)[0]]


def test_a_projection_called_shortcut_keeps_its_custom():
    _, config = arch.build(own(bottleneck_net(projection="shortcut"), ("^layer", "stage")))
    assert (config.value("family"), config.value("stride_on")) == ("handwritten", "1x1")
    _, config = arch.build(own(bottleneck_net(), ("downsample", "match")))
    assert config.value("stride_on") == "3x3"
    assert config["stride_on"].alternatives == ("stride_on='1x1'",)


def test_an_unusual_stem_is_asked_for():
    tensors = stages(basic_net(stem=5))
    with pytest.raises(ArchitectureError, match="Say stem_stride=1 or 2 and max_pool"):
        arch.build(tensors)
    _, config = arch.build(tensors, options={"stem_stride": 2, "max_pool": False})
    assert config.value("home") == "hand-written"


def test_a_missing_projection_is_told_with_the_modules_that_are_there():
    tensors = own(basic_net(), (r"^layer2\.0\.downsample\.", "layer2.0.match."), (r"match\.1\.weight", "match.1.scale"))
    with pytest.raises(
        ArchitectureError, match=r"downsample\.0\.weight is missing, though .*layer2\.0\.match are there"
    ):
        arch.build(tensors)


def test_tensors_of_no_convolution_are_not_lost():
    tensors = stages(basic_net()) | {"stage2.0.act.weight": np.ones(1, np.float32)}
    with pytest.raises(
        ArchitectureError, match=re.escape("none of the network's layers reads: layer2.0.act.weight (1,)")
    ):
        arch.build(tensors)


def test_names_beside_the_network_cannot_pass_for_its_own():
    tensors = stages(basic_net()) | {"layer9.0.conv1.weight": np.ones((4, 4), np.float32)}
    with pytest.raises(ArchitectureError, match=r"layer9"):
        arch.build(tensors)


NO_RESIDUAL_NETWORKS = {
    "no projection": STEM | block("s.0", 8, 8) | block("s.1", 8, 8),
    "nothing changes the width": STEM | block("s.0", 8, 8) | conv("s.0.skip", 8, 8, 1, 1) | block("s.1", 8, 8),
    "a decoder": STEM | block("s.0", 8, 16) | block("s.1", 16, 8),
    "a block that another one's output does not fit": STEM | block("s.0", 8, 16) | block("s.1", 24, 32),
    "a missing block": STEM | block("s.0", 8, 8) | block("s.2", 8, 16),
    "no first block": STEM | block("s1.1", 8, 8) | block("s2.0", 8, 16),
    "two first convolutions": conv("other", 8, 3, 3, 3) | STEM | block("s.0", 8, 16),
    "norms first": own(
        dict(sorted((STEM | block("s.0", 8, 16) | block("s.1", 16, 16)).items(), key=lambda item: "bn" not in item[0]))
    ),
    "depthwise": STEM
    | conv("s.0.a", 24, 8, 1, 1)
    | norm("s.0.na", 24)
    | conv("s.0.b", 24, 1, 3, 3)
    | norm("s.0.nb", 24)
    | conv("s.0.c", 16, 24, 1, 1)
    | norm("s.0.nc", 16)
    | conv("s.0.skip", 16, 8, 1, 1),
    "no room for an activation": own(
        STEM | block("s.0", 8, 16),
        (r"s\.0\.conv1", "s.0.m.0"),
        (r"s\.0\.bn1", "s.0.m.1"),
        (r"s\.0\.conv2", "s.0.m.2"),
        (r"s\.0\.bn2", "s.0.m.3"),
    ),
    "something before the first convolution": own(
        STEM | block("s.0", 8, 16), (r"^start\.", "e.1."), ("^start_norm", "e.2")
    ),
    "a norm that a pool separates": own(STEM | block("s.0", 8, 16), (r"^start\.", "e.0."), ("^start_norm", "e.2")),
    "a projection behind two modules": own(STEM | block("s.0", 8, 16), (r"\.skip", ".skip.2")),
    "a gate": own(STEM | block("s.0", 8, 16), (r"\.skip", ".gate")),
    "a norm after the sum": own(
        STEM | block("s.0", 8, 16) | norm("s.0.last", 16), (r"s\.0\.bn2\..*", "lost"), (r"s\.0\.last", "s.0.bn2")
    ),
    "a norm after the blocks": STEM | block("s.0", 8, 16) | norm("last", 16) | linear("answer", 3, 16),
    "a norm at the end": STEM | block("s.0", 8, 16) | linear("answer", 3, 16) | norm("last", 16),
    "bn2 before bn1": STEM | own(block("s.0", 8, 16), ("bn1", "n3"), ("bn2", "n1"), ("n3", "n2")),
    "RegNet": conv("start", 8, 3, 3, 3) | norm("start_norm", 8) | grouped("s.0", 16) | linear("answer", 3, 16),
    "a lost norm": own(STEM | block("s.0", 8, 16), (r"\.skip", ".downsample.0")),
}


@pytest.mark.parametrize("name", NO_RESIDUAL_NETWORKS)
def test_what_is_no_residual_network_is_refused(name):
    assert by_structure(Tensors(NO_RESIDUAL_NETWORKS[name])) is None
    with pytest.raises(ArchitectureError):
        arch.build(NO_RESIDUAL_NETWORKS[name])


MENDED = {
    "depthwise": lambda tensors: tensors | conv("s.0.b", 24, 4, 3, 3),
    "no room for an activation": lambda tensors: own(tensors, (r"m\.3", "m.4"), (r"m\.2", "m.3")),
    "something before the first convolution": lambda tensors: own(tensors, (r"e\.1", "e.0"), (r"e\.2", "e.1")),
    "a norm that a pool separates": lambda tensors: own(tensors, (r"e\.2", "e.1")),
    "a gate": lambda tensors: own(tensors, ("gate", "way")),
    "a norm after the sum": lambda tensors: STEM | block("s.0", 8, 16),
    "a norm after the blocks": lambda tensors: own(tensors, (r"^last\..*", "last.num_batches_tracked")),
    "a norm at the end": lambda tensors: (
        STEM | block("s.0", 8, 16) | linear("h", 4, 16) | norm("n", 4) | linear("a", 3, 4)
    ),
    "bn2 before bn1": lambda tensors: own(tensors, ("n2", "n0")),
    "RegNet": lambda tensors: STEM | grouped("s.0", 32),
    "a lost norm": lambda tensors: tensors | norm("s.0.downsample.1", 16),
    "a missing block": lambda tensors: own(tensors, (r"s\.2", "s.1")),
    "no first block": lambda tensors: own(tensors, (r"s1\.1", "s1.0")),
    "nothing changes the width": lambda tensors: tensors | block("s.2", 8, 16),
}


@pytest.mark.parametrize("name", MENDED)
def test_without_that_fault_it_is_read(name):
    _, config = arch.build(MENDED[name](NO_RESIDUAL_NETWORKS[name]))
    assert config.value("home") == "hand-written"


def test_a_block_of_very_many_convolutions_is_not_searched(monkeypatch):
    tried = []
    monkeypatch.setattr(block_roles, "_widths", lambda *given: tried.append(given))
    many = {name: array for i in range(300) for name, array in conv(f"s.0.c{i}", 8, 8, 1, 1).items()}
    assert by_structure(Tensors(STEM | many)) is None
    assert not tried


def test_the_same_network_without_those_faults_is_read():
    network, config = arch.build(STEM | block("s.0", 8, 8) | block("s.1", 8, 16))
    assert config.value("layers") == [1, 1]
    assert "layer2.0.downsample" in [node.name for node in network]


def _projected_everywhere(first, second):
    tensors = STEM | block(first, 8, 8) | own(block(second, 8, 16), ("skip", "shortcut.conv"))
    tensors |= conv(f"{first}.shortcut.conv", 8, 8, 1, 1) | norm(f"{first}.shortcut.bn", 8)
    return tensors | norm(f"{second}.shortcut.bn", 16)


@pytest.mark.parametrize("names", [("s1.b1", "s2.b1"), ("blocks.0", "blocks.1"), ("net.blocks.0", "net.blocks.1")])
def test_networks_of_like_shapes_that_stride_elsewhere_are_not_taken(names):
    with pytest.raises(ArchitectureError, match=r"RegNet|missing|unknown"):
        arch.build(_projected_everywhere(*names))
    others = [name.replace("b", "c") for name in names]
    assert arch.build(_projected_everywhere(*others))[1].value("layers") == [1, 1]


def test_options_that_do_not_fit_are_refused_as_such():
    """The caller's mistake must not send a known network this way."""
    with pytest.raises(ArchitectureError, match="norm_groups is about GroupNorm"):
        arch.build(basic_net(), options={"norm_groups": 4})


@pytest.mark.parametrize(
    ("pattern", "wrapped"),
    [
        (r"^layer2\.", "layer2._orig_mod."),
        (r"^layer(.)\.0\.", r"layer\1.0._checkpoint_wrapped_module."),
        (r"^(layer|fc)", r"_fsdp_wrapped_module.\1"),
    ],
)
def test_wrapped_modules(pattern, wrapped):
    network, config = arch.build(own(basic_net((1, 2, 1)), (pattern, wrapped)))
    assert (config.value("family"), config.value("layers")) == ("torchvision", [1, 2, 1])


def test_other_parametrisations_are_named():
    tensors = own(basic_net(), (r"^conv1\.weight", "conv1.parametrizations.weight.original"))
    with pytest.raises(ArchitectureError, match="remove_parametrizations"):
        arch.build(tensors)
