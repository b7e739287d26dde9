"""`npresnet ladder`, `exercise` and `diff`: what is for learning, and for looking closely."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from npresnet.cli.paths import one_image
from npresnet.cli.shared import FAILED, FINE, STDOUT, check_outputs, complain, misuse, model_of, say
from npresnet.errors import NpresnetError
from npresnet.system.files import replacing
from npresnet.system.text import visible

if TYPE_CHECKING:
    from npresnet.model.model import Model
    from npresnet.teach.exercises import Exercise
    from npresnet.teach.ladder import RealLayer
    from npresnet.teach.ladder.rungs import Rung


def ladder(args: Namespace) -> int:
    """Prove and time one layer on every rung; 1 where a rung is not equal."""
    import json

    import npresnet
    from npresnet.teach.ladder import climb, find_layer, text
    from npresnet.teach.ladder.rungs import cpu_rungs

    if args.html == STDOUT:
        misuse("--html names a file; stdout has the table, or with --json the figures")
    check_outputs(args, [args.image], args.html)
    with model_of(args) as model:
        sample = Path(npresnet.__file__).parent / "data" / "chelsea.jpg"
        image = one_image(args.image) if args.image else sample
        layer = find_layer(model, args.layer, model.preprocess(image))
        name, command = str(model.config.value("arch")), _command(args, layer.name)
        rungs = cpu_rungs() + _gpu_rungs(model, layer)
        climbed = climb(
            layer,
            model=name,
            image="standard input" if isinstance(image, bytes) else Path(image).name,
            command=command,
            say=complain,
            rungs=rungs,
        )
    if args.html:
        with replacing(args.html) as file:
            file.write(text.to_page(climbed).encode("utf-8"))
        complain(f"wrote {visible(args.html)}; open it in a browser")
    if args.json:
        print(json.dumps(climbed.to_dict(), indent=1))
    else:
        say(text.to_text(climbed))
    return FINE if all(step.status == "equal" for step in climbed.steps) else FAILED


def _gpu_rungs(model: Model, layer: RealLayer) -> list[Rung]:
    """Those of the model's GPU, if it is on one."""
    device = str(model.config.value("device"))
    if device == "cpu":
        return []
    from npresnet.cuda import open_gpu
    from npresnet.teach.ladder.gpu_rungs import ceilings, gpu_rungs

    gpu = open_gpu(device)
    return gpu_rungs(gpu, layer, ceilings(gpu))


def _command(args: Namespace, layer: str) -> str:
    """How it was called; of files only their names, for results are published."""
    device = None if args.device == "cpu" else args.device
    chosen = {"--model": args.model, "--layer": layer, "--image": args.image, "--device": device}
    words = [word for name, value in chosen.items() if value for word in (name, Path(value).name)]
    return " ".join(["npresnet ladder", *words, "--json"])


def diff(args: Namespace) -> int:
    """Compare every step with PyTorch on one image; 1 where one diverges."""
    from npresnet.teach import diff

    args.model = args.checkpoint
    with model_of(args) as model:
        found = diff.diff(model, model.preprocess(one_image(args.image)))
    say(diff.table(found).to_text())
    complain(diff.verdict(found))
    return FINE if found.first is None else FAILED


def exercise(args: Namespace) -> int:
    """Write the exercises, or check what a reader made of them."""
    folder = Path(args.folder)
    return _start(folder) if args.action == "start" else _check(folder, args.names, args.limit)


def _start(folder: Path) -> int:
    from npresnet.teach.exercises import EXERCISES, start

    written, kept = start(folder, EXERCISES)
    for path in written:
        say(path)
    if kept:
        complain(f"{len(kept)} files were there and stay as they are; delete one to begin it again")
    complain(f"Each file says what to do. Then: npresnet exercise check{_folder_option(folder)}")
    return FINE


def _check(folder: Path, names: list[str], limit_s: float) -> int:
    """Check those named, or all files that are there; 1 unless every one passes."""
    from npresnet.teach.exercises import EXERCISES, check_files

    chosen = [_find(name, EXERCISES) for name in names] or list(EXERCISES)
    files = [(found, _file_of(folder, found)) for found in chosen if names or _files(folder, found)]
    verdicts = list(check_files(files, limit_s))
    if not verdicts:
        complain(
            f"there are no exercises in {folder}; write them first: npresnet exercise start{_folder_option(folder)}"
        )
        return FAILED
    say("\n\n".join(map(str, verdicts)))
    passed = sum(verdict.status == "passed" for verdict in verdicts)
    complain(f"{passed} of {len(verdicts)} pass")
    return FINE if passed == len(verdicts) else FAILED


def _find(name: str, exercises: tuple[Exercise, ...]) -> Exercise:
    """By its name, with or without the file's number and folder."""
    wanted = Path(name).stem.lstrip("0123456789_")
    for found in exercises:
        if found.name == wanted:
            return found
    raise NpresnetError(f"there is no exercise {name!r}; there are {', '.join(found.name for found in exercises)}")


def _files(folder: Path, wanted: Exercise) -> list[Path]:
    return sorted(folder.glob(f"*_{wanted.name}.py"))


def _file_of(folder: Path, wanted: Exercise) -> Path:
    files = [path for path in _files(folder, wanted) if path.stem.lstrip("0123456789_") == wanted.name]
    return files[0] if files else folder / f"{wanted.name}.py"


def _folder_option(folder: Path) -> str:
    from npresnet.cli.parser.learning import EXERCISE_FOLDER

    return "" if str(folder) == EXERCISE_FOLDER else f" --folder {folder}"
