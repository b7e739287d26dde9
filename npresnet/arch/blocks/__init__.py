"""Kinds of blocks beside BasicBlock and Bottleneck: one file each, with the branch that a block adds to its shortcut.

selective         selective kernels (SK): paths of several dilations, and a softmax over them
split_attention   ResNeSt: channels in `radix` splits, and a softmax over them; an average pool that strides
res2              Res2Net: a 3x3 convolution for each part of the channels, each reads the part before it as well
mixed_norm        IBN: InstanceNorm on half of the channels, or after the addition

A family gives the branches of its blocks to `residual.build_residual`.
"""
