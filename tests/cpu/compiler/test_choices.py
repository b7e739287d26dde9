"""Which algorithm a layer uses on which processor; and that every possible one is right."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch, passes
from npresnet.cpu.compiler import conv2d
from npresnet.cpu.compiler.choices import candidates, choose, is_early
from npresnet.cpu.kernels import gemm
from npresnet.cpu.kernels.filters import Filters
from npresnet.cpu.kernels.gemm import has_small_products
from npresnet.cpu.kernels.layer import Choice, Layer
from npresnet.network import INPUT, Network, Node
from npresnet.plan import infer_shapes
from tests.support import torch_run
from tests.support.cases import integers
from tests.support.checks import assert_same
from tests.support.forcing import forced
from tests.support.one_node import execute_on_cpu

AVX512, AVX2, UNKNOWN = "SkylakeX", "Haswell", ""
CORE_TYPES = (AVX512, AVX2, "Zen", "Cooperlake", UNKNOWN)
NETWORKS = ("resnet18", "resnet50", "resnext50_32x4d", "cifar_resnet20")


def convolutions(name: str, size: int) -> dict[Layer, Node]:
    """Every kind of convolution that a network has, with one node of the kind and its input's shape."""
    network = passes.optimize(arch.build(arch.random_tensors(name))[0])
    shapes = infer_shapes(network, (3, size, size))
    found = {}
    for node in network:
        if node.op == "conv2d":
            found.setdefault(conv2d.layer_of(node, Filters(node), shapes[node.name]), (node, shapes[node.inputs[0]]))
    return found


@pytest.fixture(scope="module")
def layers() -> list[Layer]:
    return [layer for name in NETWORKS for layer in convolutions(name, 32 if "cifar" in name else 224)]


def layer(kernel_size=3, channels=(64, 64), size=56, *, stride=1, dilation=1, blocks=1) -> Layer:
    return Layer((kernel_size, kernel_size), (stride, stride), (dilation, dilation), blocks, *channels, (size, size))


def test_an_unknown_blas_gets_plain_products_alone(layers):
    assert {choose(one, UNKNOWN, {}) for one in layers} == {Choice("direct", 0, "gemm")}


@pytest.mark.parametrize("core_type", CORE_TYPES)
def test_without_winograd_there_is_none(core_type, layers):
    tempting = {str(one): Choice("winograd", 4, "gemm") for one in layers}
    for table in ({}, tempting):
        assert {choose(one, core_type, table, winograd=False).algorithm for one in layers} == {"direct"}


@pytest.mark.parametrize("core_type", CORE_TYPES[:-1])
def test_winograd_for_3x3_alone_and_small_products_for_core_types_that_have_them(core_type, layers):
    chosen = {one: choose(one, core_type, {}) for one in layers}
    for one, choice in chosen.items():
        assert choice in candidates(one)
        assert choice.algorithm == "direct" or one.allows_winograd
        assert choice.form == "gemm" or has_small_products(core_type)
    assert {"direct", "winograd"} == {choice.algorithm for choice in chosen.values()}
    assert has_small_products(core_type) == any(choice.form != "gemm" for choice in chosen.values())
    assert has_small_products(core_type) == (core_type in ("SkylakeX", "Cooperlake"))


def test_what_allows_winograd():
    assert layer().allows_winograd
    assert layer(stride=2).allows_winograd
    for other in (layer(1), layer(5), layer(stride=3), layer(dilation=2), layer(stride=2, dilation=2)):
        assert not other.allows_winograd
        assert {choice.algorithm for choice in candidates(other)} == {"direct"}
    assert not Layer((3, 1), (1, 1), (1, 1), 1, 64, 64, (9, 9)).allows_winograd
    assert not Layer((3, 3), (1, 2), (1, 1), 1, 64, 64, (9, 9)).allows_winograd


@pytest.mark.parametrize("core_type", CORE_TYPES[:-1])
def test_large_outputs_of_many_channels_take_the_larger_tile(core_type):
    assert choose(layer(size=56), core_type, {}).tile == 4
    assert choose(layer(channels=(32, 32), blocks=4, size=56), core_type, {}).tile == 4
    assert choose(layer(channels=(512, 512), size=7), core_type, {}).tile == 2
    for channels in (16, 32):  # its error would be too large
        assert choose(layer(channels=(channels, channels), size=32), core_type, {}).tile == 2
        small = layer(channels=(channels, channels), size=32)
        assert choose(small, core_type, {}, 4, exact=False).tile == 2


def test_the_first_layers_of_a_network_take_the_larger_tile_with_more_channels():
    """Their sums are short, so that the error of F(4x4) would be more than twice PyTorch's."""
    assert [is_early((size, size), (224, 224)) for size in (112, 57, 56, 28)] == [True, True, False, False]
    assert is_early((56, 32), (224, 64))
    for channels, early, tile in ((64, True, 2), (64, False, 4), (128, True, 4)):
        assert choose(layer(channels=(channels, channels), size=56), AVX512, {}, early=early).tile == tile
        assert max(choice.tile for choice in candidates(layer(channels=(channels, channels)), early=early)) == tile
    table = {str(layer(size=56)): Choice("winograd", 4, "gemm")}
    assert choose(layer(size=56), AVX512, table, early=True).tile == 2


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize("core_type", CORE_TYPES)
def test_stride_2_by_small_products_alone(core_type, blocks):
    """And only where enough rows of one or several images share the weights, and there are many channels."""

    def tile(size: int, channels: int = 128, images: int = 1) -> int:
        width = channels // blocks
        strided = layer(channels=(width, width), size=size, stride=2, blocks=blocks)
        choice = choose(strided, core_type, {}, images, exact=False)
        assert choice.algorithm == "direct" or choice.form == "panels"
        return choice.tile

    expected = (4, 2, 0) if has_small_products(core_type) else (0, 0, 0)
    assert (tile(28), tile(14), tile(7)) == expected
    assert (tile(28, images=4), tile(7, images=4)) == expected[:1] * 2
    assert tile(28, channels=4 * 8) == 0


def test_the_form_by_shape():
    assert choose(layer(1, (2048, 512), 7), AVX512, {}).form == "split_k"
    assert choose(layer(1, (2048, 512), 56), AVX512, {}).form == "gemm", "many rows amortise packing the weights"
    assert choose(layer(1, (1024, 256), 14), AVX512, {}).form == "panels"
    assert choose(layer(1, (64, 64), 56), AVX512, {}).form == "panels"
    assert choose(layer(1, (64, 65), 56), AVX512, {}).form == "gemm", "no panels of 65 columns"
    assert choose(layer(1, (64, 64), 56), AVX2, {}).form == "gemm"


@pytest.mark.parametrize("core_type", CORE_TYPES)
def test_several_images_take_what_one_takes(core_type, layers):
    """Or their bits would depend on the batch."""
    for one in layers:
        wanted = choose(one, core_type, {})
        assert {choose(one, core_type, {}, images) for images in (1, 2, 4)} == {wanted}
        table = {str(one): candidates(one)[-1]}
        assert {choose(one, core_type, table, images) for images in (1, 2, 4)} == {candidates(one)[-1]}


def test_without_the_promise_several_images_take_what_is_fastest():
    deep = layer(channels=(256, 256), size=14)
    assert choose(deep, AVX512, {}, 1, exact=False).tile == 2
    assert choose(deep, AVX512, {}, 4, exact=False).tile == 4
    assert choose(deep, AVX512, {}, 4, exact=False, winograd=False).algorithm == "direct"
    assert choose(layer(1, (2048, 512), 7), AVX512, {}, 4, exact=False).form == "gemm"


@pytest.mark.parametrize("core_type", CORE_TYPES)
def test_a_table_comes_first_where_the_layer_can_take_its_choice(core_type, layers):
    for one in layers:
        for wanted in candidates(one):
            assert choose(one, core_type, {str(one): wanted}) == wanted
            assert choose(one, core_type, {"another layer": wanted}) == choose(one, core_type, {})


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (layer(1), Choice("winograd", 2, "gemm")),
        (layer(stride=3), Choice("winograd", 4, "panels")),
        (layer(channels=(32, 32), stride=2), Choice("winograd", 2, "panels")),
        (layer(), Choice("winograd", 6, "gemm")),
        (layer(), Choice("winograd", 2, "split_k")),
        (layer(channels=(64, 65)), Choice("direct", 0, "panels")),
        (layer(channels=(512, 512)), Choice("direct", 0, "panels")),
        (layer(1, (448, 64)), Choice("direct", 0, "split_k")),
        (layer(), Choice("fourier", 0, "gemm")),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_a_table_s_entry_that_the_layer_cannot_take_is_ignored(one, wanted):
    for core_type in CORE_TYPES:
        assert choose(one, core_type, {str(one): wanted}) == choose(one, core_type, {})


def test_layers_have_names_of_their_own(layers):
    names = {str(one) for one in layers}
    assert len(names) == len(set(layers))
    assert {"7x7/2 3->64, 112x112", "3x3 64->64, 56x56", "3x3 32->32 in 4 blocks, 56x56"} <= names


@pytest.mark.parametrize("name", NETWORKS)
def test_every_choice_of_every_layer_is_right(name):
    """Integers, and weights of the layer's own shape; an error of a half would be detected."""
    for number, (one, (node, shape)) in enumerate(convolutions(name, 32).items()):
        rng = np.random.default_rng(number)
        params = {
            "weight": integers(rng, node.params["weight"].shape, most=1),
            "bias": integers(rng, node.params["weight"].shape[:1]),
        }
        alone = Network((node.evolve(name="y", inputs=(INPUT,), params=params),), {"y": "y"})
        x = integers(rng, (1, *shape), most=2)
        expected = torch_run.run(alone, x)["y"]
        for choice in candidates(one):
            with forced(choice) as taken:
                got = execute_on_cpu(alone, x)["y"]
            assert set(taken) == {choice}
            assert_same(np.rint(got), expected, (str(one), str(choice)))


def test_each_form_is_a_candidate_somewhere(layers):
    found = {(choice.algorithm, choice.form) for one in layers for choice in candidates(one)}
    assert found == {("direct", form) for form in gemm.FORMS} | {("winograd", "gemm"), ("winograd", "panels")}


@pytest.mark.parametrize("core_type", CORE_TYPES[:-1])
@pytest.mark.parametrize(
    ("channels", "size", "tile"),
    [
        *((64, 8, 2), (64, 16, 2), (128, 8, 2), (128, 16, 2), (128, 17, 4), (256, 7, 4), (512, 7, 4), (256, 8, 4)),
        *((512, 6, 2), (512, 4, 2), (512, 3, 2), (512, 2, 2), (512, 1, 0)),
    ],
)
def test_several_images_take_the_larger_tile_where_their_digits_allow_it(core_type, channels, size, tile):
    """Neither few channels nor very few pixels do; and a tile of which most is dropped saves nothing."""
    assert choose(layer(channels=(channels, channels), size=size), core_type, {}, 4, exact=False).tile == tile


@pytest.mark.parametrize(("blocks", "tile"), [(4, 2), (8, 4)])
def test_channels_of_all_groups_count(blocks, tile):
    assert choose(layer(channels=(32, 32), size=7, blocks=blocks), AVX512, {}, 4, exact=False).tile == tile


@pytest.mark.parametrize(("size", "tile"), [(7, 4), (4, 4), (3, 0), (2, 2), (1, 0)])
def test_several_images_take_the_tile_that_saves_multiplications_with_stride_2(size, tile):
    strided = layer(channels=(128, 128), size=size, stride=2)
    assert choose(strided, AVX512, {}, 4, exact=False).tile == tile


@pytest.mark.parametrize("core_type", CORE_TYPES)
@pytest.mark.parametrize(("name", "size"), [("cifar_resnet20", 32), ("resnet18", 64), ("resnet50", 64)])
def test_small_images_have_no_larger_tiles_together_than_alone(name, size, core_type):
    for one in convolutions(name, size):
        if not one.is_strided:
            assert choose(one, core_type, {}, 4, exact=False).tile <= choose(one, core_type, {}).tile
