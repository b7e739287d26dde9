"""Homes with names or files of their own for torchvision's networks."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kit.sweep.homes import Case, Home, random_net

Tensors = dict[str, Any]
CLASSES = 7
LAYERS = (1, 2, 1, 1)


def resnet(block: str = "Bottleneck", *, classes: int = CLASSES, **options: Any) -> Any:
    """torchvision's network of a few blocks."""
    from tests.support.torchvision_import import import_torchvision

    module = import_torchvision().models.resnet
    return module.ResNet(getattr(module, block), list(LAYERS), num_classes=classes, **options)


def striding_first(module: Any, *, ceil_mode: bool = False) -> Any:
    """The stride of a Bottleneck on its first convolution, as in Caffe; ceil_mode: and Caffe's max pool."""
    import torch

    for stage in (module.layer2, module.layer3, module.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    if ceil_mode:
        module.maxpool = torch.nn.MaxPool2d(3, 2, 0, ceil_mode=True)
    return module


def without_head(module: Any) -> Any:
    import torch

    module.fc = torch.nn.Identity()
    return module


def save(path: Path, content: Any) -> Path:
    import torch

    torch.save(content, path)
    return path


def arrays(module: Any) -> Tensors:
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def renamed(layout: str, block: str = "Bottleneck", **options: Any) -> Home:
    """A state dict with the names of tests/arch/homes/layouts.py."""

    def home(folder: Path) -> Case:
        import torch

        from tests.arch.homes import layouts

        module, x, exact = random_net(resnet(block))
        theirs = getattr(layouts, layout)(arrays(module))
        state = {name: torch.from_numpy(np.array(array)) for name, array in theirs.items()}
        return Case(save(folder / "model.pth", {"state_dict": state}), x, exact, options)

    return home


def transformers(folder: Path) -> Case:
    """Two shards with their index, and config.json."""
    from tests.arch.homes import layouts

    module, x, exact = random_net(resnet())
    theirs = layouts.transformers(arrays(module))
    names, half = list(theirs), len(theirs) // 2
    weight_map: dict[str, str] = {}
    for number, part in enumerate((names[:half], names[half:]), start=1):
        shard = f"model-{number:05}-of-00002.safetensors"
        write_safetensors(folder / shard, {name: theirs[name] for name in part})
        weight_map |= dict.fromkeys(part, shard)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "architectures": ["ResNetForImageClassification"],
        "model_type": "resnet",
        "layer_type": "bottleneck",
        "hidden_act": "relu",
        "downsample_in_bottleneck": False,
        "id2label": {str(i): f"class {i}" for i in range(CLASSES)},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return Case(folder, x, exact)


def write_safetensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """u64 length of the header, the header in JSON, the data."""
    types = {"float64": "F64", "float32": "F32", "int64": "I64"}
    header, data = {}, b""
    for name, array in tensors.items():
        content = np.ascontiguousarray(array).tobytes()
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": types[str(array.dtype)], "shape": list(array.shape), "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def detectron2(folder: Path) -> Case:
    """A pickle of arrays, BatchNorm frozen, the stride where MSRA's weights have it."""
    from tests.arch.homes import layouts

    module, x, exact = random_net(without_head(striding_first(resnet())))
    theirs = layouts.detectron2(counted_out(arrays(module)))
    path = folder / "R-50.pkl"
    path.write_bytes(pickle.dumps({"model": theirs, "__author__": "MSRA", "matching_heuristics": True}))
    return Case(path, x, exact)


def counted_out(tensors: Tensors) -> Tensors:
    """Without num_batches_tracked."""
    return {name: array for name, array in tensors.items() if not name.endswith("num_batches_tracked")}


def paddle(layout: str) -> Home:
    """A pickle of arrays."""

    def home(folder: Path) -> Case:
        from tests.arch.homes import layouts

        module, x, exact = random_net(resnet())
        theirs = getattr(layouts, layout)(arrays(module))
        (folder / "model.pdparams").write_bytes(pickle.dumps({name: np.array(a) for name, a in theirs.items()}))
        return Case(folder / "model.pdparams", x, exact)

    return home


def openmmlab(folder: Path) -> Case:
    module, x, exact = random_net(resnet())
    state = module.state_dict()
    theirs = {f"head.{name}" if name.startswith("fc.") else f"backbone.{name}": t for name, t in state.items()}
    return Case(save(folder / "resnet.pth", {"meta": {"epoch": 100}, "state_dict": theirs}), x, exact)


def openmmlab_detector(folder: Path) -> Case:
    """style=caffe: nothing in the names says so."""
    import torch

    module, x, exact = random_net(without_head(striding_first(resnet())))
    theirs = {f"backbone.{name}": tensor for name, tensor in module.state_dict().items()}
    theirs |= {
        "neck.lateral_convs.0.conv.weight": torch.zeros(256, 256, 1, 1),
        "rpn_head.rpn_conv.weight": torch.zeros(256, 256, 3, 3),
    }
    content = {"meta": {"CLASSES": ["person"]}, "state_dict": theirs}
    return Case(save(folder / "faster_rcnn.pth", content), x, exact, {"stride_on": "1x1"})


def caffe2(folder: Path) -> Case:
    """Detectron's pickle: BatchNorm as a factor and an addend, the stride on the first convolution."""
    module, x, exact = random_net(striding_first(resnet()))
    path = folder / "R-50.pkl"
    path.write_bytes(pickle.dumps({"blobs": _blobs(arrays(module))}))
    return Case(path, x, exact)


def _blobs(tensors: Tensors) -> Tensors:
    found: Tensors = {}
    for name, array in tensors.items():
        module, _, role = name.rpartition(".")
        blob = _blob(module)
        if role == "weight" and array.ndim == 1:
            factor = array / np.sqrt(tensors[f"{module}.running_var"] + 1e-5)
            found[f"{blob}_s"] = factor
            found[f"{blob}_b"] = tensors[f"{module}.bias"] - tensors[f"{module}.running_mean"] * factor
        elif module == "fc":
            found[f"pred_{role[0]}"] = array
        elif role == "weight":
            found[f"{blob}_w"] = array
    return found


def _blob(module: str) -> str:
    """layer1.0.conv1 -> res2_0_branch2a, layer1.0.downsample.1 -> res2_0_branch1_bn"""
    if not module.startswith("layer"):
        return {"conv1": "conv1", "bn1": "res_conv1_bn"}.get(module, module)
    stage, number, *rest = module.removeprefix("layer").split(".")
    place = ".".join(rest)
    branch = "branch1" if place.startswith("downsample") else f"branch2{'abc'[int(place[-1]) - 1]}"
    norm = "_bn" if place in ("bn1", "bn2", "bn3", "downsample.1") else ""
    return f"res{int(stage) + 1}_{number}_{branch}{norm}"


def cadene(folder: Path) -> Case:
    module, x, exact = random_net(resnet())
    theirs = {name.replace("fc.", "last_linear."): tensor for name, tensor in module.state_dict().items()}
    return Case(save(folder / "resnet50-19c8e358.pth", theirs), x, exact)


def vggface2(folder: Path) -> Case:
    """A pickle of arrays, converted from Caffe."""
    module, x, exact = random_net(striding_first(resnet(classes=8631), ceil_mode=True))
    path = folder / "resnet50_ft_weight.pkl"
    path.write_bytes(pickle.dumps(counted_out(arrays(module))))
    return Case(path, x, exact, {"stride_on": "1x1", "max_pool": [3, 2, 0, True]})


def from_caffe(folder: Path) -> Case:
    module, x, exact = random_net(striding_first(resnet(), ceil_mode=True))
    path = save(folder / "resnet101_caffe.pth", counted_out(module.state_dict()))
    return Case(path, x, exact, {"stride_on": "1x1", "max_pool": [3, 2, 0, True]})


LAYOUTS: Mapping[str, Home] = {
    "Hugging Face transformers, sharded": transformers,
    "Hugging Face transformers, BasicBlocks": renamed("transformers", "BasicBlock"),
    "MMPretrain": openmmlab,
    "MMDetection, style=caffe": openmmlab_detector,
    "Detectron2": detectron2,
    "Caffe2, Detectron": caffe2,
    "Caffe, by jwyang or ruotianluo": from_caffe,
    "VGGFace2": vggface2,
    "NVIDIA DeepLearningExamples": renamed("nvidia"),
    "Cadene pretrained-models": cadene,
    "PaddleClas": paddle("paddleclas"),
    "PaddleClas, old": paddle("paddleclas_old"),
    "paddle.vision": paddle("paddle_vision"),
    "nn.Sequential(*model.children())": renamed("children"),
    "the same, BasicBlocks": renamed("children", "BasicBlock"),
}
