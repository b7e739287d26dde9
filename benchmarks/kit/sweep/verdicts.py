"""One network, saved as its users save it: does npresnet compute what PyTorch computes?

runs      by the file alone, or by its name where the file says it
needs     an option, or the name: without it npresnet says what it assumes, in a warning or in model.config
refused   with an error that says why
wrong     other numbers without a word, or another result whatever is said
crash     anything else
ill-conditioned
          neither right nor wrong: PyTorch's own logits in float64 depend on rounding; none should be
"""

from __future__ import annotations

import re
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kit.sweep.names import Name
from benchmarks.kit.sweep.networks import Array, Oracle, consult, create, randomise

Record = dict[str, Any]
EXACT = 1e-6  # relative error in float64
MOST_RMS = 2.0  # of PyTorch's float32
SEEDS = 5  # networks, where one has a larger error
MOST_SENSITIVE = 1e5  # rounding, some 1e-14 to 1e-12 of the maps, remains 10 times below EXACT
NO_IMAGES = np.zeros((0, 3, 0, 0))
NO_ORACLE = Oracle(NO_IMAGES, NO_IMAGES, NO_IMAGES, NO_IMAGES, NO_IMAGES, sensitivity=0.0)
GIANT = 150_000_000  # parameters: the CPU backend's error is not compared


def judge(found: Name) -> Record:
    """The record of one architecture: see the module."""
    record: Record = found._asdict()
    try:
        module = create(found)
        record["parameters"] = sum(parameter.numel() for parameter in module.parameters())
        compares_rms = record["parameters"] < GIANT
        try:
            randomise(module)
            oracle = consult(module, compares_rms)
        except AssertionError:  # a network for large images only: enough to be refused
            oracle = NO_ORACLE
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.pth"
            state = module.state_dict()
            save(path, state)
            record |= judge_file(path, state, oracle, found.name, compares_rms)
            if record["verdict"] != "refused":
                record |= conditioned(oracle, record["verdict"])
            doubtful = record["verdict"] != "ill-conditioned" and (record.get("rms") or 0) > MOST_RMS
            return again(record, found, path) if doubtful else record
    except Exception as error:  # whatever it is, it is a result
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return record | {"verdict": "crash", "message": f"{type(error).__name__} at {where}: {error}"[:300]}


def conditioned(oracle: Oracle, verdict: str) -> Record:
    """{"sensitivity": of PyTorch's logits}, and another verdict where it says more about rounding than about us."""
    found: Record = {"sensitivity": float(f"{oracle.sensitivity:.0e}")}
    if oracle.sensitivity <= MOST_SENSITIVE:
        return found
    message = f"PyTorch's logits change {oracle.sensitivity:.0e} times as much as an image"
    return found | {"verdict": "ill-conditioned", "was": verdict, "message": message}


def save(path: Path, state: Any, **beside: Any) -> None:
    """In float64, which npresnet keeps: numbers computed from weights at load are then not rounded to float32."""
    import torch

    torch.save({"state_dict": state, **beside}, path)


def judge_file(path: Path, state: Any, oracle: Oracle, name: str, compares_rms: bool) -> Record:
    """Load the file alone; where that is not right, with the name that it may say, and with the options of the name."""
    import npresnet

    try:
        model, said = load(path)
    except npresnet.NpresnetError as refusal:
        return {"verdict": "refused", "message": first_line(refusal, path)}
    with model:
        record = described(model, said)
        error = relative_error(model, oracle)
        if error < EXACT:
            return record | {"verdict": "runs", "error": rough(error)} | rms(model, oracle, "runs", compares_rms)
        plain = model.config
    try:
        save(path, state, arch=name)
        model, _ = load(path)
    except npresnet.NpresnetError as refusal:
        return record | {"verdict": "wrong", "error": rough(error), "message": first_line(refusal, path)}
    with model:
        told = relative_error(model, oracle)
        options = options_told(plain, model.config)
        if told < EXACT and options and is_said(plain, said, options):
            notes = {option: plain[option].note if option in plain else "" for option in options}
            needs = {"verdict": "needs", "options": options, "notes": notes, "error": rough(told)}
            return record | needs | rms(model, oracle, "needs", compares_rms)
    return record | {"verdict": "wrong", "error": rough(min(error, told))}


def load(path: Path, **options: Any) -> tuple[Any, list[str]]:
    """The model, and its warnings of ambiguity. One thread: two networks are judged at once."""
    import npresnet

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model = npresnet.load(str(path), threads=1, **options)
    return model, [str(w.message) for w in heard if issubclass(w.category, npresnet.AmbiguityWarning)]


def described(model: Any, said: list[str]) -> Record:
    record = {"arch": model.config.value("arch"), "family": model.config.value("family")}
    ambiguous = list(model.config.ambiguous())
    return {**record, "ambiguous": ambiguous, "warned": bool(said)} if ambiguous or said else record


def options_told(plain: Any, told: Any) -> Record:
    """What the name says and the file alone did not: options that are not as assumed."""
    from npresnet import arch

    said = [name for name, decision in told.items() if decision.origin == "file" and name in arch.OPTIONS]
    return {name: told.value(name) for name in said if told.value(name) != plain.value(name, "none")}


def is_said(config: Any, said: list[str], options: Record) -> bool:
    """Whether every such option is named by a warning, or by a note that says what else has these tensors."""
    return all(any(f"{name}=" in text for text in said) or (name in config and config[name].note) for name in options)


def relative_error(model: Any, oracle: Oracle) -> float:
    """The largest difference of the plain operations in float64 over the largest number; infinite for other shapes."""
    from npresnet import ops

    (result,) = ops.run(model.network, oracle.odd.astype(np.float64)).values()
    return difference(result, oracle.odd_exact)


def difference(result: Array, exact: Array) -> float:
    if result.size != exact.size:
        return float("inf")
    error = np.abs(result.reshape(exact.shape) - exact).max() / np.abs(exact).max()
    return float(error) if np.isfinite(error) else float("inf")


def rms(model: Any, oracle: Oracle, verdict: str, compares: bool) -> Record:
    """{"rms": the backend's error over PyTorch's, both in float32}, and another verdict where it is too large."""
    if not compares:
        return {"rms": None}
    ours, theirs = relative_rms(model, oracle)
    too_large = {"verdict": "wrong", "was": verdict, "message": "the error in float32 is too large"}
    return {"rms": round(ours / theirs, 2)} | (too_large if ours > MOST_RMS * theirs else {})


def relative_rms(model: Any, oracle: Oracle) -> tuple[float, float]:
    """The RMS errors of the CPU backend and of PyTorch's float32 against float64, over the RMS of the results."""
    exact = oracle.even_exact
    results = model(oracle.even).reshape(exact.shape), oracle.even_single
    ours, theirs = (float(np.sqrt(np.mean((result - exact) ** 2) / np.mean(exact**2))) for result in results)
    return ours, theirs


def again(record: Record, found: Name, path: Path) -> Record:
    """The same over several networks: rounding a filter changes all images alike, so that one network says little."""
    squares = np.zeros(2)
    for seed in range(SEEDS):
        module = create(found, seed)
        randomise(module, seed)
        oracle = consult(module)
        save(path, module.state_dict(), arch=found.name)
        model, _ = load(path)
        with model:
            squares += np.square(relative_rms(model, oracle))
    ratio = float(np.sqrt(squares[0] / squares[1]))
    if ratio <= MOST_RMS:
        record = {key: value for key, value in record.items() if key != "message"} | {"verdict": record["was"]}
    return {key: value for key, value in record.items() if key != "was"} | {"rms": round(ratio, 2), "networks": SEEDS}


def rough(error: float) -> float | str:
    """One digit: the others depend on the machine."""
    return float(f"{error:.0e}") if np.isfinite(error) else "another shape"


def first_line(error: Exception, path: Path) -> str:
    text = str(error).replace(f"{path}: ", "").partition("\n")[0]
    return re.sub(r"\s+", " ", text)[:300]


def judged(found: Name) -> list[Record]:
    """For `jobs`."""
    return [judge(found)]
