"""What the smoke check looks at. Each check returns what it saw; an exception is a failure."""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib
import importlib.metadata
import locale
import os
import re
import subprocess
import sys
import threading
from functools import partial
from itertools import chain
from pathlib import Path

from common import (
    IS_FROZEN,
    blas_core,
    can_write,
    codec,
    file_name,
    in_threads,
    own_command,
    own_flags,
    reference,
    require,
    require_equal,
    sample_photo,
)
from inputs import images, weights

COMMANDS = (  # (arguments, what stdout must contain); {photo} has a name that is not ASCII, {folder} may be written
    ("--version", "{version}"),
    ("demo", "cat"),
    ("predict {photo} --json --top 2", '"label": "cat"'),
    ("predict {photo} --csv --model {folder}/saved.npz", ",cat,"),
    ("inspect {folder}/saved.npz", "conv1.weight"),
    ("summary resnet18", "11,689,512"),
    ("cam {photo} -o {folder}/cam.png", ""),
    ("explain {photo} -o {folder}/page.html", ""),
    ("trace {photo} -o {folder}/trace.html", ""),
    ("exercise start --folder {folder}/exercises", ""),
    ("convert {folder}/saved.npz {folder}/converted.npz", ""),
    ("doctor", "NumPy"),
)
WRITTEN = ("cam.png", "page.html", "trace.html", "converted.npz", "exercises")


class Smoke:
    """The checks, in order. Each returns what it saw; an exception is a failure."""

    def __init__(self, options: argparse.Namespace, folder: Path):
        self.expected = dict(pair.split("=", 1) for pair in options.expect)
        self.command: list[str] = [options.command] if options.command else own_command()
        self.folder = folder
        self.bits: dict[str, str] = {}

    def interpreter(self) -> str:
        import numpy
        import PIL

        found = {
            "python": ".".join(map(str, sys.version_info[:2])),
            "optimize": str(sys.flags.optimize),
            "safe_path": str(int(getattr(sys.flags, "safe_path", False))),
            "encoding": f"{codec(sys.getfilesystemencoding())}/{codec(locale.getpreferredencoding(False))}",
            "core": blas_core(),
            "numpy": numpy.__version__,
            "pillow": PIL.__version__,
        }
        for name in found.keys() & self.expected.keys():
            require_equal(found[name], self.expected[name], name)
        self.bits |= {name: found[name] for name in ("numpy", "pillow", "core")}
        return ", ".join(f"{name} {value}" for name, value in found.items())

    def package(self) -> str:
        """The package is complete, byte for byte, and every module of it that needs no extra can be imported."""
        import npresnet

        home = Path(npresnet.__file__).parent
        require(not (home.parent / "pyproject.toml").exists(), f"{home} is a checkout, not an installation")
        record = importlib.metadata.distribution("npresnet")
        require_equal(record.version, npresnet.__version__, "the version of the metadata")
        files = [file for file in record.files or () if file.parts[0] == "npresnet" and file.suffix != ".pyc"]
        code = {file for file in files if file.suffix == ".py" and file.stem.isidentifier()}
        require(len(code) > 200 and len(files) > len(code) + 70, f"only {len(files)} files are recorded")
        without = set()
        for file in files:
            if file in code and not _imports(".".join(file.with_suffix("").parts).removesuffix(".__init__"), record):
                without.add(file)
            if file.suffix != ".py" or not IS_FROZEN:
                digest = hashlib.new(file.hash.mode, (home.parent / file).read_bytes()).digest()
                require_equal(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), file.hash.value, str(file))
        require(len(code - without) > 200, f"only {len(code - without)} of {len(code)} modules can be imported")
        if "every_module" in self.expected:
            require_equal(
                str(int(not without)), self.expected["every_module"], f"whether all but {len(without)} are all"
            )
        left_out = f", {len(without)} of them need an extra" if without else ""
        return f"{len(code)} modules{left_out}, {len(files) - len(code)} other files"

    def kernels(self) -> str:
        """Every CUDA source that a launcher names is there, with all that it includes."""
        from npresnet.cuda import launchers
        from npresnet.cuda.runtime import source

        record = importlib.metadata.distribution("npresnet").files or ()
        names = [file.stem for file in record if file.parts[:-1] == ("npresnet", "cuda", "launchers")]
        modules = [importlib.import_module(f"{launchers.__name__}.{name}") for name in names if name != "__init__"]
        named = {value for module in modules for value in vars(module).values() if str(value).endswith(".cu")}
        require(len(named) > 40, f"the launchers name {len(named)} sources only")
        for file in sorted(named | set(source.sources())):
            require(source.header(file).architectures and "__global__" in source.read(file), f"{file} holds no kernel")
        return f"{len(named)} sources"

    def demo(self) -> str:
        import npresnet

        with npresnet.load("demo") as model:
            found = model.predict(sample_photo())
            require_equal(found.label, "cat", "the sample photo's label")
            pixels = hashlib.sha256(model.preprocess(sample_photo()).tobytes()).hexdigest()
            require_equal(pixels, reference()["pixels"], "the sample photo's pixels after preprocessing")
            from npresnet.model.finding import DEMO

            require_equal(
                hashlib.sha256(DEMO.read_bytes()).hexdigest(), reference()["demo_sha256"], "the demo model's file"
            )
            return f"{found.label} {found.score:.4f}, {self._parity('demo', model)}"

    def resnet18(self) -> str:
        import numpy as np

        import npresnet

        np.savez(self.folder / "resnet18.npz", **weights())
        with npresnet.load(self.folder / "resnet18.npz") as model:
            return self._parity("resnet18", model)

    def _parity(self, name: str, model) -> str:
        """The RMS error against PyTorch in float64 is at most twice that of PyTorch in float32; bits as alone."""
        import numpy as np

        expected = np.array(reference()[name]["float64"])
        x = images(*expected.shape[:1], 32 if name == "demo" else 96)
        logits = model(x)
        require_equal(logits.shape, expected.shape, "shape")
        error, bound = float(np.sqrt(np.mean((logits - expected) ** 2))), 2 * reference()[name]["float32_rms"]
        require(error <= bound, f"RMS error {error:.3g}, more than {bound:.3g}")
        require_equal(model(x[2:3]).tobytes(), logits[2:3].tobytes(), "the bits of an image alone and in a batch")
        results = in_threads(4, lambda: model(x).tobytes())
        require_equal(set(results), {logits.tobytes()}, "the bits of four calls at once")
        self.bits[name] = hashlib.sha256(logits.tobytes()).hexdigest()[:16]
        return f"RMS error {error / bound * 2:.2f} of PyTorch's"

    def files(self) -> str:
        """Saved, loaded again and again (prepared weights), from a name that is not ASCII."""
        import numpy as np

        import npresnet

        x = images(2, 32)
        with npresnet.load("demo") as model:
            expected = model(x)
            model.save(self.folder / file_name("geprüft-猫.npz"))
        for _ in range(3):
            with npresnet.load(self.folder / file_name("geprüft-猫.npz")) as model:
                require(np.array_equal(model(x), expected), "another result after saving and loading")
        cache = Path(os.environ.get("NPRESNET_CACHE", "no folder"))
        if "writable" in self.expected:
            for place in (Path(npresnet.__file__).parent, cache):
                require_equal(str(int(can_write(place))), self.expected["writable"], f"whether {place} can be written")
        kept = [path for path in cache.rglob("*") if path.is_file()] if cache.is_dir() else []
        return f"{len(kept)} files in the cache"

    def commands(self) -> str:
        import npresnet

        photo = self.folder / file_name("Katze-猫.jpg")
        photo.write_bytes(sample_photo().read_bytes())
        with npresnet.load("demo") as model:
            model.save(self.folder / "saved.npz")
        fill = {"photo": str(photo), "folder": str(self.folder), "version": npresnet.__version__}
        for words, text in COMMANDS:
            arguments = [word.format(**fill) for word in words.split()]
            output = self._run(*arguments)
            require(text.format(**fill) in output, f"{words}: {text!r} is not in\n{output}")
        for name in WRITTEN:
            path = self.folder / name
            require(any(path.iterdir()) if path.is_dir() else path.stat().st_size > 500, f"{name} was not written")
        if not IS_FROZEN:
            self.command = [sys.executable, *own_flags(), "-m", "npresnet"]
            require("cat" in self._run("demo"), "python -m npresnet demo does not see a cat")
        return f"{len(COMMANDS)} commands"

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([*self.command, *arguments], capture_output=True, timeout=120, check=False)
        shown = f"{' '.join(arguments)!a} exited {done.returncode}:\n{done.stdout[-2000:]!r}\n{done.stderr[-2000:]!r}"
        require_equal(done.returncode, 0, shown)
        require(b"Traceback" not in done.stderr and b"Exception" not in done.stderr, shown)
        return done.stdout.decode("utf-8", "replace")

    def workers(self) -> str:
        """Two threads that empty one queue: without a GIL next() of a shared iterator gives some of it twice."""
        from npresnet.cpu.runtime.workers import Team, share

        team, items, rounds, both = Team(2), list(range(100_000)), 0, 0
        wanted = 1 if getattr(sys, "_is_gil_enabled", lambda: True)() else 10
        while both < wanted and rounds < 10 * wanted:  # where the machine is busy, one thread may do all
            done: dict[int, list[int]] = {}
            share(items, partial(_note, done), team)
            require(sorted(chain(*done.values())) == items, "some work was done twice, or never")
            rounds, both = rounds + 1, both + (len(done) == 2)
        return f"each piece of work is done once, by two threads in {both} of {rounds} rounds"

    def gil(self) -> str:
        """After all modules were imported: whether one of them has switched the GIL on again."""
        enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
        require_equal(str(int(enabled)), self.expected.get("gil", "1"), "the GIL")
        return "enabled" if enabled else f"disabled; {os.cpu_count()} CPUs"


def _imports(module: str, record: importlib.metadata.Distribution) -> bool:
    """Import it; False where a package is missing that only an extra brings."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        extras = [line for line in record.requires or () if "extra ==" in line]
        missing = (error.name or "").partition(".")[0].replace("_", "-")
        if not any(re.split(r"[^\w.-]", line, maxsplit=1)[0] == missing for line in extras):
            raise
        return False
    return True


def _note(done: dict[int, list[int]], item: int) -> None:
    done.setdefault(threading.get_ident(), []).append(item)
