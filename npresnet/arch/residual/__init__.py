"""Residual networks with stages of blocks, as torchvision, timm and most others build them.

layout, options   the complete description without weights; the caller's options
reading           what names and shapes of tensors tell of it
build             from a layout to layers: stem, blocks with their branches, head
stem, shortcut    the first convolutions and the pool; what is added to a branch
attention, attention_maps, attention_pool    gates of channels and positions in a block; CLIP's pool at the end
blocks            kinds of blocks beside BasicBlock and Bottleneck
"""
