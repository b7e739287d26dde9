"""Configurations beside a weight file: timm's and transformers' `config.json`, and `preprocessor_config.json`.

- A folder's configuration belongs to the files that these libraries write, `model.safetensors`, `pytorch_model.bin` and
  their shards. A file of another name has it only if no other weight file is there.
- timm: `architecture`; `pretrained_cfg`, or the same entries at the top level, with `input_size`, `crop_pct`, `mean`,
  `std`, `interpolation`; `label_names` with `label_descriptions`. The short side is resized to
  floor(input_size / crop_pct), then the centre is cropped.
- transformers: `model_type`, `id2label`, and for its ResNets `layer_type`, `depths`, `hidden_sizes`,
  `downsample_in_first_stage`, `downsample_in_bottleneck` (the stride is on the 1x1 convolution) and `hidden_act`.
- `preprocessor_config.json`: `size`, `image_mean`, `image_std`, `resample` (Pillow's number), and `crop_size` with
  `do_center_crop`; or `crop_pct` (ConvNextImageProcessor, which ResNets have): below 384 pixels the short side is
  resized to int(size / crop_pct) and the centre cropped to size, from 384 on the picture is squeezed to size x size.

Other JSON files of these names are ignored; ones that should be read but cannot be are named in a note.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from npresnet.errors import CheckpointError
from npresnet.weights.budget import Budget
from npresnet.weights.safetensors import parse_json
from npresnet.weights.source import Span

if TYPE_CHECKING:
    from npresnet.weights.facts import Facts

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
_LIBRARY = re.compile(r"(model|pytorch_model)([-.].*)?\.(safetensors|bin)")
_WEIGHTS = (".pth", ".pt", ".th", ".tar", ".ckpt", ".bin", ".safetensors", ".npz", ".pkl")
_MAX_BYTES = 16 << 20
_RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # by Pillow's numbers
_LEAST_SHARE = 1e-3  # 1/255 is one
_CONVNEXT_SQUEEZES_FROM = 384
_CONVNEXT_CROP = 224 / 256
_TIMM_CROP = 0.875
_NETWORK = (
    "model_type", "architectures", "layer_type", "depths", "hidden_sizes", "embedding_size", "num_channels",
    "downsample_in_first_stage", "downsample_in_bottleneck", "hidden_act", "global_pool", "model_args", "in_chans",
)  # fmt: skip


def read_beside(facts: Facts, files: list[str]) -> None:
    """Record what the configurations beside a weight file say.

    files  the file's path, or those of its shards
    """
    folder = os.path.dirname(files[0])
    present = [name for name in (CONFIG, PREPROCESSOR) if os.path.isfile(os.path.join(folder, name))]
    if present and not _belongs(folder, {os.path.basename(file) for file in files}):
        facts.notes.append(f"{' and '.join(present)} beside it may belong to another weight file; not used")
        return
    for name in present:
        try:
            settings = _read(os.path.join(folder, name))
        except CheckpointError as error:
            facts.notes.append(f"{name} beside it was ignored: {error}")
            continue
        if name == PREPROCESSOR:
            _read_processor(facts, settings)
        elif isinstance(settings.get("architecture"), str):
            _read_timm(facts, settings)
        elif isinstance(settings.get("model_type"), str):
            _read_transformers(facts, settings)


def _belongs(folder: str, files: set[str]) -> bool:
    if all(_LIBRARY.fullmatch(file) for file in files):
        return True
    try:
        with os.scandir(folder or ".") as entries:
            return not any(e.name.lower().endswith(_WEIGHTS) and e.name not in files for e in entries)
    except OSError:
        return False


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise CheckpointError(f"it cannot be read ({error.strerror}).") from None
    if len(raw) > _MAX_BYTES:
        raise CheckpointError(f"it is larger than {_MAX_BYTES >> 20} MiB.")
    return parse_json(Span(raw, 0, len(raw)), "it", Budget(len(raw)))


# --- config.json -----------------------------------------------------------------------------------------------------


def _read_timm(facts: Facts, settings: Mapping[str, Any]) -> None:
    trained = settings.get("pretrained_cfg")
    cfg = {**(trained if isinstance(trained, dict) else {}), **settings}
    facts.say_arch(settings["architecture"], f"{CONFIG}: architecture")
    _read_count(facts, cfg.get("num_classes"), "num_classes")
    _say_network(facts, settings)
    names = cfg.get("label_names", cfg.get("labels"))
    descriptions = cfg.get("label_descriptions")
    if isinstance(names, list) and isinstance(descriptions, dict):
        names = [descriptions.get(name, name) if isinstance(name, str) else name for name in names]
    if names:
        facts.say_labels(names, f"{CONFIG}: label_names")
    size, crop = cfg.get("input_size"), cfg.get("crop_pct") or _TIMM_CROP
    if size is None or not _is_shape(size) or not _is_share(crop) or cfg.get("crop_mode") not in (None, "center"):
        return
    channels, height, width = size
    fields = {"mean": cfg.get("mean"), "std": cfg.get("std"), "interpolation": cfg.get("interpolation") or "bicubic"}
    fields = {name: value for name, value in fields.items() if value is not None}
    resize: Any = [math.floor(height / crop), math.floor(width / crop)]
    if height != width:
        facts.notes.append(f"{CONFIG}: images of {height} x {width} pixels; its resizing was not taken over")
    else:
        fields |= {"resize": resize[0], "crop": height}
    if channels in (1, 3):
        facts.say("preprocess", fields, CONFIG)


def _read_transformers(facts: Facts, settings: Mapping[str, Any]) -> None:
    _say_network(facts, settings)
    if settings.get("id2label") and not _is_placeholder(settings["id2label"]):
        facts.say_labels(settings["id2label"], f"{CONFIG}: id2label")
    _read_count(facts, settings.get("num_labels"), "num_labels")
    if settings["model_type"] != "resnet":
        return
    options: dict[str, Any] = {}
    if settings.get("layer_type") == "bottleneck" and isinstance(settings.get("downsample_in_bottleneck"), bool):
        options["stride_on"] = "1x1" if settings["downsample_in_bottleneck"] else "3x3"
    if isinstance(settings.get("hidden_act"), str) and settings["hidden_act"] != "relu":
        options["activation"] = settings["hidden_act"]
    if options:
        facts.say("options", options, CONFIG)


def _say_network(facts: Facts, settings: Mapping[str, Any]) -> None:
    network = {name: settings[name] for name in _NETWORK if name in settings}
    if network:
        facts.say("network", network, CONFIG)


def _read_count(facts: Facts, count: Any, key: str) -> None:
    if type(count) is int and 0 < count < 10**6:
        facts.say("num_classes", count, f"{CONFIG}: {key}")


def _is_placeholder(names: Any) -> bool:
    """transformers fills in LABEL_0, LABEL_1, ... where nobody gave names."""
    return isinstance(names, dict) and all(str(name).startswith("LABEL_") for name in list(names.values())[:10])


# --- preprocessor_config.json ----------------------------------------------------------------------------------------


def _read_processor(facts: Facts, settings: Mapping[str, Any]) -> None:
    fields = _processor_fields(settings)
    if fields is None:
        facts.notes.append(f"{PREPROCESSOR} beside it was ignored: it asks for steps that npresnet does not know")
        return
    facts.found.pop("preprocess", None)  # it describes this step alone, so it wins over config.json
    facts.say("preprocess", fields, PREPROCESSOR)


def _processor_fields(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    fields: dict[str, Any] = {"mean": settings.get("image_mean"), "std": settings.get("image_std")}
    if settings.get("do_normalize") is False:
        fields = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    if any(value is None for value in fields.values()):
        return None
    factor = settings.get("rescale_factor", 1 / 255)
    if settings.get("do_rescale") is False or not _is_share(factor) or not math.isclose(factor, 1 / 255, rel_tol=1e-3):
        return None
    resample = settings.get("resample", 2)
    if type(resample) is not int or not 0 <= resample < len(_RESAMPLE):
        return None
    sizes = _sizes(settings)
    return None if sizes is None else {**fields, "interpolation": _RESAMPLE[resample], **sizes}


def _sizes(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """resize and crop; None where their meaning is unknown."""
    size = _side(settings.get("size"), square=False)
    crop = _side(settings.get("crop_size"), square=True) if settings.get("do_center_crop") else None
    if settings.get("do_center_crop") and crop is None:
        return None
    if settings.get("do_resize") is False:
        return {"resize": None, "crop": crop}
    if size is None:
        return None
    kind = str(settings.get("image_processor_type", settings.get("feature_extractor_type", "")))
    if "crop_pct" in settings or "ConvNext" in kind:
        share = settings.get("crop_pct") or _CONVNEXT_CROP
        if not isinstance(size, int) or not _is_share(share):
            return None
        if size >= _CONVNEXT_SQUEEZES_FROM:
            return {"resize": [size, size], "crop": None}
        return {"resize": int(size / share), "crop": size}
    return {"resize": size, "crop": crop}


def _side(size: Any, *, square: bool) -> Any:
    """An int for the short side (or a square's), [height, width] for both; None for anything else."""
    if isinstance(size, Mapping):
        if "shortest_edge" in size and len(size) == 1:
            return _side(size["shortest_edge"], square=square)
        pair = [size.get("height"), size.get("width")]
        return pair if all(type(side) is int and side > 0 for side in pair) else None
    return size if type(size) is int and size > 0 else None


def _is_shape(size: Any) -> bool:
    return isinstance(size, (list, tuple)) and len(size) == 3 and all(type(n) is int and 0 < n < 10**5 for n in size)


def _is_share(value: Any) -> bool:
    """A number by which a side may be divided: one near 0 would make it infinite."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and _LEAST_SHARE <= value <= 2
