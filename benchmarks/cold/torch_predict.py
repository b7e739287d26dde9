"""torch without torchvision: its own ResNet-18, Pillow and NumPy.

Usage: torch_predict.py STATE_DICT IMAGE THREADS

The fastest start with torch: the modules are created on the meta device and adopt the file's tensors.
"""

import sys

import torch
from preprocess import preprocess
from torch import nn


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, in_channels, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or in_channels != channels:
            shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(channels))

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, channels, H/stride, W/stride)"""
        shortcut = x if self.downsample is None else self.downsample(x)
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu_())) + shortcut).relu_()


class ResNet18(nn.Module):
    """torchvision's ResNet-18, with its parameter names."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))
        self.fc = nn.Linear(512, 1000)

    def forward(self, x):
        """(N, 3, 224, 224) -> (N, 1000)"""
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu_(), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


torch.set_num_threads(int(sys.argv[3]))
with torch.device("meta"):
    model = ResNet18()
model.load_state_dict(torch.load(sys.argv[1], weights_only=True), assign=True)
model.eval()
with torch.inference_mode():
    logits = model(torch.from_numpy(preprocess(sys.argv[2])))
print(int(logits.argmax()))
