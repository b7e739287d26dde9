"""`npresnet cam`: class activation maps over the photos, at the photos' own sizes."""

from __future__ import annotations

import errno
import io
import os
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from npresnet.cli.paths import ImagePaths, progress_of
from npresnet.cli.shared import FAILED, FINE, complain, misuse, model_of
from npresnet.errors import ImageError
from npresnet.model.one_class import class_index
from npresnet.system.files import real_path, replacing, require_replaceable
from npresnet.system.signals import raise_signals
from npresnet.system.text import visible
from npresnet.views.cam import find_head

if TYPE_CHECKING:
    from npresnet.model.model import Model

NAME = "{name}"
ENDING = "-cam.png"
OF_ONE_NAME = (errno.ENAMETOOLONG, errno.EISDIR)  # what is wrong with one map's place, and not with all


def cam(args: Namespace) -> int:
    """Write each photo blended with a class activation map. Of several, those that fail are reported."""
    paths = ImagePaths.of(args)
    paths.list_all()  # none of them may be overwritten, nor the last one by the first one's map
    if paths.is_empty:
        return FAILED
    targets = Targets(args.output, paths)
    with model_of(args) as model:
        find_head(model.network)  # without one there are no maps
        index = None if args.index is None else class_index(args.index, model.labels, f"--index {args.index}")
        bar = progress_of(paths)
        count = 0
        try:
            for source in paths:
                count += _map(source, paths, targets, model, index, args.max_pixels)
                if bar is not None:
                    bar.update()
        finally:
            if bar is not None:
                bar.close()
    return FAILED if paths.failures or not count else FINE


class Targets:
    """Where each map is written: one file; a folder, as NAME-cam.png; or a pattern with {name}.

    Ends the process where several images would be written to one file. Raises ImageError for a suffix of no picture,
    OSError for a place that cannot be written. Names that are taken in this run get -2, -3, ...
    """

    def __init__(self, output: str, paths: ImagePaths):
        self._is_folder = output.endswith(("/", os.sep)) or os.path.isdir(output)
        if paths.total != 1 and not self._is_folder and NAME not in os.path.basename(output):
            misuse(
                f"there may be several images, and {visible(output)} is one file; pass a folder, as in -o maps/, or a "
                f"pattern with {NAME}, such as -o '{NAME}{ENDING}'"
            )
        self._output = os.path.join(output, f"{NAME}{ENDING}") if self._is_folder else output
        self._sources = {real_path(file) for file in paths.files}
        self._taken: set[str] = set()
        if self._is_folder:
            os.makedirs(output, exist_ok=True)
        folder, name = os.path.split(self._output)
        if not name.endswith(NAME):  # which may bring a suffix
            _format(self._output)
        if NAME not in folder:
            require_replaceable(self._output)

    def of(self, name: str) -> str:
        """The file for an image. Raises ImageError where that is one of the images."""
        stem = "stdin" if name == "-" else os.path.splitext(os.path.basename(os.path.normpath(name)))[0]
        target = first = self._output.replace(NAME, stem)
        number = 1
        while os.path.normcase(target) in self._taken:
            number += 1
            target = f"-{number}".join(os.path.splitext(first))
        self._taken.add(os.path.normcase(target))
        if real_path(target) in self._sources:
            raise ImageError(f"{visible(target)} is one of the images, and would be overwritten; choose another name")
        return target


def _map(source: Any, paths: ImagePaths, targets: Targets, model: Model, index: int | None, limit: int | None) -> bool:
    """Write one image's map; False where it failed, which is reported, or raised where it is the only one."""
    from npresnet import images
    from npresnet.views import overlay

    try:
        target = targets.of(paths.name(source))
        how = images.preset(model.config["preprocess"].value)
        photo = images.read(source, exif=how.exif, max_pixels=limit)
        photo.filename = paths.name(source)  # type: ignore[attr-defined]  # for messages
        seen = source if how.draft else photo  # read once, so that what is odd about it is said once
        prediction = model.predict(seen, top=1)
        chosen = prediction.index if index is None else index
        heat = model.cam(seen, chosen)  # (H, W) of the crop
        box = images.crop_in_photo(photo.size, how)
        _write_picture(target, overlay.on_photo(photo, heat, box))
    except ImageError as error:
        if paths.total == 1:
            raise
        paths.outcome(source, error)
        return False
    label = visible(model.labels[chosen]) if model.labels else str(chosen)
    shown, score = visible(paths.name(source)), prediction.probabilities[chosen]
    complain(f"wrote {visible(target)}: where {shown} looks like {label} (probability {score:.2%})")
    return True


def _write_picture(path: str, picture: Any) -> None:
    data, kind = io.BytesIO(), _format(path)
    try:
        picture.save(data, kind)
    except (OSError, ValueError, KeyError) as error:
        raise_signals(error)
        raise ImageError(f"{visible(path)}: this image cannot be written as {kind}: {error}; use .png") from error
    try:
        with replacing(path) as file:
            file.write(data.getvalue())
    except OSError as error:
        if error.errno not in OF_ONE_NAME:
            raise
        raise ImageError(f"{visible(path)}: {error.strerror}; choose another name for this map") from error


def _format(path: str) -> str:
    """Pillow's name for the format that a suffix means. Raises ImageError where it is none that can be written."""
    from PIL import Image

    kind = Image.registered_extensions().get(os.path.splitext(path)[1].lower())
    if kind is None or kind not in Image.SAVE:
        raise ImageError(f"{visible(path)}: unsupported extension for an image; use .png, .jpg or similar")
    return kind
