"""Homes whose files hold more than a network: heads of training, decoders, copies, averages, wrappers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.kit.sweep.home_layouts import counted_out, resnet, save, without_head
from benchmarks.kit.sweep.homes import Case, Home, random_net

State = dict[str, Any]


def under(prefix: str, state: Mapping[str, Any]) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def weights(name: str, *shape: int) -> State:
    """A layer of a head, with a bias."""
    import torch

    return {f"{name}.weight": torch.zeros(*shape), f"{name}.bias": torch.zeros(shape[0])}


def norm(name: str, size: int) -> State:
    import torch

    roles = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{role}": torch.ones(size) for role in roles} | {f"{name}.num_batches_tracked": torch.tensor(1)}


def buffer(name: str, *shape: int) -> State:
    import torch

    return {name: torch.zeros(*shape)}


def body(content: Callable[[State, State], Any], *, options: Mapping[str, Any] | None = None, **made: Any) -> Home:
    """A file around a network without classifier: `content` gets its tensors, and another network's of these shapes."""

    def home(folder: Path) -> Case:
        module, x, exact = random_net(without_head(resnet(**made)))
        state = module.state_dict()
        other = {name: tensor + 1 for name, tensor in state.items()}
        return Case(save(folder / "checkpoint.pth.tar", content(state, other)), x, exact, options or {})

    return home


def whole(content: Callable[[State, State], Any], *, block: str = "Bottleneck", classes: int = 7) -> Home:
    """The same with a classifier."""

    def home(folder: Path) -> Case:
        module, x, exact = random_net(resnet(block, classes=classes))
        state = module.state_dict()
        other = {name: tensor + 1 for name, tensor in state.items()}
        return Case(save(folder / "checkpoint.pth.tar", content(state, other)), x, exact)

    return home


def moco(state: State, other: State) -> Any:
    found = under("module.encoder_q.", state) | weights("module.encoder_q.fc.0", 2048, 2048)
    found |= weights("module.encoder_q.fc.2", 128, 2048) | under("module.encoder_k.", other)
    found |= weights("module.encoder_k.fc.0", 2048, 2048) | weights("module.encoder_k.fc.2", 128, 2048)
    return {"arch": "resnet50", "state_dict": found | buffer("module.queue", 128, 9) | buffer("module.queue_ptr", 1)}


def moco_v3(state: State, other: State) -> Any:
    found = under("module.base_encoder.", state) | weights("module.base_encoder.fc.0", 4096, 2048)
    found |= norm("module.base_encoder.fc.1", 4096) | under("module.momentum_encoder.", other)
    return {"state_dict": found | weights("module.predictor.0", 4096, 256)}


def simsiam(state: State, other: State) -> Any:
    found = under("module.encoder.", state) | weights("module.encoder.fc.0", 2048, 2048)
    return {"state_dict": found | norm("module.encoder.fc.1", 2048) | weights("module.predictor.0", 512, 2048)}


def byol(state: State, other: State) -> Any:
    found = under("online_encoder.net.", state) | weights("online_encoder.projector.0", 64, 2048) | under("net.", state)
    found |= under("target_encoder.net.", other) | weights("target_encoder.projector.0", 64, 2048)
    return found | weights("online_predictor.0", 64, 64)


def swav(state: State, other: State) -> Any:
    found = under("module.", state) | weights("module.projection_head.0", 2048, 2048)
    found |= norm("module.projection_head.1", 2048) | weights("module.projection_head.3", 128, 2048)
    return found | buffer("module.prototypes.weight", 3000, 128)


def dino(state: State, other: State) -> Any:
    return {
        "student": _dino("module.", other),
        "teacher": _dino("", state),
        "epoch": 1,
        "dino_loss": buffer("c", 1, 64),
    }


def _dino(prefix: str, state: State) -> State:
    head = weights("head.mlp.0", 2048, 2048) | weights("head.mlp.2", 2048, 2048) | weights("head.mlp.4", 256, 2048)
    last = buffer("head.last_layer.weight_g", 64, 1) | buffer("head.last_layer.weight_v", 64, 256)
    return under(prefix, under("backbone.", state) | head | last)


def barlow(state: State, other: State) -> Any:
    found = under("module.backbone.", state) | norm("module.bn", 8192)
    return {"model": found | buffer("module.projector.0.weight", 8192, 2048) | norm("module.projector.1", 8192)}


def vicreg(state: State, other: State) -> Any:
    return {"model": under("module.backbone.", state) | buffer("module.projector.0.weight", 8192, 2048)}


def sup_contrast(state: State, other: State) -> Any:
    return {"model": under("encoder.module.", state) | weights("head.0", 2048, 2048) | weights("head.2", 128, 2048)}


def vissl(state: State, other: State) -> Any:
    heads = weights("0.clf.0", 9, 2048)
    return {"classy_state_dict": {"base_model": {"model": {"trunk": under("_feature_blocks.", state), "heads": heads}}}}


def solo_learn(state: State, other: State) -> Any:
    """With its classifier, which learns beside the rest."""
    found = {
        ("classifier" + name[2:] if name.startswith("fc.") else f"backbone.{name}"): t for name, t in state.items()
    }
    found |= weights("projector.0", 64, 2048) | weights("momentum_projector.0", 64, 2048)
    return {"state_dict": found | {f"momentum_backbone.{n}": t for n, t in other.items() if not n.startswith("fc.")}}


def lightly(state: State, other: State) -> Any:
    children = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    found = {".".join([children[name.split(".")[0]], *name.split(".")[1:]]): t for name, t in state.items()}
    return {"state_dict": under("backbone.", found) | weights("projection_head.layers.0", 64, 2048)}


def robustness(state: State, other: State) -> Any:
    """MadryLab: the network twice, and its mean and standard deviation."""
    constants = {"new_mean": buffer("m", 3, 1, 1)["m"] + 0.5, "new_std": buffer("s", 3, 1, 1)["s"] + 0.25}
    found = under("module.normalizer.", constants) | under("module.model.", state)
    found |= under("module.attacker.normalize.", constants) | under("module.attacker.model.", state)
    return {"model": found, "epoch": 90}


def smp(state: State, other: State) -> Any:
    decoder = buffer("decoder.blocks.0.conv1.0.weight", 4, 4, 3, 3) | norm("decoder.blocks.0.conv1.1", 4)
    return under("encoder.", state) | decoder | weights("segmentation_head.0", 1, 16, 3, 3)


def detr(state: State, other: State) -> Any:
    found = under("backbone.0.body.", counted_out(state)) | buffer("query_embed.weight", 4, 4)
    return {"model": found | weights("transformer.encoder.layers.0.linear1", 4, 4) | weights("class_embed", 92, 256)}


def deeplab_vainf(state: State, other: State) -> Any:
    heads = buffer("classifier.project.0.weight", 48, 256, 1, 1) | buffer(
        "classifier.aspp.convs.0.0.weight", 8, 2048, 1, 1
    )
    return {"cur_itrs": 1, "model_state": under("backbone.", state) | heads}


def with_torchvisions_heads(kind: str) -> Home:
    """A network of torchvision.models.detection or segmentation, the features of its backbone's last stage."""

    def home(folder: Path) -> Case:
        from tests.support.torchvision_import import import_torchvision

        models = import_torchvision().models
        module = models.get_model(kind, weights=None, weights_backbone=None)
        bare = getattr(module.backbone, "body", module.backbone)
        _, x, exact = random_net(_pooled(bare))
        return Case(save(folder / f"{kind}.pth", module.double().state_dict()), x, exact)

    return home


def _pooled(features: Any) -> Any:
    """A module around the backbone that gives its last map's mean."""
    import torch

    class Pooled(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
        def __init__(self) -> None:
            super().__init__()
            self.features = features

        def forward(self, x: Any) -> Any:
            return list(self.features(x).values())[-1 - ("aux" in self.features.return_layers.values())].mean((2, 3))

    return Pooled()


def lightning(state: State, other: State) -> Any:
    return {"state_dict": under("model.", state) | buffer("criterion.weight", 7), "pytorch-lightning_version": "2.0"}


def averaged(state: State, other: State) -> Any:
    return under("module.", state) | {"n_averaged": buffer("n", 1)["n"].long().reshape(())}


def ema(state: State, other: State) -> Any:
    return {"model": state, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}


TRAINING: Mapping[str, Home] = {
    "MoCo v1, v2": body(moco),
    "MoCo v3": body(moco_v3),
    "SimSiam": body(simsiam),
    "BYOL (lucidrains)": body(byol),
    "SwAV": body(swav),
    "DINO": body(dino),
    "Barlow Twins": body(barlow),
    "VICReg": body(vicreg),
    "SupContrast": body(sup_contrast),
    "VISSL": body(vissl),
    "solo-learn": whole(solo_learn),
    "lightly": body(lightly),
    "MadryLab robustness": whole(robustness),
    "Places365, resnet50": whole(
        lambda state, other: {"arch": "resnet50", "state_dict": under("module.", state)}, classes=365
    ),
    "segmentation_models_pytorch": body(smp),
    "DETR": body(detr),
    "DeepLabV3Plus-Pytorch, output stride 16": body(
        deeplab_vainf, options={"output_stride": 16}, replace_stride_with_dilation=[False, False, True]
    ),
    "torchvision fcn_resnet50": with_torchvisions_heads("fcn_resnet50"),
    "torchvision deeplabv3_resnet50": with_torchvisions_heads("deeplabv3_resnet50"),
    "torchvision fasterrcnn_resnet50_fpn": with_torchvisions_heads("fasterrcnn_resnet50_fpn"),
    "torchreid": whole(
        lambda state, other: {"state_dict": {k.replace("fc.", "classifier."): v for k, v in state.items()}}
    ),
    "PyTorch Lightning": whole(lightning),
    "torch.optim.swa_utils": whole(averaged),
    "a training loop's checkpoint": whole(ema),
}
