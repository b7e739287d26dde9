"""The numbers of `npresnet explain`: against loops, the specification, float64, and the engine itself."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ArchitectureError, ImageError, ShapeError
from npresnet.network import INPUT, Network, Node
from npresnet.ops.registry import OPERATIONS
from npresnet.passes import optimize
from npresnet.teach import by_hand, explain
from npresnet.teach.explain.chain import find_chain
from npresnet.teach.explain.pixel import Place, compute_ways, work_out
from npresnet.teach.pages.plain import plain
from npresnet.window import Window
from tests.support.cases import integers
from tests.support.layers import KINDS, PHOTO, input_of, model_of


def test_patch_is_what_the_equation_says(explained):
    model, facts = explained
    x = input_of(model, facts.input_name)
    _, _, height, width = x.shape
    for (c, u, v), value in np.ndenumerate(facts.patch):
        y = facts.row * facts.stride[0] + u * facts.dilation[0] - facts.padding[0]
        z = facts.col * facts.stride[1] + v * facts.dilation[1] - facts.padding[1]
        inside = 0 <= y < height and 0 <= z < width
        assert facts.inside[u, v] == inside
        assert value == (x[0, facts.channels[0] + c, y, z] if inside else 0)


def test_weight_is_the_folded_filter(explained):
    model, facts = explained
    raw = model.network[facts.layer].params["weight"][facts.channel]
    np.testing.assert_array_equal(facts.raw_weight, raw)
    gamma, var, eps = facts.norm.gamma, facts.norm.var, facts.norm.eps
    np.testing.assert_array_equal(facts.weight, (raw * (gamma / np.sqrt(var + eps))).astype(np.float32))
    assert facts.bias == np.float32((float(facts.raw_bias) - facts.norm.mean) * facts.norm.scale + facts.norm.beta)


def test_sums(explained):
    _, facts = explained
    exact = math.fsum(float(p) * float(w) for p, w in zip(facts.patch.flat, facts.weight.flat, strict=True))
    size = math.fsum(abs(float(p) * float(w)) for p, w in zip(facts.patch.flat, facts.weight.flat, strict=True))
    assert abs(facts.products_sum - exact) <= 1e-13 * size
    assert abs(facts.channel_sums.sum() - exact) <= 1e-13 * size
    assert facts.output == facts.products_sum + float(facts.bias)
    residual = 0.0 if facts.residual is None else float(facts.residual)
    total = facts.output + residual
    assert facts.step_output == (max(0.0, total) if facts.activation == "relu" else total)


def test_folding_changes_nothing_but_roundings(explained):
    _, facts = explained
    norm = facts.norm
    as_trained = (facts.raw_sum + float(facts.raw_bias) - norm.mean) / math.sqrt(
        norm.var + norm.eps
    ) * norm.gamma + norm.beta
    size = float(np.abs(facts.patch * facts.weight).sum()) + abs(norm.mean * norm.scale) + abs(norm.beta)
    assert abs(as_trained - facts.output) <= 2 * np.finfo(np.float32).eps * size


def test_every_way_is_near_the_right_number(explained):
    """Any order of a sum of K float32 products errs by at most K * eps * the sum of their sizes; Winograd by more."""
    _, facts = explained
    size = float(np.abs(facts.patch.astype(np.float64) * facts.weight).sum()) + abs(float(facts.bias))
    bound = (facts.patch.size + 4) * np.finfo(np.float32).eps * size
    assert [way.name for way in facts.ways] == ["loop", "im2col", "GEMM", "as trained", "fused step"]
    for way in facts.ways:
        assert abs(float(way.output) - facts.output) <= 2 * bound, way
    assert facts.ways[0].ulps is not None


def test_the_fused_step_is_the_engines(explained):
    """The last row is bit for bit what the model's own features say, residual and activation included."""
    model, facts = explained
    x = model.preprocess(PHOTO)
    last = facts.step[-1][0]
    engine = model.features(x, [last])[last][0, facts.channel, facts.row, facts.col]
    assert facts.ways[-1].step_output == engine
    summed = model.features(x, [facts.norm.name])[facts.norm.name][0, facts.channel, facts.row, facts.col]
    assert facts.ways[-1].output == summed


def test_residual_and_activation_are_the_networks(explained):
    model, facts = explained
    ops_of_step = [op for _, op in facts.step]
    assert (facts.residual is not None) == ("add" in ops_of_step)
    assert facts.activation == ("relu" if "relu" in ops_of_step else None)
    step = optimize(model.network)[facts.layer]
    assert (len(step.inputs) == 2, step.activation) == (facts.residual is not None, facts.activation)
    assert facts.labels == {op: OPERATIONS[op].label for op in ops_of_step}


def test_the_convolution_by_hand(explained):
    model, facts = explained
    if facts.groups > 1 or facts.dilation != (1, 1):
        pytest.skip("by_hand.conv has neither groups nor dilation")
    weight = model.network[facts.layer].params["weight"]
    y = by_hand.conv(input_of(model, facts.input_name).astype(np.float64), weight, facts.stride[0], facts.padding[0])
    assert facts.raw_sum == pytest.approx(y[0, facts.channel, facts.row, facts.col], rel=1e-12, abs=1e-12)


def test_the_strongest_response_by_default(explained):
    model, facts = explained
    last = facts.step[-1][0]
    result = model.features(model.preprocess(PHOTO), [last])[last][0]
    assert result[facts.channel, facts.row, facts.col] == result.max()


def test_the_json_holds_what_it_should(explained):
    _, facts = explained
    data = plain(facts)
    promised = "image layer channel row col kernel_size stride padding patch weight products_sum bias output"
    assert set(promised.split()) <= set(data)
    total = sum(p * w for p, w in zip(np.ravel(data["patch"]), np.ravel(data["weight"]), strict=True))
    assert total == pytest.approx(data["products_sum"], abs=1e-4)
    assert data["products_sum"] + data["bias"] == pytest.approx(data["output"], abs=1e-6)


def test_pages_are_small(explained):
    assert len(explain.render(explained[1])) < 2e6


def test_a_place_of_ones_own():
    model = model_of(KINDS["3x3"])
    facts = explain.gather(model, PHOTO, "layer1.0.conv1", at=(0, 15), channel=3)
    assert (facts.channel, facts.row, facts.col) == (3, 0, 15)
    np.testing.assert_array_equal(facts.inside, [[False] * 3, [True, True, False], [True, True, False]])
    only_channel = explain.gather(model, PHOTO, "layer1.0.conv1", channel=3)
    result = model.features(model.preprocess(PHOTO), ["layer1.0.relu.1"])["layer1.0.relu.1"][0]
    assert result[3, only_channel.row, only_channel.col] == result[3].max()
    only_place = explain.gather(model, PHOTO, "layer1.0.conv1", at=(2, 2))
    assert result[only_place.channel, 2, 2] == result[:, 2, 2].max()


def test_defaults_take_the_first_convolution():
    assert explain.gather(model_of(KINDS["3x3"]), PHOTO).layer == "conv1"


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"layer": "layer1.0.conv9"}, ArchitectureError, r"no layer called 'layer1.0.conv9'.*layer1\.0\.conv[12]"),
        ({"layer": "layer1.0.bn1"}, ArchitectureError, "is a batch_norm, not a convolution"),
        ({"layer": "layer1"}, ArchitectureError, "no layer called 'layer1'"),
        ({"at": (0, 32)}, ShapeError, "0,0 to 31,31; 0,32 lies outside"),
        ({"at": (-1, 0)}, ShapeError, "lies outside"),
        ({"channel": 64}, ShapeError, "channels 0 to 63"),
        ({"channel": -1}, ShapeError, "no channel -1"),
    ],
)
def test_errors(how, error, message):
    with pytest.raises(error, match=message):
        explain.gather(model_of(KINDS["3x3"]), PHOTO, **how)


def test_a_missing_image():
    with pytest.raises(ImageError):
        explain.gather(model_of(KINDS["3x3"]), "missing.jpg")


# --- whole numbers: every way is exact -------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [(1, 1, 0, 1), (3, 1, 1, 1), (3, 2, 2, 2), ((1, 3), 1, 1, 1)]
)
def test_whole_numbers_are_exact_by_every_way(groups, kernel, stride, padding, dilation):
    rng = np.random.default_rng(5)
    window = Window.of(kernel, stride, padding, dilation)
    weight = integers(rng, (4, 6 // groups, *window.kernel_size))
    conv = Node("conv", "conv2d", (INPUT,), window, groups, params={"weight": weight, "bias": integers(rng, (4,))})
    network = Network((conv,), {"out": "conv"})
    x = integers(rng, (1, 6, 7, 9))
    expected = ops.run(network, x)["out"]
    chain = find_chain(network, conv)
    for channel, row, col in product(range(4), (0, 1), (0, 2)):
        place = Place(channel, row, col)
        pixel = work_out(chain, place, x, None)
        number = expected[0, channel, row, col]
        ways = compute_ways(chain, place, pixel, x, ("ops", number, number))
        assert [way.ulps for way in ways] == [0] * 4
        assert pixel.output == expected[0, channel, row, col]


def test_a_swapped_filter_is_noticed():
    """A planted fault: with kh and kw swapped the ways disagree."""
    rng = np.random.default_rng(5)
    x, weight = integers(rng, (1, 2, 6, 6)), integers(rng, (3, 2, 3, 3))
    window = Window.of(3)
    place = Place(1, 2, 2)

    def chain_of(filters):
        conv = Node("conv", "conv2d", (INPUT,), window, params={"weight": filters})
        return find_chain(Network((conv,), {"out": "conv"}), conv)

    right = work_out(chain_of(weight), place, x, None)
    wrong, number = chain_of(weight.swapaxes(2, 3).copy()), np.float32(right.output)
    ways = compute_ways(wrong, place, right, x, ("ops", number, number))
    assert ways[2].ulps > 0
