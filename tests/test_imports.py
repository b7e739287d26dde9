"""Import rules beyond the contracts in pyproject.toml: imports at module level, and modules loaded at start."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import REPOSITORY

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
PACKAGE = REPOSITORY / "npresnet"
MODULES = sorted(PACKAGE.rglob("*.py"))
RUN_TIME = {"numpy", "PIL", "platformdirs", "threadpoolctl", "tqdm"}
SERVE = {"h11", "prometheus_client", "python_multipart", "starlette", "uvicorn"}
OPTIONAL = SERVE | {
    "PyInstaller", "argcomplete", "cupy", "h5py", "matplotlib", "onnxruntime", "openvino", "pillow_heif", "pyarrow",
    "ray", "safetensors", "timm", "torch", "torchvision",
}  # fmt: skip
AT_MODULE_LEVEL = {"numpy"}
# npresnet.cuda and npresnet.serve are themselves imported only inside functions; a server decodes pictures anyway;
# PyInstaller imports its hook
AT_MODULE_LEVEL_IN = {"cuda": {"cupy"}, "serve": SERVE | {"PIL"}, "_pyinstaller": {"PyInstaller"}}
HEAVY = RUN_TIME - {"numpy"} | OPTIONAL | {
    "argparse", "asyncio", "concurrent.futures", "http.client", "multiprocessing", "sqlite3", "ssl", "tarfile",
    "urllib.request", "zipfile",
}  # fmt: skip


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules named by the import statements of a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def at_module_level(tree: ast.Module) -> Iterator[str]:
    """The same, without imports inside functions or under `if TYPE_CHECKING`."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(ast.Module([node], []))
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not _is_typing_only(node):
            pending.extend(ast.iter_child_nodes(node))


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def third_party(names) -> set[str]:
    tops = {name.partition(".")[0] for name in names}
    return tops - set(sys.stdlib_module_names) - {"npresnet"}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def refused_imports(path: Path, tree: ast.Module) -> set[str]:
    """The third-party packages that the module at `path`, relative to the package, must not import as it does."""
    allowed = AT_MODULE_LEVEL | AT_MODULE_LEVEL_IN.get(path.parts[0], set())
    return third_party(imported(tree)) - RUN_TIME - OPTIONAL | third_party(at_module_level(tree)) - allowed


def test_third_party_imports():
    refused = {path: refused_imports(path.relative_to(PACKAGE), parse(path)) for path in MODULES}
    assert {str(path.relative_to(PACKAGE)): names for path, names in refused.items() if names} == {}


@pytest.mark.parametrize(
    ("path", "text", "refused"),
    [
        ("cpu/gemm.py", "import scipy.linalg", {"scipy"}),
        ("cpu/gemm.py", "def f():\n    import scipy", {"scipy"}),
        ("cpu/gemm.py", "import numpy, torch", {"torch"}),
        ("cpu/gemm.py", "def f():\n    import torch", set()),
        ("cpu/gemm.py", "import cupy", {"cupy"}),
        ("cuda/gpu.py", "import cupy", set()),
        ("serve/page.py", "import starlette, jinja2", {"jinja2"}),
        ("cli/serve.py", "import uvicorn", {"uvicorn"}),
    ],
)
def test_refused_imports(path, text, refused):
    assert refused_imports(Path(path), ast.parse(text)) == refused


def test_torch_is_imported_only_by_the_benchmark_s_peers_and_diff():
    users = {path for path in MODULES if {"timm", "torch", "torchvision"} & third_party(imported(parse(path)))}
    names = ("originals", "peers", "prepare", "torch_gates", "torch_graph", "torch_norms", "torchvision_models")
    peers = {f"bench/{name}.py" for name in names}
    assert {path.relative_to(PACKAGE).as_posix() for path in users} == peers | {"teach/diff.py"}


def test_by_hand_needs_only_numpy():
    assert set(imported(parse(PACKAGE / "teach" / "by_hand.py"))) <= {"__future__", "numpy"}


def loaded_by(statement: str) -> set[str]:
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_start_loads_numpy_and_nothing_heavy():
    """`import npresnet` in a fresh process, ignoring modules loaded by NumPy itself."""
    ours = loaded_by("import npresnet") - loaded_by("import numpy")
    assert sorted(ours & HEAVY) == []
    assert third_party(ours) <= {"numpy"}


def test_public_names_load_no_third_party():
    """The names are lazy; resolving all of them may load npresnet's modules, but no other package."""
    ours = loaded_by("from npresnet import *") - loaded_by("import numpy")
    assert third_party(ours) <= {"numpy"}


def test_first_predictions_load_no_random_numbers():
    """`numpy.random` would take longer to import than a batch takes to compute."""
    photos = "['npresnet/data/chelsea.jpg'] * 8"
    assert "numpy.random" not in loaded_by(f"import npresnet; npresnet.load('demo', threads=2).predict({photos})")


def test_plain_networks_load_no_other_families_and_operations(tmp_path):
    path = str(tmp_path / "plain.npz")
    loaded_by(f"import npresnet; npresnet.build('resnet10', num_classes=2, threads=1).save({path!r})")
    ours = loaded_by(f"import npresnet; npresnet.load({path!r}, threads=1).executable()")
    others = ("cifar", "handwritten", "nfnet", "preact", "resnetv2", "senet", "tresnet", "video", "clip", "byob")
    assert ours.isdisjoint(f"npresnet.arch.families.{name}" for name in others)
    kernels = ("norms", "gates", "radix", "channels", "pointwise", "pooling")
    assert ours.isdisjoint(f"npresnet.cpu.kernels.{name}" for name in kernels)
    operations = ("conv3d", "group_norm", "attention_pool2d", "prelu", "multiply", "concat", "run")
    assert ours.isdisjoint(f"npresnet.ops.{name}" for name in operations)
    assert "npresnet.cpu.compiler.conv3d" not in ours
    assert {"npresnet.cpu.kernels.global_pooling", "npresnet.ops.conv2d"} <= ours


def test_an_operation_is_its_function_whatever_was_imported_before():
    """Python binds an imported file to its name in the package, and files are called like the functions in them."""
    code = "import npresnet.ops.add, npresnet.ops.windows, npresnet.ops.conv2d as c; from npresnet import ops"
    code += "; assert callable(ops.add) and callable(c) and c is ops.conv2d and ops.windows.sliding_windows"
    ours = loaded_by(code)
    assert "npresnet.ops.concat" not in ours


def test_every_module_is_in_a_layer():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [c for c in settings["tool"]["importlinter"]["contracts"] if "containers" in c]
    layered = {name for layer in contract["layers"] for name in layer.translate(str.maketrans("()|:", "    ")).split()}
    modules = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES} - {"__init__"}
    assert modules - layered == set()


def test_at_module_level():
    guarded = "if TYPE_CHECKING:\n    import c\ntry:\n    import d\nexcept ImportError:\n    d = 0\n"
    nested = "class E:\n    import f\n    def g(self):\n        import h\n"
    assert sorted(at_module_level(ast.parse(f"import a\nfrom b.c import d\n{guarded}{nested}"))) == [
        "a",
        "b.c",
        "d",
        "f",
    ]
