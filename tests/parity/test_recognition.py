"""Networks recognised from a torchvision state_dict compute what torchvision's module computes, in float64."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch, ops, weights
from npresnet.errors import ArchitectureError
from tests.support import torch_run
from tests.support.reference import TEN, randomised, run_double, torchvision_model
from tests.support.torchvision_import import import_timm, import_torchvision

CASES = [
    *((name, {}, {}) for name in TEN),
    ("resnet18", {"num_classes": 2}, {}),
    ("resnet18", {"zero_init_residual": True}, {}),
    ("resnet50", {"num_classes": 2}, {}),
    ("resnet50", {"groups": 8, "width_per_group": 16}, {}),
    ("resnet50", {"groups": 2, "width_per_group": 41}, {}),
    *(
        ("resnet50", {}, {"replace_stride_with_dilation": dilate})
        for dilate in ([False, True, True], [True, False, True])
    ),
    ("resnext50_32x4d", {}, {"replace_stride_with_dilation": [False, False, True]}),
]


@pytest.mark.parametrize(("name", "in_keys", "not_in_keys"), CASES, ids=str)
def test_agrees_with_torchvision(name, in_keys, not_in_keys):
    """Options that shapes show need not be said; those that no shape shows must be."""
    module, tensors = torchvision_model(name, **in_keys, **not_in_keys)
    network, config = arch.build(tensors, options=not_in_keys)
    x = images(1, 40)
    expected = run_double(module, x)
    assert relative_error(torch_run.run(network, x)["logits"], expected) < 1e-10
    assert config.value("num_classes") == in_keys.get("num_classes", 1000)
    if not in_keys.keys() - {"num_classes", "zero_init_residual"}:
        assert config.value("arch") == name


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d"])
def test_the_specification_agrees_with_torchvision(name):
    module, tensors = torchvision_model(name, seed=1)
    network, _ = arch.build(tensors)
    x = images(1, 40)
    assert relative_error(ops.run(network, x)["logits"], run_double(module, x)) < 1e-10


def test_dilation_is_not_in_the_keys():
    """Without its option a dilated net is another net: the very reason why the option is written into our files."""
    module, tensors = torchvision_model("resnet50", replace_stride_with_dilation=[False, True, True])
    network, config = arch.build(tensors)
    x = images(1, 40)
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) > 1e-3
    assert config["replace_stride_with_dilation"].origin == "default"


@pytest.mark.parametrize(
    ("block", "layers", "name"),
    [
        ("BasicBlock", [1, 1, 1, 1], "resnet10"),
        ("Bottleneck", [1, 1, 1, 1], "resnet14"),
        ("Bottleneck", [2, 2, 2, 2], "resnet26"),
        ("BasicBlock", [1, 2, 1, 3], "resnet"),
    ],
)
def test_any_depth(block, layers, name):
    resnet = import_torchvision().models.resnet
    module, tensors = randomised(resnet.ResNet(getattr(resnet, block), layers, num_classes=5))
    network, config = arch.build(tensors)
    x = images(2, 40)
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) < 1e-10
    assert (config.value("arch"), config.value("layers")) == (name, layers)


@pytest.mark.parametrize("in_channels", [1, 4])
def test_other_numbers_of_input_channels(in_channels):
    torch = torch_run.torch
    module = import_torchvision().models.resnet18(weights=None)
    module.conv1 = torch.nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
    module, tensors = randomised(module)
    network, config = arch.build(tensors)
    x = images(1, 64, in_channels)
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) < 1e-10
    assert (config.value("in_channels"), config.value("preprocess", ""), config.value("labels", "")) == (
        in_channels,
        None,
        None,
    )


def test_a_small_stem_put_into_torchvision_s_net():
    """conv1 3x3 of stride 1 and no max pool is how people fit ResNet-18 to CIFAR; the keys show the kernel alone."""
    torch = torch_run.torch
    module = import_torchvision().models.resnet18(weights=None, num_classes=10)
    module.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    module.maxpool = torch.nn.Identity()
    module, tensors = randomised(module)
    network, config = arch.build(tensors)
    x = images(2, 32)
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) < 1e-10
    assert config.value("arch") == "cifar_resnet18"

    module.maxpool = torch.nn.MaxPool2d(3, 2, 1)
    network, _ = arch.build(tensors, options={"max_pool": True})
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) < 1e-10


@pytest.mark.parametrize(
    "layers",
    [
        ["Linear"],
        ["Dropout", "Linear"],
        ["Linear", "ReLU", "Linear"],
        ["Linear", "ReLU", "Dropout", "Linear"],
        ["Dropout", "Linear", "ReLU", "Linear", "ReLU", "Dropout", "Linear"],
        ["Linear", "Linear"],
    ],
    ids="-".join,
)
def test_a_sequential_classifier(layers):
    torch = torch_run.torch
    module = import_torchvision().models.resnet18(weights=None)
    sizes = iter([(512, 24), (24, 8), (8, 4)])
    make = {"Linear": lambda: torch.nn.Linear(*next(sizes)), "ReLU": torch.nn.ReLU, "Dropout": torch.nn.Dropout}
    module.fc = torch.nn.Sequential(*(make[layer]() for layer in layers))
    module, tensors = randomised(module)
    network, config = arch.build(tensors)
    x = images(2, 40)
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) < 1e-10
    several = layers.count("Linear") > 1
    assert ("head_activation" in config) == several
    if several:
        assert ("relu" in config.value("head_activation")) == ("ReLU" in layers)
        assert config["head_activation"].certainty == "ambiguous"
    assert torch_run.run(network.with_outputs(["fc"]), x)["fc"].shape == (2, config.value("num_classes"))


@pytest.mark.parametrize("name", [*TEN, "resnet50 grouped"])
def test_random_weights_have_torchvision_s_names_in_its_order(name):
    options = {"groups": 4, "width_per_group": 16} if " " in name else {}
    name = name.split()[0]
    tensors = arch.random_tensors(name, num_classes=3, **options)
    torch = torch_run.torch
    with torch.device("meta"):
        module = getattr(import_torchvision().models, name)(weights=None, num_classes=3, **options)
    expected = {key: (tuple(t.shape), str(t.dtype)) for key, t in module.state_dict().items()}
    assert {key: (a.shape, f"torch.{a.dtype}") for key, a in tensors.items()} == expected
    assert list(tensors) == list(expected)


def test_a_fine_tuned_two_class_checkpoint(tmp_path):
    """As the ants-and-bees tutorial saves it: a dict around the state_dict, under any file name."""
    torch = torch_run.torch
    module, _ = torchvision_model("resnet18", num_classes=2)
    path = tmp_path / "ants_bees.pkl"
    torch.save({"epoch": 24, "model_state_dict": module.state_dict(), "best_acc": 0.95}, path)
    network, config = arch.build(weights.read(path).tensors)
    x = images(2, 40)
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) < 1e-10
    assert (config.value("arch"), config.value("num_classes"), config.value("labels", "")) == ("resnet18", 2, None)


def test_no_classifier_gives_the_embedding():
    torch = torch_run.torch
    module = import_torchvision().models.resnet50(weights=None)
    module.fc = torch.nn.Identity()
    module, tensors = randomised(module)
    network, config = arch.build(tensors)
    x = images(2, 40)
    assert dict(network.outputs) == {"embedding": "flatten"}
    assert relative_error(torch_run.run(network, x)["embedding"], run_double(module, x)) < 1e-10
    assert config.value("num_classes", "") is None


def test_backbone_of_a_segmentation_net():
    """torchvision's FCN: its backbone is dilated, which the head of convolutions gives away; the heads are left out."""
    segmentation = import_torchvision().models.segmentation
    module, tensors = randomised(segmentation.fcn_resnet50(weights=None, weights_backbone=None, aux_loss=True))
    network, config = arch.build(tensors)
    x = images(1, 40)
    with torch_run.torch.inference_mode():
        expected = module.backbone.double()(torch_run.torch.from_numpy(x))
    found = torch_run.run(network.with_outputs(["layer3", "layer4"]), x)
    assert relative_error(found["layer4"], expected["out"].numpy()) < 1e-10
    assert relative_error(found["layer3"], expected["aux"].numpy()) < 1e-10
    without_prefix, _ = arch.build({name.removeprefix("backbone."): array for name, array in tensors.items()})
    assert [node.window for node in without_prefix] == [node.window for node in network]
    assert config["replace_stride_with_dilation"].value == [False, True, True]
    assert config["replace_stride_with_dilation"].origin == "inferred"
    assert "classifier.0" in config.value("ignored")


def test_backbone_of_a_detection_net():
    detection = import_torchvision().models.detection
    module = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    tensors = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    network, config = arch.build(tensors)
    assert dict(network.outputs) == {"embedding": "flatten"}
    assert config.value("arch") == "resnet50"
    assert "roi_heads" in config.value("ignored")


@pytest.mark.parametrize("name", ["resnet18", "resnet26", "resnext50_32x4d"])
def test_plain_models_of_timm(name):
    module, tensors = randomised(import_timm().create_model(name, pretrained=False, num_classes=7))
    network, _ = arch.build(tensors)
    x = images(1, 40)
    assert relative_error(torch_run.run(network, x)["logits"], run_double(module, x)) < 1e-10


FOREIGN_TIMM = {
    "regnety_002": "",
    "densenet121": "DenseNet",
    "efficientnet_b0": "EfficientNet",
    "vit_tiny_patch16_224": "transformer",
    "convnext_atto": "ConvNeXt",
    "vgg11": "VGG",
    "mobilenetv3_small_050": "EfficientNet or MobileNet",
    "hrnet_w18_small": "",
    "xception41": "",
    "dla34": "",
    "inception_v3": "Inception",
}


@pytest.mark.parametrize("name", FOREIGN_TIMM)
def test_other_families_are_refused_by_name(name):
    with torch_run.torch.device("meta"):  # names and shapes are what gives them away; random weights take time
        module = import_timm().create_model(name, pretrained=False)
    tensors = {key: np.zeros(tuple(tensor.shape), np.float32) for key, tensor in module.state_dict().items()}
    with pytest.raises(ArchitectureError) as caught:
        arch.build(tensors)
    words = FOREIGN_TIMM[name].split("|")
    assert any(word in str(caught.value) for word in words), str(caught.value)


def images(count: int, size: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((count, channels, size, size))


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())
