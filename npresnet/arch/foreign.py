"""Families that npresnet does not build, each by the names that give it away: they are refused by name.

Where two families differ in nothing but their keys' meaning, a network built by the wrong rule would run and be wrong
without a sign. So what is known to be another family is refused before any layer is built, and what is unknown is
refused at the end, by the tensors that are left over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from npresnet.arch.tensors import Tensors, shorten
from npresnet.errors import ArchitectureError

BLOCK = r"^layer[0-9]+\.[0-9]+\."

# What torchvision's own names look like.
PLAIN = (
    r"(conv1|fc|layer[0-9]+\.[0-9]+\.(conv[0-9]|downsample\.0))\.(weight|bias)"
    r"|(bn1|layer[0-9]+\.[0-9]+\.(bn[0-9]|downsample\.1))\.(weight|bias|running_mean|running_var|num_batches_tracked)"
)

# Family: a pattern that some tensor's name has. The first that is found speaks.
BY_NAME: dict[str, str] = {
    "a quantised network": r"\.(_packed_params|scale|zero_point)(\.|$)|^(scale|zero_point|quant\.)",
    "a pruned or reparametrised network (fold it first: prune.remove, remove_weight_norm)": (
        r"\.(weight_orig|weight_mask|weight_g|weight_v)$" + r"|\.parametrizations\."
    ),
    "SK-ResNet (selective kernels)": BLOCK + r"conv[12]\.(paths\.[0-9]|attn\.fc_)",
    "ResNeSt (split attention)": BLOCK + r"conv2\.(bn0|fc1|fc2)\.",
    "legacy SE-ResNet (Cadene)": r"^layer0\.|" + BLOCK + r"se_module\.",
    "ECA-ResNet (efficient channel attention)": BLOCK + r"(se|eca)\.conv\.weight$",
    "SE-ResNet (squeeze and excitation)": BLOCK + r"(se|se_layer|semodule|fc1|fc2)\.",
    "ResNet with CBAM or another attention": BLOCK + r"(ca|sa|cbam|attn|attention)\.",
    "the ResNet of CLIP": r"^(visual\.)?(attnpool|head)\.(positional_embedding|pos_embed|k_proj|qkv)",
    "Res2Net": BLOCK + r"(convs|bns)\.",
    "IBN-ResNet (instance normalisation)": BLOCK + r"bn1\.(IN|BN)\.",
    "ResNet for faces (iResNet, ArcFace)": r"^prelu\.|" + BLOCK + r"prelu[0-9]?\.",
    "ResNet in the names of pytorch-cifar100": r"\.residual_function\.",
    "ResNet with deep stem (ResNet-C, -D)": r"^conv1\.[0-9]+\.(weight|0\.weight)$",
    "ResNet-RS": r"^maxpool\.[0-9]+\.",
    "pre-activation ResNet (ResNet v2, BiT, Wide ResNet for CIFAR)": (
        r"^stages\.[0-9]+\.blocks\.[0-9]+\.norm1\." + r"|^root_block\.|\.unit[0-9]+\.|^block[0-9]\.layer\.[0-9]+\."
    ),
    "ResNet of Hugging Face transformers": r"embedder\.embedder\.|encoder\.stages\.[0-9]+\.layers\.",
    "ResNet of Caffe2 or Detectron": r"^conv1_w$|^res_conv1|^res[2-5]_[0-9]+_branch|^res2\.[0-9]+\.",
    "ResNet of Keras": r"^conv1_conv|^conv2_block1",
    "an ONNX export (BatchNorm folded, names lost)": r"^onnx::",
    "a vision transformer": r"patch_embed|cls_token|pos_embed|class_embedding|\.attn\.qkv",
    "ConvNeXt": r"^downsample_layers\.|^stages\.[0-9]+\..*\.(dwconv|conv_dw)\.|layer_scale",
    "DenseNet": r"denseblock[0-9]",
    "RegNet": r"^trunk_output\.|^s1\.b1\.",
    "EfficientNet or MobileNet": r"^_?conv_stem\.|^features\.[0-9]+\.[0-9]+\.",
    "Inception or GoogLeNet": r"^Conv2d_1a|^inception[0-9]|^Mixed_[0-9]",
    "VGG, AlexNet or SqueezeNet": r"^features\.[0-9]+\.(weight|squeeze)",
    "a net of Ultralytics (YOLO)": r"^(model\.)?[0-9]+\.(cv1|m\.[0-9]+)\.",
    "a language model": r"word_embeddings|embed_tokens|token_embedding|^wte\.",
    "ResNet with named stem modules": r"^stem\.",
    "ResNet of MMPretrain": r"^head\.fc\.",
}


def refuse_foreign(tensors: Tensors) -> None:
    """Raise ArchitectureError, naming the family, where the tensors belong to one that npresnet does not build."""
    _refuse_children(tensors)
    _refuse_video(tensors)
    if not are_plain(tensors):
        for family, pattern in BY_NAME.items():
            _refuse(family, tensors.matching(pattern))
    _refuse(
        "ResNet-D (average pool before the projection)",
        _with_axes(tensors, tensors.matching(r"\.downsample\.1\.weight$"), 4),
    )
    _refuse("pre-activation ResNet (ResNet v2)", _bare_projections(tensors))
    _refuse("ResNet with GroupNorm or another norm without running statistics", _norms_without_statistics(tensors))


def are_plain(names: Iterable[str]) -> bool:
    """Whether all names are such as torchvision gives: no other family's pattern, nor another task's, finds any.

    To compile those patterns takes longer than all else that is done to understand a file.
    """
    fits = re.compile(PLAIN).fullmatch
    return all(map(fits, names))


def _refuse(family: str, witnesses: Iterable[str]) -> None:
    names = list(witnesses)
    if names:
        raise ArchitectureError(
            f"this looks like {family}, which is not supported: {shorten(names, 3)}. npresnet builds torchvision's "
            f"ResNets, ResNeXts and Wide ResNets, CIFAR ResNets, and hand-written ones with shortcut.* keys"
        )


def _refuse_video(tensors: Tensors) -> None:
    _refuse("a video network (3-D convolutions)", _with_axes(tensors, tensors, 5))


def _refuse_children(tensors: Tensors) -> None:
    """nn.Sequential(*model.children()) loses the names: conv1 is called 0, layer1 is called 4."""
    if "0.weight" in tensors and tensors.matching(r"^4\.[0-9]+\.conv1\.weight$"):
        raise ArchitectureError(
            "this looks like a ResNet cut apart by nn.Sequential(*model.children()), which loses the names of its "
            "layers and is not supported: save model.state_dict() itself, or rename 0 to conv1, 1 to bn1, 4 to layer1, "
            "5 to layer2, 6 to layer3, 7 to layer4"
        )


def _bare_projections(tensors: Tensors) -> list[str]:
    """Projections with a convolution but no norm at all after it, in a net without a norm after its stem."""
    if "bn1.weight" in tensors or "conv1.weight" not in tensors:
        return []
    names = tensors.matching(r"\.(shortcut|downsample)\.0\.weight$")
    return [name for name in names if name.replace(".0.weight", ".1.weight") not in tensors]


def _norms_without_statistics(tensors: Tensors) -> list[str]:
    """Norms with weight and bias, where no norm of the whole file has running statistics."""
    if any(re.search(r"\.running_(mean|var)$", name) for name in tensors) or "conv1.weight" not in tensors:
        return []
    names = tensors.matching(r"^(bn1|layer[0-9]+\.[0-9]+\.bn[0-9]|norm1|gn1)\.weight$")
    return _with_axes(tensors, names, 1)


def _with_axes(tensors: Tensors, names: Iterable[str], axes: int) -> list[str]:
    return [name for name in names if len(tensors.shape(name)) == axes]
