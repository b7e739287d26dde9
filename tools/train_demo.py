#!/usr/bin/env python3
"""Train the demo model that ships with npresnet: a CIFAR-10 ResNet-20.

The network is the one of He et al., "Deep Residual Learning for Image Recognition" (2015),
section 4.2: three stages of three basic blocks, 16, 32 and 64 channels wide, with parameter-free
shortcuts (option A). Its 0.27 M parameters fit in a package, and a two-core CPU trains it in well
under an hour.

Needs PyTorch and Pillow, which npresnet itself does not. The images come from `cifar10/train.tar`
and `cifar10/test.tar` under --data, 32x32 JPEGs named `<split>/<class>/<number>.jpg`.

The test accuracy is printed after every epoch to show progress, but it chooses nothing: what is
written is always the network as it stands after the last epoch.
"""

import argparse
import io
import json
import os
import shlex
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
PAD = 4  # pixels added on every side before the random crop
BATCH = 128


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut that has no weights of its own."""

    def __init__(self, in_planes, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride = stride
        self.extra = (planes - in_planes) // 2  # zero channels to add on either side

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.extra:
            x = x[:, :, :: self.stride, :: self.stride]
            x = F.pad(x, (0, 0, 0, 0, self.extra, self.extra))
        return F.relu(out + x)


class ResNet20(nn.Module):
    """The 20-layer CIFAR network; its keys are those of most published CIFAR checkpoints."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, 1)
        self.layer2 = self._stage(16, 32, 2)
        self.layer3 = self._stage(32, 64, 2)
        self.linear = nn.Linear(64, len(CLASSES))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    @staticmethod
    def _stage(in_planes, planes, stride):
        first = BasicBlock(in_planes, planes, stride)
        return nn.Sequential(first, *(BasicBlock(planes, planes, 1) for _ in range(2)))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def load_split(path):
    """Decode every JPEG of a tar file: (N, 32, 32, 3) uint8 pixels and (N,) labels.

    The images are sorted by name, so that a seed means the same order however the tar was packed.
    """
    samples = []
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".jpg"):
                data = archive.extractfile(member).read()
                pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
                samples.append((member.name, pixels))
    samples.sort(key=lambda sample: sample[0])
    labels = [CLASSES.index(name.split("/")[-2]) for name, _ in samples]
    return np.stack([pixels for _, pixels in samples]), torch.tensor(labels)


def normalise(pixels):
    """uint8 NHWC pixels to the float NCHW tensor the network takes.

    The permuted view already is in channels_last memory format, the fast one for convolutions here.
    """
    scaled = pixels.float().div_(255)
    return scaled.sub_(torch.tensor(MEAN)).div_(torch.tensor(STD)).permute(0, 3, 1, 2)


def augment(padded, index, generator):
    """Random 32x32 crops of the padded images at `index`, half of them mirrored.

    One gather for the whole batch: a Python loop over images would cost more than the network.
    """
    count = len(index)
    corner = torch.randint(0, 2 * PAD + 1, (2, count, 1), generator=generator)
    rows, columns = corner + torch.arange(32)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    return padded[index[:, None, None], rows[:, :, None], columns[:, None, :]]


def train_epoch(model, optimizer, schedule, padded, labels, generator, bf16):
    """One pass over the training images in random order; returns the mean loss."""
    model.train()
    order = torch.randperm(len(labels), generator=generator)
    batches = order.split(BATCH)[: len(labels) // BATCH]
    total = 0.0
    for index in batches:
        images = normalise(augment(padded, index, generator))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            scores = model(images)
        loss = F.cross_entropy(scores.float(), labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
    return total / len(batches)


@torch.no_grad()
def accuracy(model, pixels, labels):
    """Share of the images classified correctly in eval mode, always in float32."""
    model.eval()
    right = 0
    for images, truth in zip(pixels.split(500), labels.split(500), strict=True):
        right += (model(normalise(images)).argmax(1) == truth).sum().item()
    return right / len(labels)


def save(path, content):
    """torch.save that leaves either the old file or the new one, never half of one."""
    part = path.with_name(path.name + ".part")
    torch.save(content, part)
    part.replace(path)


def build(epochs, steps, lr):
    """The network, SGD with Nesterov momentum, and the one-cycle schedule."""
    model = ResNet20().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=epochs * steps, pct_start=0.2, cycle_momentum=False
    )
    return model, optimizer, schedule


def parse_args():
    default_data = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=0.2, help="peak of the one-cycle schedule")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo-model"),
        help="folder for demo.pth, demo.json and the checkpoint to resume from",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("NPRESNET_TEST_DATA", default_data)),
        help="folder that holds cifar10/ (default: $NPRESNET_TEST_DATA)",
    )
    parser.add_argument(
        "--float32", action="store_true", help="train in float32, not bfloat16 (half the speed on recent CPUs)"
    )
    return parser.parse_args()


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    # The name says which run it belongs to: another seed or schedule must never continue it.
    numbers = "float32" if args.float32 else "bfloat16"
    resume = args.out / f"resume-seed{args.seed}-epochs{args.epochs}-lr{args.lr:g}-{numbers}.pt"

    train_pixels, train_labels = load_split(args.data / "cifar10" / "train.tar")
    test_pixels, test_labels = load_split(args.data / "cifar10" / "test.tar")
    margin = ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0))
    padded = torch.from_numpy(np.pad(train_pixels, margin, mode="reflect"))
    test_pixels = torch.from_numpy(test_pixels)

    parts = build(args.epochs, len(train_labels) // BATCH, args.lr)
    model, optimizer, schedule = parts
    first, seconds = 0, 0.0
    if resume.exists():
        state = torch.load(resume, weights_only=True)
        first, seconds = state["epoch"], state["seconds"]
        for part, saved in zip(parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        print(f"resuming after epoch {first}", flush=True)

    for epoch in range(first, args.epochs):
        started = time.perf_counter()
        # Seeded per epoch, so that a resumed run draws what an unbroken one would have drawn.
        generator = torch.Generator().manual_seed(args.seed * 100_003 + epoch)
        loss = train_epoch(model, optimizer, schedule, padded, train_labels, generator, not args.float32)
        score = accuracy(model, test_pixels, test_labels)
        seconds += time.perf_counter() - started
        save(resume, {"epoch": epoch + 1, "seconds": seconds, "parts": [part.state_dict() for part in parts]})
        print(f"epoch {epoch + 1}/{args.epochs}  loss {loss:.4f}  test {score:.2%}  {seconds / 60:.1f} min", flush=True)

    save(args.out / "demo.pth", {"state_dict": model.state_dict()})
    record = {
        "test_accuracy": accuracy(model, test_pixels, test_labels),
        "test_images": len(test_labels),
        "classes": CLASSES,
        "seed": args.seed,
        "epochs": args.epochs,
        "minutes": round(seconds / 60, 1),
        "command": shlex.join(["python", *sys.argv]),
        "torch": torch.__version__,
    }
    (args.out / "demo.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
