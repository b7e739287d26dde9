"""Hugging Face transformers' `ResNetModel` and `ResNetForImageClassification`.

resnet.embedder.embedder.{convolution,normalization}                        conv1, bn1
resnet.encoder.stages.<i-1>.layers.<j>.layer.<k-1>.{convolution,normalization}   layer<i>.<j>.{conv,bn}<k>
resnet.encoder.stages.<i-1>.layers.<j>.shortcut.{convolution,normalization}      layer<i>.<j>.downsample.{0,1}
classifier.1                                                                its own name, beside the network
"""

from __future__ import annotations

from npresnet.arch.homes.home import Home

RENAMED = (
    (r"^embedder\.embedder\.convolution\.", "conv1."),
    (r"^embedder\.embedder\.normalization\.", "bn1."),
    *((rf"^encoder\.stages\.{i - 1}\.layers\.", f"layer{i}.") for i in (1, 2, 3, 4, 5, 6)),
    *((rf"\.layer\.{k - 1}\.convolution\.", f".conv{k}.") for k in (1, 2, 3)),
    *((rf"\.layer\.{k - 1}\.normalization\.", f".bn{k}.") for k in (1, 2, 3)),
    (r"\.shortcut\.convolution\.", ".downsample.0."),
    (r"\.shortcut\.normalization\.", ".downsample.1."),
)

TRANSFORMERS = Home(
    home="Hugging Face transformers",
    marks=("embedder.embedder.convolution.weight", "encoder.stages.0.layers.0.layer."),
    renamed=RENAMED,
    among=r"^(?!(.*\.)?regnet\.$)",  # its RegNets have the same names
)
