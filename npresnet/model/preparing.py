"""`prepare`: write a weight file's prepared weights now, rather than when it is loaded for the second time."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from npresnet import cpu, passes
from npresnet.cpu.compiler.prepared import Store
from npresnet.cpu.compiler.prepared_folder import LIMIT_BYTES, VARIABLE, folder
from npresnet.errors import DeviceError, NpresnetError
from npresnet.model.decisions import PreprocessLike
from npresnet.model.finding import StrPath, find_file
from npresnet.model.interpreting import Loaded, interpret
from npresnet.model.runtime import decide_runtime
from npresnet.system.cache import CACHE_VARIABLE
from npresnet.system.settings import quiet
from npresnet.system.stamp import settle


@quiet
def prepare(
    source: StrPath,
    *,
    input_size: Sequence[int] | None = None,
    batch_size: int = 1,
    arch: str | None = None,
    preprocess: PreprocessLike = None,
    key: str | None = None,
    threads: int | None = None,
    fast: bool = False,
    winograd: bool = True,
    **options: Any,
) -> Path:
    """Write the prepared weights of a file (or name) to the user's cache: later loads on this CPU start faster.

    Prepared weights take one or two times the file's size. Nothing is ever wrong without them.

    Parameters
    ----------
    source : path or str
        As for `load`.
    input_size : tuple of int, optional
        (C, H, W) of a preprocessed image, (C, T, H, W) of a clip; by default the model's.
    batch_size : int
        Number of images in a call. Other sizes and batches share most of what is prepared.
    arch, preprocess, key, threads, fast, winograd, **options
        As for `load`, and as they will be given to it.

    Returns
    -------
    Path
        The file that was written, or found.

    Raises
    ------
    DeviceError
        Nothing can be written.
    NpresnetError
        The errors of `load`.
    """
    path = find_file(source)
    with contextlib.suppress(OSError):  # the reader raises the error
        settle(path)
    loaded = interpret(path, arch, None, preprocess, options, key)
    runtime = decide_runtime("cpu", "float32", threads, fast=fast, winograd=winograd)
    return _prepare(loaded, (batch_size, *(input_size or loaded.input_size)), runtime)


def prepare_if_possible(source: StrPath) -> None:
    """`prepare` with its defaults; does nothing where that fails, or prepared weights are disabled."""
    if folder() is not None:
        with contextlib.suppress(NpresnetError):
            prepare(source)


def _prepare(loaded: Loaded, shape: tuple[int, ...], runtime: Mapping[str, Any]) -> Path:
    place = folder()
    if place is None:
        raise DeviceError(f"prepared weights are disabled: {VARIABLE} is 0, or there is no home folder")
    assert loaded.content is not None
    store = Store(place, loaded.content, always=True)
    given = {name: runtime[name].value for name in ("threads", "fast", "winograd") if name in runtime}
    executable = cpu.compile(passes.optimize(loaded.network), **given, store=store)
    try:
        executable.prepack(shape)
    finally:
        executable.close()
    if store.file is None:
        raise DeviceError(
            f"the prepared weights were not written: {store.problem or 'this network has none'}. They are kept in "
            f"{place}, at most {LIMIT_BYTES / 1e6:,.0f} MB; {CACHE_VARIABLE} moves it"
        )
    return store.file
