"""Images in, stem and max pool as one step of a network: when, with which names, and with the same results."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import npresnet
from npresnet import cuda, ops, passes
from npresnet.cuda.compiler import program
from npresnet.cuda.compiler.choices import Processor
from npresnet.cuda.compiler.reduction import segmentations
from npresnet.cuda.launchers import conv2d_max_pool2d
from npresnet.cuda.pipeline import Pipeline
from npresnet.cuda.pixels import Normalisation
from npresnet.errors import ShapeError
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.cuda.running import compiled
from tests.emulator import emulator
from tests.support.cases import integers
from tests.support.checks import assert_same

pytestmark = emulator.needed

H200 = Processor("NVIDIA H200", 90, 132)


@cache
def network(channels: int = 3, activation: str = "relu") -> Network:
    """A ResNet's head and a classifier, of whole numbers."""
    rng = np.random.default_rng(0)
    weight = integers(rng, (12, channels, 7, 7), most=1)
    nodes = (
        Node("conv1", "conv2d", (INPUT,), Window.of(7, 2, 3), params={"weight": weight, "bias": integers(rng, (12,))}),
        Node("relu", activation, ("conv1",)),
        Node("maxpool", "max_pool2d", ("relu",), Window.of(3, 2, 1)),
        Node("layer1", "conv2d", ("maxpool",), Window.of(1), params={"weight": integers(rng, (8, 12, 1, 1), most=1)}),
        Node("flatten", "flatten", ("layer1",)),
        Node("fc", "linear", ("flatten",), params={"weight": integers(rng, (5, 8 * 9 * 10), most=1)}),
    )
    return passes.optimize(Network(nodes, {"logits": "fc"}))


def images(count: int, channels: int = 3, size: tuple[int, int] = (33, 38)) -> np.ndarray:
    return integers(np.random.default_rng(count), (count, channels, *size), most=1)


def unfused(made: Network, dtype: str, monkeypatch: pytest.MonkeyPatch) -> cuda.Executable:
    """As `compiled`, of the first segmentation alone."""
    with monkeypatch.context() as patch:
        patch.setattr("npresnet.cuda.executable.segmentations", lambda network: segmentations(network)[:1])
        return compiled(made, dtype)


@pytest.mark.parametrize(("channels", "dtype"), [(3, "float16"), (1, "bfloat16"), (4, "tf32"), (2, "float16")])
def test_the_same_bits_fused_and_not(gpus, monkeypatch, channels, dtype):
    stand_in = gpus()
    run, apart = compiled(network(channels), dtype), unfused(network(channels), dtype, monkeypatch)
    for count in (1, 3):
        x = images(count, channels)
        if dtype != "tf32":  # where small images take conv2d_mma, whose sums have another order
            x[0, 0, 5, 7] = 0.3  # no whole number: sums are rounded
        right = apart(x)["logits"]
        assert "max_pool2d" in " ".join(stand_in.kernels)
        stand_in.kernels.clear()
        assert_same(run(x)["logits"], right)
        kernels = " ".join(stand_in.kernels)
        assert "stem_" in kernels
        assert "_pool_" in kernels
        assert "max_pool2d" not in kernels
        assert "nchw_to_nhwc" not in kernels
        stand_in.kernels.clear()


def test_its_step_values_and_lifetimes(gpus):
    gpus()
    run = compiled(network(), "float16")
    steps, layout = run.steps((3, 33, 38), 2), run.layout((3, 33, 38), 2)
    assert [step.name for step in steps] == ["conv1", "layer1", "fc"]
    assert steps[0].algorithm.startswith("stem_")
    assert steps[0].flops == 2 * 2 * (17 * 19 * 12 * 3 * 49)
    assert steps[0].size_bytes == 2 * (3 * 33 * 38 * 4 + 9 * 10 * 12 * 2) + (12 * 3 * 49 + 12) * 2
    assert set(layout.values) == {INPUT, "conv1", "layer1", "flatten", "fc"}
    assert layout.values["conv1"].shape == (12, 9, 10)
    assert layout.values[INPUT].offset_bytes == layout.images_offset
    assert layout.values[INPUT].size_bytes == layout.images_bytes == 2 * 3 * 33 * 38 * 4
    assert layout.values[INPUT].lifetime.overlaps(layout.values["conv1"].lifetime)
    watch = run.stopwatch(images(3))
    assert len(watch.lap()) == len(steps)


def test_float32_has_three_steps_with_the_network_s_names(gpus):
    gpus()
    run = compiled(network())
    names = [step.name for step in run.steps((3, 33, 38))]
    assert names == ["(images in)", "conv1", "maxpool", "layer1", "fc"]
    assert_same(run(images(2))["logits"], ops.run(network(), images(2))["logits"])


def test_what_is_asked_for_is_not_fused_away(gpus):
    gpus()
    x, names = images(2), ["conv1", "relu", "maxpool", "fc"]
    model = network().with_outputs(["conv1", "maxpool"])
    right = ops.run(model, x)
    for name, array in compiled(model, "float16")(x).items():
        assert_same(array, right[name], name)
    for asked in (["maxpool"], ["maxpool", INPUT]):
        made = Network(network().nodes, {name: name for name in asked})
        found = compiled(made, "float16")
        assert "maxpool" not in [step.name for step in found.steps((3, 33, 38))]
        for name, array in found(x).items():
            assert_same(array, ops.run(made, x)[name], name)
    with npresnet.build("resnet14", width_per_group=16, num_classes=4, device="cuda", dtype="float16") as built:
        found = built.features(np.zeros((1, 3, 33, 38), np.float32), names)
        assert [found[name].shape[2:] for name in names[:3]] == [(17, 19), (17, 19), (9, 10)]


def test_keeping_all_keeps_what_the_steps_make(gpus):
    gpus()
    run = compiled(network(), "float16")
    found, right = run.keeping_all()(images(2)), ops.run(network().with_outputs(["maxpool", "fc"]), images(2))
    assert {step.name for step in run.steps((3, 33, 38), 2)} <= set(found)
    assert_same(found["conv1"], right["maxpool"])
    assert_same(found["fc"], right["fc"])


def test_values_of_chunks_that_run_by_other_steps_are_not_mixed(gpus, monkeypatch):
    """A step's name means the convolution's value in one program, its pool's in another."""
    gpus()
    monkeypatch.setattr("npresnet.cuda.executable.MOST_IMAGES", 2)
    whole = program.Program.predicted_us  # that of single images: the slowest first
    monkeypatch.setattr(
        program.Program, "predicted_us", lambda self, gpu: whole(self, gpu) * (-1) ** self.layout.images
    )
    run, x = compiled(network(), "float16"), images(3)
    assert [len(run.steps((3, 33, 38), count)) for count in (2, 1)] == [3, 5]
    assert_same(run(x)["logits"], ops.run(network(), x)["logits"])
    every = run.keeping_all()
    assert [every(x[:count])["conv1"].shape for count in (2, 1)] == [(2, 12, 9, 10), (1, 12, 17, 19)]
    with pytest.raises(ShapeError, match=r"3 images the last 1 .* other steps; give at most 2 at once"):
        every(x)


@pytest.mark.parametrize("activation", ["relu6", "hard_swish"])
def test_other_activations_follow_if_they_are_monotone(gpus, monkeypatch, activation):
    stand_in = gpus()
    made = network(activation=activation).with_outputs(["maxpool"])
    x = images(2)
    right = unfused(made, "float16", monkeypatch)(x)["maxpool"]
    stand_in.kernels.clear()
    assert_same(compiled(made, "float16")(x)["maxpool"], right)
    assert ("max_pool2d" in " ".join(stand_in.kernels)) == (activation == "hard_swish")


def test_pixels_are_read_as_they_come(gpus):
    gpus()
    how = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    ways, half = segmentations(network()), cuda.ELEMENTS["float16"]
    made = program.compile_program(ways, (3, 33, 38), 2, half, H200, how)
    assert [node.op for node in made.core][:1] == ["conv2d_max_pool2d"]
    assert not made.layout.has_input
    assert made.layout.values[INPUT].size_bytes == 2 * 3 * 33 * 38
    apart = program.compile_program(ways[:1], (3, 33, 38), 2, half, H200, how)
    assert apart.predicted_us(H200) > made.predicted_us(H200)


def test_a_segment_that_costs_more_is_not_taken(gpus, monkeypatch):
    gpus()
    ways, half = segmentations(network()), cuda.ELEMENTS["float16"]
    whole = program.Program.predicted_us
    monkeypatch.setattr(
        program.Program, "predicted_us", lambda self, gpu: whole(self, gpu) + 1e6 * (not self.layout.has_input)
    )
    made = program.compile_program(ways, (3, 33, 38), 2, half, H200)
    assert [node.op for node in made.core][:2] == ["conv2d", "max_pool2d"]


def test_a_stem_of_an_image_that_others_read_too(gpus):
    """The image lies in both forms then."""
    gpus()
    rng = np.random.default_rng(1)
    other = Node("other", "conv2d", (INPUT,), Window.of(1), params={"weight": integers(rng, (4, 3, 1, 1), most=1)})
    made = Network((*network().nodes, other), {"logits": "fc", "other": "other"})
    run, x = compiled(made, "float16"), images(2)
    assert [step.name for step in run.steps((3, 33, 38), 2)][:2] == ["(images in)", "conv1"]
    right = ops.run(made, x)
    for name, array in run(x).items():
        assert_same(array, right[name], name)


@pytest.mark.parametrize("launcher", conv2d_max_pool2d.LAUNCHERS)
def test_pixels_and_images_through_each_kernel(gpus, monkeypatch, launcher):
    """Whole numbers of float32, and pixels against the same normalised by the CPU: to the bit."""
    stand_in = gpus(capability=90)
    monkeypatch.setattr(conv2d_max_pool2d, "LAUNCHERS", (launcher,))
    run = compiled(network(), "float16")
    assert_same(run(images(3))["logits"], ops.run(network(), images(3))["logits"])
    how = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 33, 38, 3), np.uint8)
    mean, std = (np.array(part, np.float32) for part in how)
    normalised = ((pixels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)
    gpu = cuda.open_gpu("cuda")
    pipeline = Pipeline(network(), gpu, cuda.ELEMENTS["float16"], cuda.Weights(gpu), how)
    assert_same(pipeline.submit(pixels).result().values, run(normalised)["logits"])
    pipeline.close()
    assert {f"{launcher}_bytes", f"{launcher}_planes"} <= {name.replace("_32", "") for name in stand_in.kernels}
