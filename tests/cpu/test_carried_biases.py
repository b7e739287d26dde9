"""Carried biases on the CPU backend: floors, offsets taken into biases, means shifted; and callers see true values."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from npresnet import arch, cpu, ops, passes
from npresnet.cpu import prepared
from npresnet.cpu.filters import BIAS, Filters
from npresnet.cpu.prepared import Store, Wanted
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support.bottlenecks import IMAGE, bottlenecks
from tests.support.network_checks import check_network_exact
from tests.support.reference import torchvision_model

KINDS = {
    "plain": {},
    "groups": {"groups": 4},
    "stride on the 1x1": {"stride_first": True},
    "biases of their own": {"norms": False},
    "without ReLU": {"relu": False},
}


def asking_for_all(network: Network) -> Network:
    fused = passes.optimize(network)
    return Network(fused.nodes, {node.name: node.name for node in fused})


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers(kind, threads):
    network = bottlenecks(**KINDS[kind])
    check_network_exact(passes.optimize(network), IMAGE, threads=threads)
    check_network_exact(asking_for_all(network), IMAGE, threads=threads)


@pytest.fixture(scope="module")
def resnet50():
    """With BatchNorms like trained ones: without their biases nothing would be carried."""
    return arch.build(torchvision_model("resnet50", seed=1)[1])[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_features_are_true_and_change_no_bit_of_what_else_is_asked(resnet50, threads):
    """A value's bits are the same asked for alone, or with others that read it."""
    names = ["layer1.0", "layer1.0.downsample", "layer2", "layer3.4", "layer4", "avgpool", "fc"]
    x = np.random.default_rng(0).standard_normal((5, 3, 64, 64), np.float32)
    with closing(cpu.compile(passes.optimize(resnet50.with_outputs(names)), threads=threads)) as executable:
        together = executable(x)
    exact = ops.run(resnet50.with_outputs(names), x.astype(np.float64))
    for name in names:
        if name != "layer1.0.downsample":  # alone, its bias is added where the product is, and not behind it
            with closing(cpu.compile(passes.optimize(resnet50.with_outputs([name])), threads=threads)) as executable:
                assert np.array_equal(together[name], executable(x)[name]), name
        np.testing.assert_allclose(together[name], exact[name], rtol=0, atol=3e-6 * np.abs(exact[name]).max())
    assert (together["layer4"] == 0).any()
    assert (together["layer4"] >= 0).all()  # s + c is 0 where it was clamped, to the last bit


def test_a_network_keeps_its_nodes_and_runs_others(resnet50):
    """What is shown of an executable is the network with its biases; its plans have the same steps."""
    network = passes.optimize(resnet50)
    with closing(cpu.compile(network, threads=1)) as executable:
        assert not any({"floor", "offset", "shift"} & node.params.keys() for node in executable.network)
        steps = executable.plan((3, 64, 64)).steps
        assert [step.name for step in steps] == [node.name for node in executable.network]
        calls = {step.name: [kernel.__name__ for kernel, _ in step.tiles[0]] for step in steps}
    assert "add" not in calls["layer1.0.downsample.0"]
    assert "maximum" not in calls["layer1.0.downsample.0"]
    for name in ("layer1.0.conv3", "layer2.3.conv3"):
        assert [name for name in calls[name] if name != "matmul"][-2:] == ["add", "maximum"]
        assert calls[name].count("add") == 1  # the residual


def test_nan_stays_with_its_image(resnet50):
    x = np.random.default_rng(1).standard_normal((3, 3, 64, 64), np.float32)
    with closing(cpu.compile(passes.optimize(resnet50), threads=2)) as executable:
        clean = executable(x)["logits"]
        x[1, 0, 5, 7] = np.nan
        logits = executable(x)["logits"]
    assert np.isnan(logits[1]).all()
    assert np.array_equal(logits[[0, 2]], clean[[0, 2]])


def reader(groups: int = 1, *, seed: int = 0, dtype: type = np.float32, **changed: np.ndarray) -> Node:
    """A convolution 96 -> 120 whose input has an offset."""
    rng = np.random.default_rng(seed)
    params = {
        "weight": rng.standard_normal((120, 96 // groups, 1, 1)).astype(dtype),
        "scale": rng.uniform(0.5, 2, 120),
        "bias": rng.standard_normal(120),
        "offset": rng.standard_normal(96),
        **changed,
    }
    return Node("conv", "conv2d", (INPUT,), Window.of(1), groups, params=params)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("groups", [1, 2, 24])
@pytest.mark.parametrize("left_out", ["", "scale", "bias"])
def test_the_bias_is_rounded_once(groups, dtype, left_out):
    node = reader(groups, dtype=dtype)
    node = node.evolve(params={role: array for role, array in node.params.items() if role != left_out})
    offset, weight = node.params["offset"], ops.folded_weight(node).astype(np.float64)
    exact = [sum(weight[o, c, 0, 0] * offset[o // (120 // groups) * (96 // groups) + c] for c in range(96 // groups))
             for o in range(120)] + np.asarray(node.params.get("bias", 0.0))  # fmt: skip
    np.testing.assert_allclose(Filters(node).bias, exact, rtol=2.0**-24 * 1.001, atol=1e-12)


def test_the_bias_is_kept_with_the_prepared_weights(tmp_path):
    filters = Filters(reader())
    Store(tmp_path, "weights").keep([Wanted("conv", filters, BIAS)])
    again = Filters(reader())
    assert Store(tmp_path, "weights").fill([Wanted("conv", again, BIAS)])
    assert not again.bias.flags.writeable  # mapped
    assert np.array_equal(again.bias, filters.bias)
    for role in ("offset", "bias"):
        other = reader(**{role: reader().params[role] + 1})
        assert not Store(tmp_path, "weights").fill([Wanted("conv", Filters(other), BIAS)]), role


def test_all_that_a_network_needs_is_prepared(resnet50, tmp_path):
    """The second time no bias is worked out, and the bits are the same."""
    network = passes.optimize(resnet50)
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64), np.float32)
    found = []
    for _ in range(2):
        with closing(cpu.compile(network, threads=1, store=Store(tmp_path, "weights"))) as executable:
            found.append(executable(x)["logits"])
            offsets = [f for f in executable._prepared.values() if isinstance(f, Filters) and f.offset is not None]
            kept = [not f.bias.flags.writeable for f in offsets]
    assert len(kept) == 15 + 3
    assert all(kept)
    assert np.array_equal(*found)
    assert prepared.size_bytes_of(tmp_path) > 0


def no_offset(filters: Filters) -> np.ndarray:
    return np.asarray(filters.own_bias, np.float32)


def other_channels(working):
    def faulty(filters: Filters) -> np.ndarray:
        filters.offset = np.roll(filters.offset, 1)
        return working(filters)

    return faulty


@pytest.mark.parametrize("fault", ["offset forgotten", "offset of other channels", "clamped at 0", "shift forgotten"])
def test_faults_are_seen(monkeypatch, fault):
    if fault == "offset forgotten":
        monkeypatch.setattr(Filters, "_bias_with_offset", no_offset)
    elif fault == "offset of other channels":
        monkeypatch.setattr(Filters, "_bias_with_offset", other_channels(Filters._bias_with_offset))
    elif fault == "clamped at 0":
        monkeypatch.setattr(Filters, "floor", property(lambda self: None, lambda self, floor: None), raising=False)
    else:
        monkeypatch.setattr(
            "npresnet.cpu.head.kernels.add", lambda a, b, out: None if a.ndim == 1 else np.add(a, b, out)
        )
    with pytest.raises(AssertionError):
        check_network_exact(passes.optimize(bottlenecks(norms=False)), IMAGE)
