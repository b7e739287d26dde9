"""Shared by all tests: the test data, the rule that tests must not skip if it is present, and a summary of skips.

Test data (weights, photos, CIFAR-10) is not part of the project. Its folder is NPRESNET_TEST_DATA, by default
`../shared/data` beside the repository. If it is missing, the tests that need it skip; if it is present, such a skip is
reported as a failure.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
DATA_ABSENT = "test data absent: set NPRESNET_TEST_DATA"


def find_data_dir() -> Path | None:
    """The folder of the test data, or None. A folder set by NPRESNET_TEST_DATA must exist."""
    named = os.environ.get("NPRESNET_TEST_DATA")
    if named:
        folder = Path(named).resolve()
        if not folder.is_dir():
            raise pytest.UsageError(f"NPRESNET_TEST_DATA is {named}, which is not a folder")
        return folder
    folder = REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def pytest_configure(config):
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # shells start background jobs with SIGINT ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "in_a_child: runs in a separate process because it may crash it")
    config.addinivalue_line("markers", "compile_matrix: runs in a separate step of .ci/run, selected by -m")
    config.npresnet_data_dir = find_data_dir()
    os.environ["NPRESNET_PREPARED"] = "0"  # tests never write to the user's cache


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With -n and no --dist of the caller's: a worker keeps to its half of the files until it steals from the other's.

    So a module's fixtures, and what the emulator has compiled for it, are made once and not by every worker.
    """
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.fixture(scope="session")
def data_dir(pytestconfig) -> Path:
    """The folder of the test data; skips the test if there is none."""
    if pytestconfig.npresnet_data_dir is None:
        pytest.skip(DATA_ABSENT)
    return pytestconfig.npresnet_data_dir


@pytest.fixture(scope="session", autouse=True)
def one_thread_for_the_oracles():
    """NumPy's BLAS and PyTorch compute on the caller's thread alone.

    Where several workers run tests on the same CPUs, threads that wait for each other by spinning would make a product
    several times dearer. What npresnet does with a user's own number is tested in children, and with
    `two_blas_threads`.
    """
    import numpy  # noqa: F401  a limit holds for the libraries that are loaded
    from threadpoolctl import threadpool_limits

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture
def two_blas_threads():
    """As for a user whose NumPy has two threads."""
    from threadpoolctl import ThreadpoolController

    with ThreadpoolController().limit(limits=2, user_api="blas"):
        libraries = ThreadpoolController().select(user_api="blas").info()
        if {library["num_threads"] for library in libraries} != {2}:
            pytest.skip("this BLAS runs on one thread only, or threadpoolctl does not know it")
        yield


@pytest.fixture
def deleted_folder(tmp_path, monkeypatch) -> Path:
    """The current folder, which was deleted."""
    if os.name == "nt":
        pytest.skip("no folder in use can be deleted")
    gone = tmp_path / "deleted"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    return gone


@pytest.fixture
def no_new_files(tmp_path):
    """`with no_new_files():` asserts that the block leaves no file, folder or link in tmp_path that was not there."""

    @contextmanager
    def no_new_files():
        before = set(tmp_path.rglob("*"))
        yield
        assert set(tmp_path.rglob("*")) <= before

    return no_new_files


@pytest.fixture
def no_cupy(monkeypatch):
    """As on a machine without CuPy."""
    from npresnet.cuda.runtime import gpu as runtime

    monkeypatch.setitem(sys.modules, "cupy", None)
    runtime._open.cache_clear()


@pytest.fixture(scope="session")
def photos(data_dir) -> list[Path]:
    """The ImageNet photographs of the test data, sorted by name."""
    found = sorted((data_dir / "photos").glob("*.JPEG"))
    assert found, f"{data_dir} holds no photos"
    return found


@pytest.fixture(scope="session")
def cifar_checkpoints(data_dir) -> dict[int, Path]:
    """{depth: path} of the published CIFAR-10 ResNets."""
    return {
        20: data_dir / "checkpoints" / "resnet20-12fca82f.th",
        44: data_dir / "checkpoints" / "resnet44-014dd654.th",
    }


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run tests marked `in_a_child` in a separate process."""
    if pyfuncitem.get_closest_marker("in_a_child") is None:
        return None
    from tests.support import in_a_child

    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    assert "subtests" not in arguments, "what a child's subtests report would be lost"
    in_a_child.run(lambda: pyfuncitem.obj(**arguments))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    return _refuse_skip_beside_data((yield), item.config.npresnet_data_dir)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):  # a whole module may skip
    return _refuse_skip_beside_data((yield), collector.config.npresnet_data_dir)


def _refuse_skip_beside_data(report, data_dir: Path | None):
    if report.skipped and data_dir is not None and _skips_for_missing_data(report):
        report.outcome = "failed"
        report.longrepr = f"skipped because of missing data ({_reason(report)}), but the data is in {data_dir}"
    return report


def pytest_terminal_summary(terminalreporter):
    """Print the number of skips by reason."""
    reasons = Counter(_reason(report) for report in terminalreporter.getreports("skipped"))
    terminalreporter.section("skips")
    terminalreporter.write_line(f"{sum(reasons.values())} skipped")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"  {count:5d}  {reason}")


def _reason(report) -> str:
    """The reason of a skip, without file, line and pytest's "Skipped: "."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _skips_for_missing_data(report) -> bool:
    return "test data" in _reason(report).lower() or "NPRESNET_TEST_DATA" in _reason(report)
