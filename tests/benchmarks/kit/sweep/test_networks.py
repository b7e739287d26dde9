"""The sweep's networks: drawn alike in every run, and neither chaotic nor blind to mistakes however deep they are."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from benchmarks.kit.sweep import home_shapes, homes, networks, verdicts
from benchmarks.kit.sweep.names import Name
from tests.support.torchvision_import import import_timm

torch = pytest.importorskip("torch", reason="torch is not installed")
DEPTHS = (3, 24, 36, 3)
NAME = Name("timm", "resnet", "a deep one")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setenv("NPRESNET_PREPARED", "0")
    monkeypatch.setattr(networks, "EVEN", (2, 32, 32))
    monkeypatch.setattr(networks, "ODD", (1, 45, 40))


def deep(seed=0):
    """As many blocks as a ResNet-200, with gates, and narrow: in timm's own initialisation."""
    import_timm()
    from timm.models.resnet import Bottleneck, ResNet

    torch.manual_seed(seed)
    widths = {"channels": (16, 32, 64, 128), "stem_width": 8, "num_classes": 5}
    gates = {"block_args": {"attn_layer": "se"}}
    return ResNet(Bottleneck, list(DEPTHS), stem_type="deep", avg_down=True, **widths, **gates).eval()


@pytest.mark.parametrize("found", [Name("timm", "resnet", "test_resnet"), Name("torchvision", "resnet", "resnet18")])
def test_two_runs_draw_the_same_network(found):
    drawn = []
    for others in (0, 3):  # numbers drawn before
        torch.rand(others)
        module = networks.create(found)
        networks.randomise(module)
        drawn.append(module.state_dict())
    assert all(torch.equal(tensor, drawn[1][name]) for name, tensor in drawn[0].items())
    one, another = (list(networks.create(found, seed).parameters()) for seed in (0, 1))
    assert not all(map(torch.equal, one, another))


def test_two_runs_draw_the_same_home(monkeypatch):
    drawn = []
    monkeypatch.setattr(homes, "_judged", lambda case: drawn.append(case.exact) or {})
    for others in (0, 3):
        torch.rand(others)
        homes.judge_home("chenyaofo", home_shapes.made(home_shapes.cifar(blocks=(1, 1, 1)), sizes=(1, 17, 16)))
    assert np.array_equal(*drawn)


def test_a_full_draw_of_a_deep_network_is_told_as_ill_conditioned(monkeypatch):
    monkeypatch.setattr(verdicts, "create", lambda found: deep(seed=2))  # far beyond the bound, however it is rounded
    tamed = verdicts.judge(NAME)
    assert (tamed["verdict"], tamed["sensitivity"] < 1e3) == ("runs", True)
    monkeypatch.setattr(networks, "BRANCHES", 10**6)
    full = verdicts.judge(NAME)
    assert (full["verdict"], full["sensitivity"] > verdicts.MOST_SENSITIVE) == ("ill-conditioned", True)
    assert "times as much as an image" in full["message"]


@pytest.fixture(scope="module")
def drawn():
    """The deep network, an image, and its logits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "EVEN", (2, 32, 32))
        module = deep()
        networks.randomise(module)
    module.double()
    x = networks.random_images((1, 45, 40), False, 4).astype(np.float64)
    return module, x, networks.run(module, x)


@contextmanager
def replaced(part, name, value):
    old = getattr(part, name)
    setattr(part, name, value)
    yield
    setattr(part, name, old)


def eps(module):
    return replaced(module.layer3[20].bn3, "eps", 1e-3)


def gate_without_bias(module):
    return replaced(module.layer3[33].se.fc2, "bias", None)


def round_up(module):
    return replaced(module.maxpool, "ceil_mode", True)


@contextmanager
def without_shortcut(module):
    block, seen = module.layer3[30], []
    hooks = [
        block.register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0].clone())),
        block.act3.register_forward_pre_hook(lambda part, inputs: (inputs[0] - seen.pop(),)),
    ]
    yield
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("plant", [eps, gate_without_bias, round_up, without_shortcut])
def test_one_mistake_in_a_deep_network_shows(plant, drawn):
    module, x, exact = drawn
    with plant(module):
        error = verdicts.difference(networks.run(module, x), exact)
    assert error > 20 * verdicts.EXACT
    assert verdicts.difference(networks.run(module, x), exact) == 0
