"""Networks that npresnet does not support, and the names that identify them.

Where two families differ only in the meaning of their names, a network built by the wrong rule would silently give
wrong results. So known families are refused before any layer is built, and unknown ones at the end, by their unused
tensors. A family that becomes supported is removed from this table.
"""

from __future__ import annotations

from npresnet.arch.homes import Foreign
from npresnet.arch.homes.torchvision import BLOCK

RENAME = (
    "The names of its layers are lost: save model.state_dict() itself, or rename 0 to conv1, 1 to bn1, 4 to layer1, "
    "5 to layer2, 6 to layer3, 7 to layer4"
)

# The first match counts.
FOREIGN: tuple[Foreign, ...] = (
    Foreign(
        "a ResNet cut apart by nn.Sequential(*model.children())",
        r"^4\.[0-9]+\.conv1\.weight$",
        beside=r"^0\.weight$",
        advice=RENAME,
    ),
    Foreign("a video network (3-D convolutions)", r"", ndim=5),
    Foreign("a quantised network", r"\.(_packed_params|scale|zero_point)(\.|$)|^(scale|zero_point|quant\.)"),
    Foreign(
        "a pruned or reparametrised network (fold it first: prune.remove, remove_weight_norm)",
        r"\.(weight_orig|weight_mask|weight_g|weight_v)$|\.parametrizations\.",
    ),
    Foreign("SK-ResNet (selective kernels)", BLOCK + r"conv[12]\.(paths\.[0-9]|attn\.fc_)"),
    Foreign("ResNeSt (split attention)", BLOCK + r"conv2\.(bn0|fc1|fc2)\."),
    Foreign("ResNet with CBAM or another attention", BLOCK + r"(ca|sa|cbam|attn|attention)\."),
    Foreign("the ResNet of CLIP", r"^(visual\.)?(attnpool|head)\.(positional_embedding|pos_embed|k_proj|qkv)"),
    Foreign("Res2Net", BLOCK + r"(convs|bns)\."),
    Foreign("IBN-ResNet (instance normalisation)", BLOCK + r"bn1\.(IN|BN)\."),
    Foreign("ResNet for faces (iResNet, ArcFace)", r"^prelu\.|" + BLOCK + r"prelu[0-9]?\."),
    Foreign("ResNet in the names of pytorch-cifar100", r"\.residual_function\."),
    Foreign("BiT in the names of its authors", r"^root_block\.|\.unit[0-9]+\."),
    Foreign("the ResNet of a hybrid vision transformer", r"^stages\.0\.blocks\.0\.norm1\.", unless=r"^norm\.weight$"),
    Foreign("ResNet of Hugging Face transformers", r"embedder\.embedder\.|encoder\.stages\.[0-9]+\.layers\."),
    Foreign("ResNet of Caffe2 or Detectron", r"^conv1_w$|^res_conv1|^res[2-5]_[0-9]+_branch|^res2\.[0-9]+\."),
    Foreign("ResNet of Keras", r"^conv1_conv|^conv2_block1"),
    Foreign("an ONNX export (BatchNorm folded, names lost)", r"^onnx::"),
    Foreign("a vision transformer", r"patch_embed|cls_token|pos_embed|class_embedding|\.attn\.qkv"),
    Foreign("ConvNeXt", r"^downsample_layers\.|^stages\.[0-9]+\..*\.(dwconv|conv_dw)\.|layer_scale"),
    Foreign("DenseNet", r"denseblock[0-9]"),
    Foreign("RegNet", r"^trunk_output\.|^s1\.b1\."),
    Foreign("EfficientNet or MobileNet", r"^_?conv_stem\.|^features\.[0-9]+\.[0-9]+\."),
    Foreign("Inception or GoogLeNet", r"^Conv2d_1a|^inception[0-9]|^Mixed_[0-9]"),
    Foreign("VGG, AlexNet or SqueezeNet", r"^features\.[0-9]+\.(weight|squeeze)"),
    Foreign("a net of Ultralytics (YOLO)", r"^(model\.)?[0-9]+\.(cv1|m\.[0-9]+)\."),
    Foreign("a language model", r"word_embeddings|embed_tokens|token_embedding|^wte\."),
    Foreign("ResNet with named stem modules", r"^stem\.", unless=r"^stages\.0\."),
)
