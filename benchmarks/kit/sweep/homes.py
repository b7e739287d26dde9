"""Files of other homes: made by their documented layouts from a network of PyTorch, loaded, and compared with it.

Each home is a function that writes its file into a folder and returns a Case. The file is loaded alone, and then, where
that is not right, with the options that its users would have to know; a warning must have named them.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from benchmarks.kit.sweep.networks import ODD, Array, random_images, randomise, run
from benchmarks.kit.sweep.verdicts import EXACT, Record, difference, first_line, load, rough


class Case(NamedTuple):
    """A file and what it should compute.

    source   the file, or a folder as Hugging Face writes it
    x        the input
    exact    PyTorch's logits in float64, or its embedding
    options  what the file cannot tell, where the usual choice is not that of this network
    """

    source: Path
    x: Array
    exact: Array
    options: Mapping[str, Any] = MappingProxyType({})


Home = Callable[[Path], Case]


def random_net(module: Any, sizes: tuple[int, int, int] = ODD, clips: bool = False) -> tuple[Any, Array, Array]:
    """The module in float64 with random numbers like trained ones, an input, and what it computes of it."""
    randomise(module)
    module.double()
    x = random_images(sizes, clips, 4)
    return module, x, run(module, x.astype(np.float64))


def judge_home(name: str, home: Home) -> Record:
    """The record of one home; `said` are the decisions that are ambiguous without the options."""
    import torch

    torch.manual_seed(0)  # each draws the same numbers, whatever was judged before
    record: Record = {"home": name}
    try:
        with tempfile.TemporaryDirectory() as folder:
            return record | _judged(home(Path(folder)))
    except Exception as error:  # whatever it is, it is a result
        place = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {error}"
        return record | {"verdict": "crash", "message": message[:300]}


def _judged(case: Case) -> Record:
    import npresnet

    try:
        found, said = _loaded(case, {})
    except npresnet.NpresnetError as error:
        message = first_line(error, case.source)
        found, said = {"verdict": "refused", "message": message}, [str(error)]
    if found["verdict"] == "runs" or not case.options:
        return found
    try:
        told, _ = _loaded(case, case.options)
    except npresnet.NpresnetError as error:
        return found | {"message": first_line(error, case.source)}
    asks = all(any(f"{name}=" in text for text in said) for name in case.options)
    if told["verdict"] != "runs" or not asks:
        return found | {"options": dict(case.options), "told": told["verdict"]}
    return found | told | {"verdict": "needs", "options": dict(case.options), "said": found.get("said", "refused")}


def _loaded(case: Case, options: Mapping[str, Any]) -> tuple[Record, list[str]]:
    """Load with these options, and compare."""
    model, said = load(case.source, **options)
    with model:
        from npresnet import ops

        (result,) = ops.run(model.network, case.x.astype(np.float64)).values()
        error = difference(result, case.exact)
        config = model.config
        record = {"verdict": "runs" if error < EXACT else "wrong", "arch": config.value("arch"), "error": rough(error)}
        ambiguous = list(config.ambiguous())
        return record | ({"said": ", ".join(ambiguous)} if ambiguous else {}), said
