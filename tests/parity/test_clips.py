"""Networks for clips against torchvision's, and against PyTorch modules after the other repositories' descriptions."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from npresnet import arch, cpu, ops, passes
from tests.support import torch_clips
from tests.support.float_error import assert_as_exact_as

CLIPS = 8
SMALL = (5, 29, 24)  # T, H, W


def clips(channels: int = 3, size: tuple[int, int, int] = SMALL, count: int = CLIPS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, channels, *size), dtype=np.float32)


def check(module, options: dict | None = None, *, channels: int = 3, size: tuple[int, int, int] = SMALL):
    """The specification in float64, and the backend's float32 error."""
    tensors, x = torch_clips.state_of(module), clips(channels, size)
    network, config = arch.build(tensors, options=options)
    exact, theirs = torch_clips.run(module, x)
    (output,) = network.outputs
    np.testing.assert_allclose(ops.run(network, x[:2].astype(np.float64))[output], exact[:2], rtol=0, atol=1e-9)
    with closing(cpu.compile(passes.optimize(network), threads=2)) as executable:
        assert_as_exact_as(executable(x)[output], theirs, exact)
    return config


@pytest.mark.parametrize("name", torch_clips.KINDS)
def test_torchvisions_networks(name):
    module = torch_clips.randomised(torch_clips.torchvision_clips(name, (1, 2, 1, 1)), (2, 3, *SMALL))
    config = check(module)
    assert (config.value("arch"), config.value("layers")) == ("video_resnet", [1, 2, 1, 1])


def test_error_where_winograd_is_chosen():
    """Layers with outputs of 18x18 and 9x9, four frames of each."""
    module = torch_clips.randomised(torch_clips.torchvision_clips("r3d_18", (2, 1, 1, 1)), (2, 3, 4, 36, 36), seed=1)
    check(module, size=(4, 36, 36))


@pytest.mark.parametrize(
    ("made", "arch_name"),
    [
        ({"layers": (1, 1, 1, 1)}, "resnet10_3d"),
        ({"layers": (2, 1, 1), "shortcut": "A", "stem": (3, 1)}, "resnet_3d"),
        ({"layers": (1, 1, 1, 1), "bottleneck": True, "stem": (7, 1)}, "resnet_3d"),
        ({"layers": (1, 1, 1, 1), "shortcut": "A", "bottleneck": True, "classes": None}, "resnet_3d"),
    ],
    ids=str,
)
def test_networks_of_3d_resnets_pytorch(made, arch_name):
    module = torch_clips.randomised(torch_clips.Hara(**made), (2, 3, *SMALL))
    config = check(module)
    assert config.value("arch") == arch_name
    assert config.value("shortcut") == ("A-end" if made.get("shortcut") == "A" else "B")
    assert not config.ambiguous()


def test_what_the_tensors_of_3d_resnets_do_not_tell():
    made = {"layers": (1, 1), "stem": (5, 2), "max_pool": False}
    module = torch_clips.randomised(torch_clips.Hara(**made), (2, 3, *SMALL))
    config = check(module, {"conv1_t_stride": 2, "max_pool": False})
    assert config["max_pool"].origin == "caller"


def test_medicalnets_dilated_stages():
    module = torch_clips.Hara((1, 1, 1, 1), channels=1, stem=(7, 2), dilated=True, classes=None)
    module = torch_clips.randomised(module, (2, 1, 17, 29, 24))
    config = check(module, channels=1, size=(17, 29, 24))
    assert config.value("arch") == "medicalnet_resnet10"
    assert config["output_stride"].alternatives == ("output_stride=32",)


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("strides_time", [False, True])
def test_bodies_of_detect_and_track(bottleneck, strides_time):
    tensors, x = torch_clips.detect_and_track((1, 2, 1, 1), bottleneck=bottleneck), clips(size=(3, 70, 50))
    exact, theirs = (
        torch_clips.run_detect_and_track(tensors, x, strides_time=strides_time, dtype=dtype)
        for dtype in (torch_clips.torch.float64, torch_clips.torch.float32)
    )
    network, config = arch.build(tensors, options={"time_stride_on": strides_time})
    assert (config.value("body"), config.value("layers")) == ("conv5", [1, 2, 1, 1])
    maps = network.with_outputs(list(exact))
    found = ops.run(maps, x[:1].astype(np.float64))
    assert exact["res4_0_sum"].shape[-2:] == (5, 4)
    assert exact["res5_0_sum"].shape[-2:] == (3, 2)
    for name, right in exact.items():
        np.testing.assert_allclose(found[name], right[:1], rtol=0, atol=1e-9)
    with closing(cpu.compile(passes.optimize(network), threads=2)) as executable:
        means = (each["res5_0_sum"].mean((2, 3, 4)) for each in (theirs, exact))
        assert_as_exact_as(executable(x)["embedding"], *means)


def test_the_stride_of_detect_and_tracks_bottlenecks():
    tensors, x = torch_clips.detect_and_track((1, 1, 1), bottleneck=True), clips(size=(2, 40, 36), count=1)
    for stride_on in ("1x1", "3x3"):
        right = torch_clips.run_detect_and_track(tensors, x, stride_1x1=stride_on == "1x1")["res4_0_sum"]
        network, _ = arch.build(tensors, options={"stride_on": stride_on})
        found = ops.run(network.with_outputs(["res4_0_sum"]), x.astype(np.float64))["res4_0_sum"]
        np.testing.assert_allclose(found, right, rtol=0, atol=1e-9)


def test_a_body_below_a_detector():
    """res5 is a head on res4 where the proposals are made from res4; heads are left out, and said to be."""
    tensors = torch_clips.detect_and_track((1, 1, 1, 1))
    heads = {"conv_rpn_w": (32, 32, 3, 3, 3), "conv_rpn_b": (32,), "kps_score_w": (4, 2, 1, 4, 4), "cls_score_b": (2,)}
    heads = {name: np.ones(shape, np.float32) for name, shape in heads.items()}
    network, config = arch.build({**tensors, **heads})
    assert (config.value("body"), config.value("layers")) == ("conv4", [1, 1, 1])
    assert "conv_rpn_w" in config.value("ignored")
    assert "heads" in config["ignored"].note
    x = clips(size=(2, 40, 36), count=1)
    right = torch_clips.run_detect_and_track(tensors, x, last=4)["res4_0_sum"].mean((2, 3, 4))
    np.testing.assert_allclose(ops.run(network, x.astype(np.float64))["embedding"], right, rtol=0, atol=1e-9)
    heads["conv_rpn_w"] = np.ones((64, 64, 3, 3, 3), np.float32)
    assert arch.build({**tensors, **heads})[1].value("body") == "conv5"
