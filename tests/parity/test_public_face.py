"""The public face against PyTorch: a fine-tuned checkpoint from file to label, and class activation maps."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet import weights
from tests.support.float_error import assert_as_exact_as
from tests.support.reference import run_double, run_module, torchvision_model
from tests.support.small import picture
from tests.support.torchvision_import import import_torchvision

torch = pytest.importorskip("torch", reason="torch is not installed")
SIZE = 96


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """torchvision's ResNet-18 and the same as our model."""
    module, tensors = torchvision_model("resnet18", num_classes=7)
    path = tmp_path_factory.mktemp("cam") / "resnet18.npz"
    weights.write_npz(path, tensors, {})
    with npresnet.load(path, threads=2, preprocess={"resize": SIZE, "crop": SIZE}) as model:
        yield module, model


def gradient_map(module, x: np.ndarray, index: int, dtype) -> np.ndarray:
    """Grad-CAM without its ReLU: features weighted by the mean gradient of the logit, stretched, scaled to 0..1."""
    seen = []
    handle = module.layer4.register_forward_hook(lambda _module, _inputs, result: seen.append(result))
    module.to(dtype)
    try:
        logit = module(torch.from_numpy(x).to(dtype))[0, index]
        (gradient,) = torch.autograd.grad(logit, seen[0])
    finally:
        handle.remove()
        module.float()
    small = torch.einsum("c,chw->hw", gradient[0].mean(dim=(1, 2)), seen[0][0]).detach()
    large = torch.nn.functional.interpolate(small[None, None], size=x.shape[2:], mode="bilinear")[0, 0].numpy()
    return (large - large.min()) / (large.max() - large.min())


def test_the_map_is_the_gradient_s(pair):
    module, model = pair
    ours, theirs, exact = [], [], []
    for seed in range(8):
        image, index = picture(seed, height=110, width=130), seed % 7
        ours.append(model.cam(image, index))
        x = model.preprocess(image)
        theirs.append(gradient_map(module, x, index, torch.float32))
        exact.append(gradient_map(module, x, index, torch.float64))
    assert ours[0].shape == (SIZE, SIZE)
    assert_as_exact_as(np.stack(ours), np.stack(theirs), np.stack(exact))


def test_a_two_class_checkpoint_end_to_end(tmp_path, photos):
    """`{"model_state_dict": ...}` with two classes, saved by torch: torchvision's logits, and the caller's labels."""
    transforms = import_torchvision().transforms
    module, _ = torchvision_model("resnet18", num_classes=2)
    torch.save({"model_state_dict": module.state_dict(), "epoch": 7}, tmp_path / "ants_bees.pkl")
    npresnet.convert(tmp_path / "ants_bees.pkl", tmp_path / "ants_bees.npz", labels=["ants", "bees"])
    chain = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    x = np.stack([chain(Image.open(photo).convert("RGB")).numpy() for photo in photos[:8]])
    with npresnet.load(tmp_path / "ants_bees.npz", threads=2) as model:
        np.testing.assert_array_equal(np.concatenate([model.preprocess(photo) for photo in photos[:8]]), x)
        predictions = model.predict(photos[:8], batch_size=3)
    theirs = run_module(module, x)
    assert [prediction.index for prediction in predictions] == theirs.argmax(axis=1).tolist()
    assert [prediction.label for prediction in predictions] == [["ants", "bees"][i] for i in theirs.argmax(axis=1)]
    assert_as_exact_as(np.stack([prediction.logits for prediction in predictions]), theirs, run_double(module, x))
