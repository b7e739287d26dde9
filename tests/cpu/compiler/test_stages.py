"""Where a network is cut in two, and that the cut does not change results."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from npresnet import arch, cpu, ops, passes
from npresnet.cpu.compiler.stages import CUT, CUT_PIXELS, cut_in_two
from npresnet.cpu.kernels.filters import Key
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network, Node
from npresnet.plan import infer_shapes
from npresnet.window import Window
from tests.support.cases import integers
from tests.support.checks import assert_same
from tests.support.forcing import direct

POSITIONS = {  # of the ten on 224x224 images: a block's end, where values have 14x14 pixels
    "resnet18": "layer3.0.conv2",
    "resnet34": "layer3.0.conv2",
    "resnet50": "layer3.0.conv3",
    "resnet101": "layer3.0.conv3",
    "resnet152": "layer3.0.conv3",
    "resnext50_32x4d": "layer3.0.conv3",
    "resnext101_32x8d": "layer3.0.conv3",
    "resnext101_64x4d": "layer3.0.conv3",
    "wide_resnet50_2": "layer3.0.conv3",
    "wide_resnet101_2": "layer3.0.conv3",
}


def network_of(name: str, *modules: str) -> Network:
    network, _ = arch.build(arch.random_tensors(name))
    return passes.optimize(network.with_outputs(modules) if modules else network)


def cut(network: Network, image: tuple[int, int, int]):
    return cut_in_two(network, infer_shapes(network, image))


@pytest.mark.parametrize("name", POSITIONS)
def test_the_ten_are_cut_at_the_first_block_of_small_images(name):
    network = network_of(name)
    stages = cut(network, (3, 224, 224))
    assert stages.front.outputs == {CUT: POSITIONS[name]}
    assert stages.front.nodes[-1].name == POSITIONS[name]
    assert dict(stages.back.outputs) == dict(network.outputs)
    assert stages.front.nodes == network.nodes[: len(stages.front.nodes)]
    assert [node.name for node in stages.back] == [node.name for node in network.nodes[len(stages.front.nodes) :]]


@pytest.mark.parametrize(
    ("name", "size", "position"),
    [
        ("cifar_resnet20", 32, "layer2.0.conv2"),
        ("cifar_resnet56", 32, "layer2.0.conv2"),
        ("cifar_resnet20", 64, "layer3.0.conv2"),
        ("resnet18", 32, "conv1"),
        ("resnet50", 100, "layer2.0.conv3"),
    ],
)
def test_other_nets_and_sizes(name, size, position):
    assert cut(network_of(name), (3, size, size)).front.outputs[CUT] == position


def test_no_cut_where_all_images_are_large_or_no_convolution_follows():
    assert cut(network_of("cifar_resnet20"), (3, 224, 224)) is None  # 56x56 in the last blocks
    assert cut(network_of("resnet18", "conv1"), (3, 224, 224)) is None
    assert cut(Network((Node("mean", "global_avg_pool", (INPUT,)),), {"y": "mean"}), (2, 4, 4)) is None


def conv(name: str, *inputs: str, channels: tuple[int, int] = (4, 4), stride: int = 1, seed: int = 0) -> Node:
    weight = integers(np.random.default_rng(seed), (channels[1], channels[0], 3, 3), most=1)
    return Node(name, "conv2d", inputs, Window.of(3, stride, 1), params={"weight": weight}, activation="relu")


def asked_on_both_sides() -> Network:
    nodes = (
        conv("a", INPUT, channels=(2, 4), stride=2),
        conv("b", "a", stride=2, seed=1),
        conv("c", "b", seed=2),
        Node("sum", "add", ("c", "b"), activation="relu"),
        conv("d", "sum", seed=3),
        Node("mean", "global_avg_pool", ("d",)),
    )
    return Network(nodes, {name: name for name in ("a", "b", "c", "sum", "d", "mean")})


def alive_across() -> Network:
    """`a` is read again after every convolution that could be the cut."""
    nodes = (
        conv("a", INPUT, channels=(2, 4), stride=2),
        conv("b", "a", seed=1),
        conv("c", "b", seed=2),
        conv("d", "c", "a", seed=3),
        conv("e", "d", seed=4),
        Node("late", "add", ("e", "a")),
    )
    return Network(nodes, {"y": "late", "d": "d"})


def input_read_late() -> Network:
    nodes = (
        conv("a", INPUT, channels=(4, 4), seed=1),
        conv("b", "a", seed=2),
        Node("again", "add", ("b", INPUT)),
        conv("c", "again", seed=3),
        conv("d", "c", seed=4),
    )
    return Network(nodes, {"y": "d", "image": INPUT, "a": "a"})


def test_outputs_go_to_the_side_that_makes_them():
    stages = cut(asked_on_both_sides(), (2, 40, 36))
    assert stages.front.outputs == {"a": "a", "b": "b", CUT: "b"}
    assert set(stages.back.outputs) == {"c", "sum", "d", "mean"}
    assert all("b" not in node.inputs for node in stages.back)


def test_nothing_but_the_cut_is_read_behind_it():
    assert cut(alive_across(), (2, 20, 20)).front.outputs[CUT] == "a"  # at `a` itself nothing else is read later
    tall = alive_across()
    assert cut(tall, (2, 40, 40)) is None  # 20x20 pixels: at `a` too many, and after it `a` is still read
    stages = cut(input_read_late(), (4, 14, 14))
    assert stages.front.outputs == {"image": INPUT, "a": "a", CUT: "again"}


NETWORKS = {
    "asked on both sides": (asked_on_both_sides, (2, 40, 36)),
    "alive across": (alive_across, (2, 20, 20)),
    "input read late": (input_read_late, (4, 14, 14)),
}


def check_stages(name: str, threads: int) -> None:
    """Integers, groups of every size: equal to the specification, for outputs on both sides of the cut."""
    make, image = NETWORKS[name]
    network = make()
    executable = cpu.compile(network, threads=threads, winograd=False)
    for count in (1, 2, 3, 4, 5, 7, 9):
        x = integers(np.random.default_rng(count), (count, *image), most=1)
        for asked, expected in ops.run(network, x).items():
            assert_same(executable(x)[asked], expected, (name, asked, count))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_with_a_cut_are_exact(name, threads):
    check_stages(name, threads)


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d", "cifar_resnet20"])
def test_the_same_bits_with_and_without_the_cut(monkeypatch, name):
    network = network_of(name)
    size = 32 if name.startswith("cifar") else 100
    x = np.random.default_rng(0).standard_normal((7, 3, size, size), np.float32)
    with_cut = cpu.compile(network, threads=1)
    assert len(with_cut.plans(x.shape[1:], images=4)) == 2
    expected = with_cut(x)["logits"]
    monkeypatch.setattr("npresnet.cpu.compiler.programs.cut_in_two", lambda network, shapes: None)
    without = cpu.compile(network, threads=1)
    assert len(without.plans(x.shape[1:], images=4)) == 1
    assert np.array_equal(without(x)["logits"], expected)


@pytest.mark.parametrize("asked", [("layer1", "avgpool"), ("layer3.0", "layer4.1.conv1", "fc"), ("relu",)])
def test_features_on_both_sides(asked):
    network = network_of("resnet18", *asked)
    x = np.random.default_rng(1).standard_normal((5, 3, 64, 64), np.float32)
    together, alone = cpu.compile(network, threads=2)(x), cpu.compile(network, threads=1)
    for name in asked:
        rows = [alone(x[i : i + 1])[name] for i in range(len(x))]
        assert np.array_equal(together[name], np.concatenate(rows))


@pytest.mark.parametrize("fault", ["cut too early", "cut of another image", "outputs of the front forgotten"])
def test_a_cut_that_goes_wrong(monkeypatch, fault):
    if fault == "cut too early":  # where another value is still read after it
        monkeypatch.setattr("npresnet.cpu.compiler.stages._cut_position", lambda network, shapes: 1)
    elif fault == "cut of another image":
        copyto = np.copyto
        monkeypatch.setattr(
            "npresnet.cpu.runtime.running.np.copyto", lambda to, value, **how: copyto(to, value[..., ::-1], **how)
        )
    else:
        monkeypatch.setattr("npresnet.cpu.executable.copy_out", lambda *args: None)
        monkeypatch.setattr("npresnet.cpu.runtime.running.copy_out", lambda *args: None)
    with pytest.raises((AssertionError, ArchitectureError)):
        check_stages("alive across", 1)


def test_the_limit_is_one_of_pixels():
    """16x16 may be cut, 17x16 may not."""
    network = Network((conv("a", INPUT), conv("b", "a", seed=1)), {"y": "b"})
    assert CUT_PIXELS == 256
    assert cut(network, (4, 16, 16)).front.outputs[CUT] == "a"
    assert cut(network, (4, 17, 16)) is None


@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_prepacks_the_weights_that_its_plans_read_and_no_others(monkeypatch, threads):
    """The back uses "gemm" for several images where it uses panels for one, as `fast=True` may choose."""
    rng = np.random.default_rng(0)
    names = (INPUT, "conv0", "conv1", "conv2")
    shapes = ((64, 3, 1, 1), (64, 64, 1, 1), (128, 64, 1, 1))
    weights = [{"weight": integers(rng, shape)} for shape in shapes]
    convs = [Node(names[i + 1], "conv2d", (names[i],), Window.of(1), params=w) for i, w in enumerate(weights)]
    network = Network(tuple(convs), {"y": "conv2"})
    images = integers(rng, (4 * threads, 3, 5, 7))
    expected = ops.run(network, images)["y"]
    panels, whole = Key(0, "panels"), Key(0, "gemm")
    monkeypatch.setattr(
        "npresnet.cpu.compiler.conv2d.choose",
        lambda layer, core_type, table, images, **options: direct("gemm" if images > 1 else "panels"),
    )
    executable = cpu.compile(network, threads=threads, fast=True)
    assert_same(executable(images)["y"], expected)
    deep = executable._programs._weights["conv2"]
    assert deep.has(whole)
    assert not deep.has(panels)
    assert_same(executable(images[:1])["y"], expected[:1])
    assert deep.has(panels)
    executable.close()


def test_what_an_image_sees_of_its_size_is_the_same_in_both_parts_and_in_the_whole():
    """A choice may depend on the image's size, which the back's input does not have: 14x14 pixels of 56x56."""
    rng = np.random.default_rng(0)

    def conv(name: str, x: str, in_channels: int, stride: int = 1, groups: int = 1) -> Node:
        weight = rng.normal(size=(64, in_channels // groups, 3, 3)).astype(np.float32)
        return Node(name, "conv2d", (x,), Window.of(3, stride, 1), groups, params={"weight": weight})

    network = Network((conv("a", INPUT, 3, 4), conv("b", "a", 64, groups=4), conv("c", "b", 64, groups=4)), {"y": "c"})
    x = rng.normal(size=(2, 3, 56, 56)).astype(np.float32)
    with closing(cpu.compile(network, threads=1)) as one, closing(cpu.compile(network, threads=2)) as two:
        whole, parts = one.steps(x.shape[1:], 1), one.steps(x.shape[1:], 2)
        assert [step.algorithm for step in whole] == [step.algorithm for step in parts]
        assert any("winograd" in step.algorithm for step in whole)
        together = one(x)["y"]  # front and back
        for image, expected in zip(x, together, strict=True):
            np.testing.assert_array_equal(two(image[None])["y"][0], expected)  # the whole, by two workers
