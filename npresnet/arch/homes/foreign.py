"""Networks that npresnet does not support, and the names that identify them.

They are asked for only where no family could build a network, so a row does no harm to a family that becomes supported;
it is removed all the same. Every pattern was held against the names of all architectures of timm and torchvision: a row
names no network of another family (`tests/arch/homes/test_foreign.py` holds a sample). A network without a row is
refused by NEAREST.
"""

from __future__ import annotations

from npresnet.arch.homes.home import Foreign

FLOATS = "Load the float weights that it was made from"
_STAGE_BLOCK = r"^stages\.[0-9]+\.blocks\.[0-9]+\."
_FIRST_CONV = r"^(layer1\.0|stages\.0\.blocks\.0)\.conv1\."

# Networks with residual blocks of other modules.
_RESIDUAL = (
    Foreign(
        "a hybrid of a ResNet and a vision transformer", r"^(outside\.)?blocks\.[0-9]+\.attn\.qkv\.", beside=_FIRST_CONV
    ),
    Foreign("MobileViT", r"^stages\.[0-9]+\.[0-9]+\.conv_proj\."),
    Foreign(
        "a network of timm's byoanet (botnet, halonet, lambda)", r"^stages\.[0-9]+\.[0-9]+\.(self_attn|post_attn)\."
    ),
    Foreign("ResNet with bilinear attention (BAT)", r"\.attn\.ba\.conv_[pq]\."),
    Foreign(
        "a network of timm's byobnet (RepVGG, MobileOne)",
        r"^stages\.[0-9]+\.[0-9]+\.(conv_kxk|conv_1x1|conv_scale|identity|reparam_conv)\.",
    ),
    Foreign("RegNetZ", r"^stages\.[0-9]+\.[0-9]+\.conv1_1x1\.", unless=r"\.shortcut\."),
    Foreign(
        "a cross-stage network (DarkNet, CSP-DarkNet)",
        r"^stages\.[0-9]+\.(conv_down|conv_exp|conv_transition_b)\.",
        unless=r"^stages\.0\.blocks\.0\.conv3\.",
    ),
    Foreign("a RegNet or ResNet of pycls", r"(^|\.)s1\.b1\.f\.a\."),
    Foreign("RegNet", r"(^|\.)(block1\.block1-0|s1\.b1)\.|^(trunk_output|regnet)\."),
    Foreign("a network with temporal shifts (TSM)", r"(^|\.)layer[0-9]+\.[0-9]+\.(conv1\.(conv\.)?net|net\.conv1)\."),
    Foreign("HRNet", r"^stage[0-9]\.[0-9]+\.(branches|fuse_layers)\."),
    Foreign("DLA (deep layer aggregation)", r"^level[0-9]\.(tree[0-9]|root|[0-9])\."),
    Foreign("DPN (dual paths)", r"^features\.conv[0-9]_[0-9]+\.c1x1_"),
    Foreign("VoVNet", _STAGE_BLOCK + r"conv_(mid|concat)\."),
    Foreign("HGNet", _STAGE_BLOCK + r"aggregation\."),
    Foreign("SelecSLS", r"^features\.[0-9]+\.conv[0-9]\.[0-9]+\.", beside=r"^from_seq|^head\.[0-9]+\.[0-9]+\."),
    Foreign("DenseNet", r"denseblock[0-9]|^dense_stages\."),
    Foreign("BiT in the names of its authors", r"^root_block\.|\.unit[0-9]+\.", beside=r"^root_block\."),
    Foreign(
        "the ResNet of a hybrid vision transformer",
        _STAGE_BLOCK + r"norm1\.",
        beside=_STAGE_BLOCK + r"conv1\.weight$",
        unless=r"^norm\.weight$",
    ),
)

# Networks of other designs: transformers, mobile networks, and older ones.
_OTHERS = (
    Foreign("a hybrid of a convolutional network and a vision transformer", r"^patch_embed\.backbone\."),
    Foreign("MaxViT", r"\.attn_(grid|block)\.|\.layers\.MBconv\."),
    Foreign("CoAtNet", _STAGE_BLOCK + r"attn\.", beside=_STAGE_BLOCK + r"conv(1_1x1|2_kxk)\."),
    Foreign(
        "Swin Transformer",
        r"^((layers|stages)\.[0-9]+\.blocks|features\.[0-9]+)\.[0-9]+\.attn\.(relative_position_bias_table|cpb_mlp\.|meta_mlp\.)",
    ),
    Foreign("a language model", r"word_embeddings|embed_tokens|token_embedding|^wte\."),
    Foreign("FasterNet", r"\.spatial_mixing\.partial_conv3\."),
    Foreign("EfficientViM", r"\.mixer\.(A|D|hz_proj\..*)$"),
    Foreign("ConvNeXt", _STAGE_BLOCK + r"conv_dw\.weight$", unless=r"\.(xca|attn)\.|\.conv_y[.0-9]"),
    Foreign(
        "ConvNeXt",
        r"(^|\.)stages\.[0-9]+\.(layers\.)?[0-9]+\.pwconv1\.|^features\.[0-9]+\.[0-9]+\.layer_scale$",
        unless=r"^stem_dct\.",
    ),
    Foreign("InceptionNeXt", r"\.token_mixer\.dwconv_hw\."),
    Foreign("MLP-Mixer or another network of MLPs", r"^blocks\.[0-9]+\.(mlp_tokens|mlp_channels|linear_tokens)\."),
    Foreign("ConvMixer", r"^blocks\.[0-9]+\.0\.fn\."),
    Foreign("RepViT", _STAGE_BLOCK + r"token_mixer\.conv\.c\."),
    Foreign("FastViT", _STAGE_BLOCK + r"token_mixer\.mixer\.(identity|conv_kxk)\."),
    Foreign("MetaFormer or PoolFormer", _STAGE_BLOCK + r"(res_scale[12]|layer_scale[12])\.scale$"),
    Foreign("GhostNet or RepGhostNet", r"^blocks\.[0-9]+\.[0-9]+\.ghost[0-9]\."),
    Foreign("RexNet", r"^features\.[0-9]+\.conv_(exp|pwl)\.bn\."),
    Foreign("LeViT", r"^stages\.[0-9]+\.blocks\.[0-9]+\.attn\.(qkv|q|kv)\.(ln|bn)\."),
    Foreign(
        "a vision transformer",
        r"(^|\.)(patch_embeds?[0-9]*|cls_token|class_token|pos_embed|class_embedding|dist_token)(\.|$)"
        r"|^blocks\.[0-9]+\.attn\.qkv\.weight$",
        unless=r"^stem_dct\.",  # CSATv2
    ),
    Foreign(
        "EfficientNet or MobileNet",
        r"^_?conv_stem\.|^features\.[0-9]+\.[0-9]+\.block\.[0-9]+\.|^features\.[0-9]+\.(block|conv)\.[0-9]+\."
        r"|^layers\.[0-9]+\.[0-9]+\.layers\.",
    ),
    Foreign("ShuffleNet", r"^stage[0-9]\.[0-9]+\.branch[12]\."),
    Foreign(
        "a video network (3-D convolutions) of another kind",
        r"\.weight$",
        ndim=5,
        unless=r"^layer1\.0\.conv1(\.0){0,2}\.weight$|^res2_0_branch2a_w$",  # networks of families: their own errors
    ),
    Foreign("NASNet or PNASNet", r"^cell_stem_[01]\."),
    Foreign(
        "Inception or GoogLeNet", r"Conv2d_1a|^inception[0-9]|^Mixed_[0-9]|^conv2d_1a|^features\.[0-9]+\.branch[0-9_]+"
    ),
    Foreign("Xception", r"^block[0-9]+\.(rep|skip)\.|^blocks\.[0-9]+\.stack\.conv[0-9]\."),
    Foreign("VGG, AlexNet or SqueezeNet", r"^features\.[0-9]+\.(weight|squeeze\.weight)$"),
    Foreign(
        "a network of 1-D convolutions (sound, ECG and other signals)",
        r"^([a-z]+\.)*(conv_?[01]?|stem\.0|first_\w*conv\w*)(\.conv|\.0)?\.weight$",
        ndim=3,
        without=4,
    ),
    Foreign("RAFT (optical flow)", r"^(feature_encoder|update_block)\."),
    Foreign("a net of Ultralytics (YOLO)", r"^(model\.)*[0-9]+\.(cv1|m\.[0-9]+)\."),
)

# Files, rather than networks.
_FILES = (
    Foreign(
        "a quantised network",
        r"_packed_params(\.|$)|(^|\.)zero_point$|^quant\.scale$|\.activation_post_process\.",
        advice=FLOATS,
    ),
    Foreign(
        "a network with a parametrisation of weights other than weight norm, spectral norm or pruning",
        r"(^|\.)parametrizations\.[^.]+\.original[0-9]*$",
        advice="Call torch.nn.utils.parametrize.remove_parametrizations(module, 'weight') on its modules before saving",
    ),
    Foreign("ResNet in the names of Caffe, or of Keras before 2.2", r"^res[2-5][a-z][0-9]*_branch[12]"),
    Foreign(
        "pre-activation ResNet of MXNet (ResNet v2)",
        r"^stage[0-9]_unit[0-9]+_(conv|bn)[0-9]_|^resnetv2[0-9]+_|^features\.[0-9]+\.[0-9]+\.bn1\.gamma$",
    ),
    Foreign("an ONNX export (BatchNorm folded, names lost)", r"^onnx::", advice=FLOATS),
    Foreign(
        "a network with adapters that were not merged (LoRA)",
        r"(^|\.)lora_[AB](\.|$)",
        advice="Merge them before saving, by `merge_and_unload()` where they are PEFT's",
    ),
    Foreign(
        "a file of arrays without names", r"^arr_[0-9]+$", advice="Save them by name: `numpy.savez(path, **state_dict)`"
    ),
)

FOREIGN: tuple[Foreign, ...] = (*_FILES, *_RESIDUAL, *_OTHERS)  # the first match counts

# For names that belong to no row: kinds of networks, and their names.
NEAREST: tuple[tuple[str, str], ...] = (
    ("torchvision's ResNet", r"^(conv1\.weight$|bn1\.|(layer[0-9]+\.[0-9]+\.(conv|bn|downsample)))"),
    ("timm's pre-activation ResNet", _STAGE_BLOCK + r"conv[0-9]\.weight$"),
)
