"""Homes with networks of their own, written from their papers in tests/support: faces, CLIP, gates, clips, CIFAR."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kit.sweep.home_layouts import save
from benchmarks.kit.sweep.home_shapes import SMALL, made
from benchmarks.kit.sweep.homes import Case, Home
from benchmarks.kit.sweep.networks import ODD, random_images

SQUARE = (2, 64, 64)  # a number for each position


def of(module: str, name: str, *words: Any, **options: Any) -> Callable[[], Any]:
    """This class of tests/support."""
    return lambda: getattr(importlib.import_module(f"tests.support.{module}"), name)(*words, **options)


def plain(state: Mapping[str, Any]) -> Any:
    return state


def preact(
    home: str, act: str = "relu", sizes: tuple[int, int, int] = SMALL, *, bottleneck: bool = False, **told: Any
) -> Home:
    def make() -> Any:
        import torch

        from tests.support.torch_preact import PreActNet

        return PreActNet(home, act=getattr(torch.nn.functional, act), bottleneck=bottleneck)

    return made(make, sizes=sizes, **told)


def detect_and_track(bottleneck: bool) -> Home:
    """The body up to res4 or res5, pooled, as its blobs."""

    def home(folder: Path) -> Case:
        import torch

        from tests.support import torch_clips

        tensors = torch_clips.detect_and_track((1, 1, 1, 1), bottleneck=bottleneck)
        x = random_images(ODD, True, 4)
        sums = torch_clips.run_detect_and_track(tensors, x)
        state = {name: torch.from_numpy(array) for name, array in tensors.items()}
        exact = np.asarray(sums["res5_0_sum"].mean(axis=(2, 3, 4)))
        return Case(save(folder / "model_final.pkl", {"blobs": state}), x, exact)

    return home


NETWORKS: Mapping[str, Home] = {
    "OpenAI's CLIP, its tower for images": made(of("torch_blocks", "ClipNet"), plain, sizes=SQUARE),
    "insightface (arcface_torch)": made(of("torch_blocks", "FaceNet"), plain, sizes=SQUARE),
    "IBN-Net a": made(of("torch_blocks", "Net", "ibn a"), plain),
    "IBN-Net b": made(of("torch_blocks", "Net", "ibn b"), plain),
    "CBAM": made(of("torch_blocks", "Net", "cbam"), plain),
    "pytorch-cifar, PreActResNet": preact("pytorch-cifar"),
    "RobustBench, PreActResNet": preact("robustbench", preactivation="branch"),
    "bearpaw, PreActResNet": preact("bearpaw", bottleneck=True),
    "weiaicunzai, PreActResNet": preact("weiaicunzai"),
    "Wide ResNet of xternalz, TRADES": preact("xternalz"),
    "Wide ResNet of meliketoy": preact("meliketoy"),
    "Wide ResNet of DeepMind, SiLU": preact("deepmind", "silu", (2, 32, 32)),
    "Wide ResNet of DeepMind, ReLU": preact("deepmind", "relu", (2, 32, 32), activation="relu"),
    "3D-ResNets-PyTorch": made(of("torch_clips", "Hara", (1, 1, 1, 1)), clips=True),
    "3D-ResNets-PyTorch, shortcut A": made(of("torch_clips", "Hara", (1, 1, 1, 1), shortcut="A"), clips=True),
    "Detect-and-Track, basic blocks": detect_and_track(False),
    "Detect-and-Track, Bottlenecks": detect_and_track(True),
}
