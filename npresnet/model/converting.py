"""`convert`: write what `load` would read to an `.npz` that needs no further options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from npresnet import weights
from npresnet.model.ambiguity import warn_of_ambiguity
from npresnet.model.decisions import Labels, PreprocessLike
from npresnet.model.finding import StrPath, find_source
from npresnet.model.inputs import npz_path
from npresnet.model.interpreting import interpret
from npresnet.system.settings import quiet


@quiet
def convert(
    source: weights.Readable,
    destination: StrPath,
    *,
    arch: str | None = None,
    labels: Labels = None,
    preprocess: PreprocessLike = None,
    key: str | None = None,
    **options: Any,
) -> Path:
    """Write the weights of anything that `load` accepts to an `.npz` file that needs no further options.

    The `.npz` holds the original names and values, unfolded, and all settings, the preprocessing, the labels and the
    SHA-256 of the source; plain `numpy.load` reads it. The prepared weights of the new file are written, too, where
    that is possible: see `prepare`.

    Parameters
    ----------
    source
        As for `load`.
    destination : path
        Replaced atomically; may be the source.
    arch, labels, preprocess, key, **options
        As for `load`.

    Returns
    -------
    Path
        The destination.

    Raises
    ------
    NpresnetError
        The errors of `load`.
    """
    target = npz_path(destination)
    path = find_source(source)
    loaded = interpret(path, arch, labels, preprocess, options, key)
    warn_of_ambiguity(loaded.config, loaded.source.name)
    metadata, tensors = loaded.metadata(), loaded.tensors
    del loaded
    if isinstance(path, str) and os.path.exists(target) and os.path.samefile(path, target):
        tensors = {name: array.copy() for name, array in tensors.items()}  # Windows cannot replace a mapped file
    weights.write_npz(target, tensors, metadata)
    del tensors
    from npresnet.model.preparing import prepare_if_possible

    prepare_if_possible(target)
    return target
