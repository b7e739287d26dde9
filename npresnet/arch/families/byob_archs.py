"""timm's ResNets of configured blocks: the published configurations, and the options that these give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from npresnet.arch.family import Options
from npresnet.arch.residual.attention import reduced


class Stage(NamedTuple):
    """Blocks of one kind: `depth` of them with `channels`, inside them `ratio` as many in groups of `group_size`."""

    kind: str
    depth: int
    channels: int
    stride: int
    group_size: int = 0
    ratio: float = 1.0


def net(
    stages: Sequence[Stage],
    stem: Sequence[int],
    *,
    activation: str = "silu",
    attention: str = "none",
    head: str = "linear",
    **others: Any,
) -> Options:
    """The options of a configuration; `others` replace the defaults."""
    usual = {"final": 0, "extra_conv": False, "downsample": "conv", "stem_plain": 0, "stem_pool": "none"}
    inside = [reduced(stage.channels * stage.ratio) for stage in stages]
    return {
        "blocks": [stage.kind for stage in stages],
        "layers": [stage.depth for stage in stages],
        "channels": [stage.channels for stage in stages],
        "inside": inside,
        "group_size": [s.group_size if s.group_size != width else 0 for s, width in zip(stages, inside, strict=True)],
        "stem_widths": list(stem),
        **{**usual, **others},
        "attention": attention,
        "head_type": head,
        "stage_strides": [stage.stride for stage in stages],
        "activation": activation,
        "antialias": "avg" if others.get("stem_pool") == "avg2" else "none",
    }


def _bottles(depths: Sequence[int], channels: Sequence[int], group_size: int = 0) -> list[Stage]:
    """Bottlenecks of a quarter of the channels; all stages but the first stride."""
    return [
        Stage("bottle", depth, width, 2 if i else 1, group_size, 0.25)
        for i, (depth, width) in enumerate(zip(depths, channels, strict=True))
    ]


RESNET, T33 = (256, 512, 1024, 2048), (256, 512, 1536, 1536)
TIERED, QUAD = (24, 32, 64), (16, 32, 64, 128)
LAST = Stage("bottle", 4, 1536, 2, 1, 1.0)  # depthwise


def _clip(depths: Sequence[int], factor: float = 1.0, head: str = "attention", **others: Any) -> Options:
    stages = _bottles(depths, [int(width * factor) for width in RESNET])
    stem = [int(width * factor) for width in (32, 32, 64)]
    pools = {"downsample": "avg", "stem_pool": "avg2"}
    return net(stages, stem, activation="relu", head=head, **pools, **others)


_R26, _R33, _R50 = _bottles((2,) * 4, RESNET, 32), _bottles((2, 3, 3, 2), T33), (3, 4, 6, 3)
_MAX = {"stem_pool": "max"}


def _gernet(body: Sequence[Stage], stem: int, final: int) -> Options:
    return net(body, [stem], activation="relu", final=final)


_GERNET = [Stage("basic", 1, 128, 2), Stage("basic", 2, 192, 2), Stage("bottle", 6, 640, 2, 0, 0.25)]
_SMALL = [Stage("basic", 1, 48, 2), Stage("basic", 3, 48, 2), Stage("bottle", 7, 384, 2, 0, 0.25)]

ARCHS: Mapping[str, Options] = {
    "gernet_l": _gernet([*_GERNET, Stage("bottle", 5, 640, 2, 1, 3), Stage("bottle", 4, 640, 1, 1, 3)], 32, 2560),
    "gernet_m": _gernet([*_GERNET, Stage("bottle", 4, 640, 2, 1, 3), Stage("bottle", 1, 640, 1, 1, 3)], 32, 2560),
    "gernet_s": _gernet([*_SMALL, Stage("bottle", 2, 560, 2, 1, 3), Stage("bottle", 1, 256, 1, 1, 3)], 13, 1920),
    "resnet51q": net([*_bottles((2, 4, 6), T33[:3], 32), LAST], QUAD, final=2048, stem_plain=2),
    "resnet61q": net(
        [Stage("edge", 1, 256, 1), *_bottles((0, 4, 6), T33[:3], 32)[1:], LAST], QUAD, final=2048, extra_conv=True
    ),
    "resnext26ts": net(_R26, TIERED, **_MAX),
    "gcresnext26ts": net(_R26, TIERED, attention="gc", **_MAX),
    "seresnext26ts": net(_R26, TIERED, attention="se", **_MAX),
    "eca_resnext26ts": net(_R26, TIERED, attention="eca", **_MAX),
    "resnet32ts": net(_R33, TIERED),
    "resnet33ts": net(_R33, TIERED, final=1280),
    "gcresnet33ts": net(_R33, TIERED, final=1280, attention="gc"),
    "seresnet33ts": net(_R33, TIERED, final=1280, attention="se"),
    "eca_resnet33ts": net(_R33, TIERED, final=1280, attention="eca"),
    "gcresnet50t": net(_bottles(_R50, RESNET), TIERED, activation="relu", attention="gc"),
    "gcresnext50ts": net(_bottles(_R50, RESNET, 32), TIERED, attention="gc", **_MAX),
    "resnet50_clip": _clip(_R50, embedding=1024, image_size=224),
    "resnet101_clip": _clip((3, 4, 23, 3), embedding=512, image_size=224),
    "resnet50x4_clip": _clip((4, 6, 10, 6), 1.25, embedding=640, image_size=288),
    "resnet50x16_clip": _clip((6, 8, 18, 8), 1.5, embedding=768, image_size=384),
    "resnet50x64_clip": _clip((3, 15, 36, 10), 2.0, embedding=1024, image_size=448),
    "resnet50_clip_gap": _clip(_R50, head="linear"),
    "resnet101_clip_gap": _clip((3, 4, 23, 3), head="linear"),
    "resnet50x4_clip_gap": _clip((4, 6, 10, 6), 1.25, head="linear"),
    "resnet50x16_clip_gap": _clip((6, 8, 18, 8), 1.5, head="linear"),
    "resnet50x64_clip_gap": _clip((3, 15, 36, 10), 2.0, head="linear"),
    "resnet50_mlp": _clip(_R50, head="mlp"),
    "test_byobnet": net(
        [
            Stage("edge", 1, 32, 2, 0, 0.5),
            Stage("dark", 1, 64, 2, 0, 0.5),
            Stage("basic", 1, 128, 2, 32, 0.25),
            Stage("bottle", 1, 256, 2, 64, 0.25),
        ],
        [24],
        activation="relu",
        attention="se",
        downsample="avg",
        reduction=0.25,
    ),
}
