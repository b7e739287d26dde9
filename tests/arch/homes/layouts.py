"""Other homes' state dicts of small networks, made from ours by each home's documented layout."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from tests.arch.fabric import Tensors, basic_net, bottleneck_net

BLOCK = re.compile(r"layer(\d+)\.(\d+)\.(.*)")


def numbered(tensors: Tensors, seed: int = 0) -> Tensors:
    """The same names and shapes, every number another; variances are positive."""
    rng = np.random.default_rng(seed)
    return {
        name: array if array.dtype.kind != "f" else rng.uniform(0.5, 1.5, array.shape).astype(np.float32)
        for name, array in tensors.items()
    }


def basic(**options) -> Tensors:
    return numbered(basic_net((2, 1, 2, 1), **options))


def bottleneck(**options) -> Tensors:
    return numbered(bottleneck_net((1, 2, 1, 2), **options))


def named(tensors: Tensors, stem: dict[str, str], block: Callable[[int, int, str], str]) -> Tensors:
    """Other names: `stem` maps the starts of names outside the stages, `block` (stage, number, rest) the others."""
    found = {}
    for name, array in tensors.items():
        inside = BLOCK.fullmatch(name)
        if inside:
            found[block(int(inside[1]), int(inside[2]), inside[3])] = array
        else:
            start = next((old for old in stem if name.startswith(old)), "")
            found[stem.get(start, "") + name[len(start) :]] = array
    assert len(found) == len(tensors)
    return found


def transformers(tensors: Tensors) -> Tensors:
    def block(stage, number, rest):
        rest = re.sub(r"^conv(\d)", lambda m: f"layer.{int(m[1]) - 1}.convolution", rest)
        rest = re.sub(r"^bn(\d)", lambda m: f"layer.{int(m[1]) - 1}.normalization", rest)
        rest = rest.replace("downsample.0", "shortcut.convolution").replace("downsample.1", "shortcut.normalization")
        return f"resnet.encoder.stages.{stage - 1}.layers.{number}.{rest}"

    embedder = "resnet.embedder.embedder."
    return named(
        tensors, {"conv1": f"{embedder}convolution", "bn1": f"{embedder}normalization", "fc": "classifier.1"}, block
    )


def mmaction(tensors: Tensors) -> Tensors:
    def block(stage, number, rest):
        rest = re.sub(r"^(conv|bn)(\d)", r"conv\2.\1", rest)
        rest = rest.replace("downsample.0", "downsample.conv").replace("downsample.1", "downsample.bn")
        return f"layer{stage}.{number}.{rest}"

    return named(tensors, {"conv1": "conv1.conv", "bn1": "conv1.bn", "fc": "fc"}, block)


def detectron2(tensors: Tensors) -> Tensors:
    def block(stage, number, rest):
        rest = re.sub(r"^bn(\d)", r"conv\1.norm", rest)
        rest = rest.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        return f"res{stage + 1}.{number}.{rest}"

    return named(tensors, {"conv1": "stem.conv1", "bn1": "stem.conv1.norm", "fc": "linear"}, block)


def nvidia(tensors: Tensors) -> Tensors:
    return named(tensors, {}, lambda stage, number, rest: f"layers.{stage - 1}.{number}.{rest}")


def pytorch_cifar100(tensors: Tensors) -> Tensors:
    def block(stage, number, rest):
        rest = re.sub(r"^conv(\d)", lambda m: f"residual_function.{3 * (int(m[1]) - 1)}", rest)
        rest = re.sub(r"^bn(\d)", lambda m: f"residual_function.{3 * (int(m[1]) - 1) + 1}", rest)
        return f"conv{stage + 1}_x.{number}.{rest.replace('downsample', 'shortcut')}"

    return named(tensors, {"conv1": "conv1.0", "bn1": "conv1.1"}, block)


def children(tensors: Tensors, first: int = 4) -> Tensors:
    """nn.Sequential(*model.children()) with the classifier's module at 5 after the first stage's."""
    stem = {"conv1": "0", "bn1": "1", "fc": str(first + 5)}
    return named(tensors, stem, lambda stage, number, rest: f"{first + stage - 1}.{number}.{rest}")


def _paddles_own(tensors: Tensors) -> Tensors:
    """Statistics' names, no counters, and the classifier as (in_features, out_features)."""
    kept = {name: array for name, array in tensors.items() if not name.endswith("num_batches_tracked")}
    kept |= {name: array.T for name, array in kept.items() if name == "fc.weight"}
    roles = {"running_mean": "_mean", "running_var": "_variance"}
    return {re.sub("running_(mean|var)$", lambda m: roles[m[0]], name): array for name, array in kept.items()}


def paddle_vision(tensors: Tensors) -> Tensors:
    return _paddles_own(tensors)


def paddleclas_old(tensors: Tensors) -> Tensors:
    def block(stage, number, rest):
        rest = re.sub(r"^conv(\d)", lambda m: f"conv{int(m[1]) - 1}._conv", rest)
        rest = re.sub(r"^bn(\d)", lambda m: f"conv{int(m[1]) - 1}._batch_norm", rest)
        rest = rest.replace("downsample.0", "short._conv").replace("downsample.1", "short._batch_norm")
        return f"bb_{stage - 1}_{number}.{rest}"

    return named(_paddles_own(tensors), {"conv1": "conv._conv", "bn1": "conv._batch_norm", "fc": "out"}, block)


def paddleclas(tensors: Tensors) -> Tensors:
    depths = [len({m[2] for m in map(BLOCK.fullmatch, tensors) if m and int(m[1]) == stage}) for stage in (1, 2, 3, 4)]

    def block(stage, number, rest):
        rest = re.sub(r"^conv(\d)", lambda m: f"conv{int(m[1]) - 1}.conv", rest)
        rest = re.sub(r"^bn(\d)", lambda m: f"conv{int(m[1]) - 1}.bn", rest)
        rest = rest.replace("downsample.0", "short.conv").replace("downsample.1", "short.bn")
        return f"blocks.{sum(depths[: stage - 1]) + number}.{rest}"

    return named(_paddles_own(tensors), {"conv1": "stem.0.conv", "bn1": "stem.0.bn"}, block)
