"""Suggestions for preprocessing and labels, the last decisions of a family's reading."""

from __future__ import annotations

from typing import Any

from npresnet.config import Decision


def suggested(preset: Any, note: str, classes: int | None, in_channels: int, **fields: Any) -> dict[str, Decision]:
    """`preset` for three channels, nothing for other numbers; ImageNet's labels for 1000 classes.

    fields  of the preset's decision: origin, alternatives
    """
    if in_channels != 3:
        why = f"no preset has {in_channels} channels: give mean and std"
        return {"preprocess": Decision(None, "default", why), "labels": Decision(None, "default")}
    return {
        "preprocess": Decision(preset, fields.get("origin", "default"), note, fields.get("alternatives", ())),
        "labels": Decision("imagenet" if classes == 1000 else None, "default"),
    }
