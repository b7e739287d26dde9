"""What the smoke check looks at. Each check returns what it saw; an exception is a failure."""

from __future__ import annotations

import argparse
import base64
import codecs
import hashlib
import importlib
import importlib.metadata
import json
import locale
import os
import subprocess
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path

from inputs import images, weights

REFERENCE = Path(getattr(sys, "_MEIPASS", Path(__file__).resolve().parent)) / "reference.json"
IS_FROZEN = bool(getattr(sys, "frozen", False))
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
        self.command: list[str] = [options.command] if options.command else _own_command()
        self.folder = folder
        self.bits: dict[str, str] = {}

    def interpreter(self) -> str:
        import numpy
        import PIL

        found = {
            "python": ".".join(map(str, sys.version_info[:2])),
            "optimize": str(sys.flags.optimize),
            "safe_path": str(int(getattr(sys.flags, "safe_path", False))),
            "encoding": f"{_plain(sys.getfilesystemencoding())}/{_plain(locale.getpreferredencoding(False))}",
            "core": _blas_core(),
            "numpy": numpy.__version__,
            "pillow": PIL.__version__,
        }
        for name in found.keys() & self.expected.keys():
            _equal(found[name], self.expected[name], name)
        self.bits["numpy"], self.bits["core"] = found["numpy"], found["core"]
        return ", ".join(f"{name} {value}" for name, value in found.items())

    def package(self) -> str:
        """The package is complete, byte for byte, and every module of it can be imported."""
        import npresnet

        home = Path(npresnet.__file__).parent
        _true(not (home.parent / "pyproject.toml").exists(), f"{home} is a checkout, not an installation")
        record = importlib.metadata.distribution("npresnet")
        _equal(record.version, npresnet.__version__, "the version of the metadata")
        files = [file for file in record.files or () if file.parts[0] == "npresnet" and file.suffix != ".pyc"]
        code = {file for file in files if file.suffix == ".py" and file.stem.isidentifier()}
        _true(len(code) > 200 and len(files) > len(code) + 70, f"only {len(files)} files are recorded")
        for file in files:
            if file in code:
                importlib.import_module(".".join(file.with_suffix("").parts).removesuffix(".__init__"))
            if file.suffix != ".py" or not IS_FROZEN:
                digest = hashlib.new(file.hash.mode, (home.parent / file).read_bytes()).digest()
                _equal(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), file.hash.value, str(file))
        return f"{len(code)} modules, {len(files) - len(code)} other files"

    def kernels(self) -> str:
        """Every CUDA source that a launcher names is there, with all that it includes."""
        from npresnet.cuda import launchers
        from npresnet.cuda.runtime import source

        record = importlib.metadata.distribution("npresnet").files or ()
        names = [file.stem for file in record if file.parts[:-1] == ("npresnet", "cuda", "launchers")]
        modules = [importlib.import_module(f"{launchers.__name__}.{name}") for name in names if name != "__init__"]
        named = {value for module in modules for value in vars(module).values() if str(value).endswith(".cu")}
        _true(len(named) > 40, f"the launchers name {len(named)} sources only")
        for file in sorted(named | set(source.sources())):
            _true(source.header(file).architectures and "__global__" in source.read(file), f"{file} holds no kernel")
        return f"{len(named)} sources"

    def demo(self) -> str:
        import npresnet

        with npresnet.load("demo") as model:
            found = model.predict(_photo())
            _equal(found.label, "cat", "the sample photo's label")
            pixels = hashlib.sha256(model.preprocess(_photo()).tobytes()).hexdigest()
            _equal(pixels, _reference()["pixels"], "the sample photo's pixels after preprocessing")
            from npresnet.model.finding import DEMO

            _equal(hashlib.sha256(DEMO.read_bytes()).hexdigest(), _reference()["demo_sha256"], "the demo model's file")
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

        expected = np.array(_reference()[name]["float64"])
        x = images(*expected.shape[:1], 32 if name == "demo" else 96)
        logits = model(x)
        _equal(logits.shape, expected.shape, "shape")
        error, bound = float(np.sqrt(np.mean((logits - expected) ** 2))), 2 * _reference()[name]["float32_rms"]
        _true(error <= bound, f"RMS error {error:.3g}, more than {bound:.3g}")
        _equal(model(x[2:3]).tobytes(), logits[2:3].tobytes(), "the bits of an image alone and in a batch")
        results = _in_threads(4, lambda: model(x).tobytes())
        _equal(set(results), {logits.tobytes()}, "the bits of four calls at once")
        self.bits[name] = hashlib.sha256(logits.tobytes()).hexdigest()[:16]
        return f"RMS error {error / bound * 2:.2f} of PyTorch's"

    def files(self) -> str:
        """Saved, loaded again and again (prepared weights), from a name that is not ASCII."""
        import numpy as np

        import npresnet

        x = images(2, 32)
        with npresnet.load("demo") as model:
            expected = model(x)
            model.save(self.folder / _fs("geprüft-猫.npz"))
        for _ in range(3):
            with npresnet.load(self.folder / _fs("geprüft-猫.npz")) as model:
                _true(np.array_equal(model(x), expected), "another result after saving and loading")
        cache = Path(os.environ.get("NPRESNET_CACHE", "no folder"))
        if "writable" in self.expected:
            for place in (Path(npresnet.__file__).parent, cache):
                _equal(str(int(_can_write(place))), self.expected["writable"], f"whether {place} can be written")
        kept = [path for path in cache.rglob("*") if path.is_file()] if cache.is_dir() else []
        return f"{len(kept)} files in the cache"

    def commands(self) -> str:
        import npresnet

        photo = self.folder / _fs("Katze-猫.jpg")
        photo.write_bytes(_photo().read_bytes())
        with npresnet.load("demo") as model:
            model.save(self.folder / "saved.npz")
        fill = {"photo": str(photo), "folder": str(self.folder), "version": npresnet.__version__}
        for words, text in COMMANDS:
            arguments = [word.format(**fill) for word in words.split()]
            output = self._run(*arguments)
            _true(text.format(**fill) in output, f"{words}: {text!r} is not in\n{output}")
        for name in WRITTEN:
            path = self.folder / name
            _true(any(path.iterdir()) if path.is_dir() else path.stat().st_size > 500, f"{name} was not written")
        if not IS_FROZEN:
            self.command = [sys.executable, *_flags(), "-m", "npresnet"]
            _true("cat" in self._run("demo"), "python -m npresnet demo does not see a cat")
        return f"{len(COMMANDS)} commands"

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([*self.command, *arguments], capture_output=True, timeout=120, check=False)
        shown = f"{' '.join(arguments)!a} exited {done.returncode}:\n{done.stdout[-2000:]!r}\n{done.stderr[-2000:]!r}"
        _equal(done.returncode, 0, shown)
        _true(b"Traceback" not in done.stderr and b"Exception" not in done.stderr, shown)
        return done.stdout.decode("utf-8", "replace")

    def gil(self) -> str:
        """After all modules were imported: whether one of them has switched the GIL on again."""
        enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
        _equal(str(int(enabled)), self.expected.get("gil", "1"), "the GIL")
        return "enabled" if enabled else f"disabled; {os.cpu_count()} CPUs"


def _reference() -> dict:
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


def _photo() -> Path:
    import npresnet

    return Path(npresnet.__file__).parent / "data" / "chelsea.jpg"


def _fs(name: str) -> str:
    """A name whose bytes are UTF-8, also where the file system's encoding is ASCII."""
    return os.fsdecode(name.encode())


def _own_command() -> list[str]:
    name = "npresnet.exe" if os.name == "nt" else "npresnet"
    return [sys.executable, *_flags(), os.path.join(sysconfig.get_path("scripts"), name)]


def _flags() -> list[str]:
    return ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []


def _blas_core() -> str:
    from threadpoolctl import threadpool_info

    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return found[0].get("architecture", found[0]["internal_api"]) if found else "unknown"


def _in_threads(count: int, function) -> list:
    results: list = []
    workers = [threading.Thread(target=lambda: results.append(function())) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    _equal(len(results), count, "the number of threads that gave a result")
    return results


def _plain(encoding: str) -> str:
    return codecs.lookup(encoding).name


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _true(value: object, problem: str) -> None:
    if not value:  # no `assert`, which -O removes
        raise RuntimeError(problem)


def _equal(found: object, expected: object, what: str) -> None:
    _true(found == expected, f"{what}: {found!a}, expected {expected!a}")
