"""Every tensor of a network must have its full expected shape, and an error names a tensor with another one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.families import nfnet, preact, resnetv2, senet, tresnet
from npresnet.errors import ArchitectureError
from tests.arch.fabric import Tensors, basic_net, bottleneck_net, without
from tests.arch.families.tiny import tiny

SMALL = {"layers": [1, 2], "num_classes": 5}
NETS = {
    "torchvision": basic_net((2, 1)),
    "torchvision, ResNeXt": bottleneck_net((1, 2), groups=2),
    "torchvision, one stage": bottleneck_net((3,), groups=2),
    "handwritten": bottleneck_net((2, 1), projection="shortcut", head="linear"),
    "cifar, option A": basic_net((1, 1), stem=3, projection=None, head="linear"),
    "cifar, option B": basic_net((1, 2), stem=3),
    "resnetv2": tiny(resnetv2, block="Bottleneck", width_factor=1, **SMALL),
    "nfnet": tiny(nfnet, channels=[16, 32], stem_type="7x7", attention="se", activation="relu", **SMALL),
    "senet": tiny(senet, block="SEResNetBottleneck", **SMALL),
    "preact": tiny(
        preact, base=8, stem_channels=8, projection="shortcut.0", layers=[1, 1, 1], final_norm="bn", num_classes=5
    ),
    "tresnet": tiny(tresnet, channels=8, **SMALL),
}
STEMS = ("conv1.weight", "stem.conv.weight", "layer0.conv1.weight", "body.conv1.conv.weight")
FREE = dict.fromkeys(STEMS, 1)  # the number of input channels follows from this axis alone
HEADS = ("fc.weight", "linear.weight", "head.fc.weight", "last_linear.weight")


def other_shapes(name: str, shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Each axis in turn longer, shorter and missing; in and out channels swapped; flattened."""
    for axis, length in enumerate(shape):
        for other in {length + 1, 2 * length, length // 2, 0} - {length}:
            if (name, axis, other) in {(head, 1, 2 * length) for head in HEADS}:
                continue  # the features of two pools, see test_head
            if FREE.get(name) != axis or other == 0:
                yield (*shape[:axis], other, *shape[axis + 1 :])
        yield (*shape[:axis], *shape[axis + 1 :])
    if len(shape) > 1:
        yield (int(np.prod(shape)),)
        yield (shape[1], shape[0], *shape[2:])


@pytest.mark.parametrize("net", NETS)
def test_a_tensor_of_another_shape_is_refused_by_name(net):
    tensors = NETS[net]
    accepted, unnamed = [], []
    for name, array in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        for shape in set(other_shapes(name, array.shape)) - {array.shape}:
            message = refusal(tensors | {name: np.ones(shape, np.float32)})
            if message is None:
                accepted.append((name, shape))
            elif name not in message or (str(shape) not in message and not is_row_count(name, array, shape)):
                unnamed.append((name, shape, message))
    assert accepted == []
    assert unnamed == []


def is_row_count(name: str, array: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether the rows of a classifier's weight differ from its bias: either may be wrong, so the bias is refused
    and both are named."""
    return name in HEADS and shape[1:] == array.shape[1:]


@pytest.mark.parametrize("net", NETS)
def test_a_transposed_window_is_refused(net):
    """(KH, KW) of a square window cannot be swapped, but an oblong one of the same area can be made."""
    tensors = NETS[net]
    for name, array in tensors.items():
        if array.ndim == 4:
            *channels, height, width = array.shape
            for window in {(height * width, 1), (1, height * width)} - {(height, width)}:
                message = refusal(tensors | {name: np.ones((*channels, *window), np.float32)})
                assert message is not None, (name, window)
                assert name in message


def test_groups_that_differ_from_the_other_layers():
    """The majority's group width is expected, also where the first layer differs."""
    for name in ("layer1.0.conv2.weight", "layer2.1.conv2.weight"):
        tensors = NETS["torchvision, ResNeXt"]
        width = tensors[name].shape[0]
        message = refusal(tensors | {name: np.ones((width, width, 3, 3), np.float32)})
        assert message.startswith(f"{name} has shape {(width, width, 3, 3)}, expected {(width, width // 2, 3, 3)}")


def test_widths_are_free_where_they_chain():
    """A network after structured pruning has irregular widths, and is built."""
    tensors = bottleneck_net((2, 1), groups=1)
    cut = {
        "layer1.1.conv1": (slice(0, 5), slice(None)),
        "layer1.1.conv2": (slice(0, 3), slice(0, 5)),
        "layer1.1.conv3": (slice(None), slice(0, 3)),
    }
    for name, (filters, channels) in cut.items():
        tensors[f"{name}.weight"] = tensors[f"{name}.weight"][filters, channels]
        for role in ("weight", "bias", "running_mean", "running_var"):
            norm = f"{name.replace('conv', 'bn')}.{role}"
            tensors[norm] = tensors[norm][filters]
    network, config = arch.build(tensors)
    assert [network[name].params["weight"].shape[:2] for name in cut] == [(5, 32), (3, 5), (32, 3)]
    assert config.value("groups") == 1


def test_a_layer_that_is_missing_altogether():
    with pytest.raises(ArchitectureError, match=r"layer1\.0\.conv2\.weight is missing"):
        arch.build(without(without(NETS["torchvision"], "layer1.0.conv2"), "layer1.0.bn2"))


def refusal(tensors: Tensors) -> str | None:
    try:
        arch.build(tensors)
    except ArchitectureError as error:
        return str(error)
    return None
