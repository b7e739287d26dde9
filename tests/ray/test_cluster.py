"""On Ray's own local cluster: what is computed, and what is left if a process dies.

One cluster for the file. Each test kills with SIGKILL, as the kernel does where memory runs out.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

import npresnet
import npresnet.cli
from npresnet.errors import CheckpointError, DeviceError, ImageError, NpresnetError
from npresnet.model.records import record
from npresnet.ray import Predictor, deployment, predict, put
from npresnet.ray.table import COLUMNS
from tests.ray.test_command import free_port
from tests.support.checkout import REPOSITORY
from tests.support.ray_files import deadly
from tests.support.small import ARCH, write_pictures

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of Ray's own lines
    pytest.mark.skipif(sys.platform != "linux", reason="processes are watched in Linux's /proc"),
]
PATIENCE_S = 100
MARK = "NPRESNET_TEST_CLUSTER"  # in the environment of every process that a test starts


def marked(value: str) -> list[str]:
    """Command lines of processes with this mark, other than this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={value}\0".encode() in (folder / "environ").read_bytes() and int(folder.name) != os.getpid():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:80])
        except OSError:  # ended meanwhile
            continue
    return found


def wait_until(done, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, f"after {PATIENCE_S} s: {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def ray():
    import ray

    mark = uuid.uuid4().hex
    os.environ[MARK], os.environ["RAY_USAGE_STATS_ENABLED"] = mark, "0"
    try:
        assert not ray.is_initialized()
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=80 * 2**20,
            log_to_driver=False,
            logging_level="ERROR",
        )
        assert marked(mark)  # the test below sees them
        yield ray
        ray.shutdown()
        wait_until(lambda: not marked(mark), "processes of Ray are left")
    finally:
        os.environ.pop(MARK)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> str:
    file = tmp_path_factory.mktemp("model") / "six.npz"
    how = {"resize": 36, "crop": 32}
    with npresnet.build(ARCH, num_classes=6, labels=list("pqrstu"), preprocess=how, seed=5) as model:
        model.save(file)
    return str(file)


def rows_of(file) -> dict[str, dict]:
    """{path: the rest of its row}; no path may have two."""
    rows = parquet.read_table(file).to_pylist()
    found = {row.pop("path"): row for row in rows}
    assert len(found) == len(rows)
    return found


def expected(path: str, files, top: int = 5) -> dict[str, dict]:
    """Of a plain model, one picture at a time."""
    with npresnet.load(path, threads=1) as model:
        rows = [record(file, result) for file, result in model.stream(files, top=top, batch_size=1)]
    return {row["path"]: {name: row.get(name) for name in COLUMNS if name != "path"} for row in rows}


def test_killed_workers_lose_nothing(ray, path, tmp_path):
    files = write_pictures(tmp_path / "photos", 11, height=43, width=35)
    for number, name in ((2, "once.png"), (5, "always.png")):
        os.rename(files[number], tmp_path / "photos" / name)
        files[number] = str(tmp_path / "photos" / name)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"<html>404</html>")
    files.append(str(tmp_path / "photos" / "broken.jpg"))
    graves = tmp_path / "graves"
    graves.mkdir()
    done = predict(
        str(tmp_path / "photos"), tmp_path / "rows.parquet", model=path, filesystem=deadly(graves), batch_size=2, top=3,
        workers=2, num_cpus=1,
    )  # fmt: skip
    deaths = sum(len(grave.read_text()) for grave in graves.iterdir())
    assert {grave.name: grave.read_text() for grave in graves.iterdir() if grave.name != "always.png"} == {
        "once.png": "x",
    }
    assert done._replace(output="") == ("", 12, 2, 0, deaths, 1)
    found = rows_of(tmp_path / "rows.parquet")
    deadly_row = found.pop(files[5])
    assert "always.png ended 3 processes that read it: killed, crashed or out of memory." in deadly_row["error"]
    assert deadly_row["error"].endswith("--resume (resume=True) tries it again")
    assert deadly_row["label"] is None
    wanted = expected(path, [file for file in files if file != files[5]], top=3)
    assert "an HTML page" in wanted[files[-1]]["error"]
    assert found == wanted


CUT = """
import sys, npresnet.cli, npresnet.ray.output as output
output.PART_S = 0.0
sys.exit(npresnet.cli.main(sys.argv[1:]))
"""


def test_a_killed_run_goes_on(ray, path, tmp_path):
    """The program that asked is killed. What it had done is not computed again."""
    files = write_pictures(tmp_path / "photos", 120, height=200, width=300)
    broken = tmp_path / "photos" / "broken.gif"
    broken.write_bytes(b"")
    wanted = expected(path, [*files, str(broken)])
    out, parts = tmp_path / "rows.parquet", tmp_path / "rows.parquet.parts"
    command = [
        "predict",
        str(tmp_path / "photos"),
        "--model",
        path,
        "-o",
        str(out),
        "--batch-size",
        "1",
        "--threads",
        "1",
    ]
    command += ["--ray", ray.get_runtime_context().gcs_address]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    program = subprocess.Popen(
        [sys.executable, "-c", CUT, *command], env=environment, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: program.poll() is not None or len(list(parts.glob("part-*"))) > 2, "no part was written")
    program.kill()
    assert program.wait() == -signal.SIGKILL, program.communicate()[1]
    program.stderr.close()
    wait_until(lambda: not any("ray::Worker" in name for name in marked(os.environ[MARK])), "its workers go on")
    done = rows_of(parts)
    assert 0 < len(done) < len(wanted)
    for file in done:
        Path(file).write_bytes(b"would be an error if it were read again")
    assert npresnet.cli.main([*command, "--resume"]) == int(str(broken) not in done)
    assert rows_of(out) == wanted
    assert not parts.exists()


class Mortal(Predictor):
    """Whose first process is killed at its first batch. Says of itself what tests want to know."""

    def __call__(self, batch):
        if not os.path.exists(batch["grave"][0]):
            Path(batch["grave"][0]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(batch)

    def threads(self) -> int:
        return self.model.config["threads"].value

    def mapped(self) -> list[str]:
        """What the addresses of the weights are mapped from."""
        maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
        spans = [(*(int(end, 16) for end in line[0].split("-")), line[5] if len(line) > 5 else "") for line in maps]
        arrays = [array for node in self.model.network for array in node.params.values()]
        assert arrays
        assert not any(array.flags.writeable for array in arrays)
        homes = {
            next(home for start, end, home in spans if start <= array.ctypes.data < end)
            for array in arrays
            if array.nbytes > 1024
        }
        return sorted(homes)


def test_weights_are_mapped_from_the_store_and_threads_are_those_granted(ray, path):
    actor = ray.remote(Mortal).options(num_cpus=2).remote(put(path))
    assert ray.get(actor.threads.remote(), timeout=PATIENCE_S) == 2
    (home,) = ray.get(actor.mapped.remote(), timeout=PATIENCE_S)
    assert "plasma" in home
    ray.kill(actor)


def test_ray_data_with_a_killed_actor(ray, path, tmp_path):
    files = write_pictures(tmp_path / "photos", 9, height=50, width=31)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    data = ray.data.read_binary_files(str(tmp_path / "photos"), include_paths=True).add_column(
        "grave", lambda batch: np.array([str(tmp_path / "grave")] * len(batch["path"])), batch_format="numpy"
    )
    found = data.map_batches(
        Mortal,
        fn_constructor_args=(put(path),),
        fn_constructor_kwargs={"top": 2},
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=1,
        batch_size=4,
    ).take_all()
    assert (tmp_path / "grave").exists()
    broken = next(row for row in found if row["path"].endswith("broken.jpg"))
    assert broken["error"]
    assert broken["top"] is None
    rows = {row.pop("path"): {name: row[name] for name in COLUMNS[1:]} for row in found if row is not broken}
    assert rows == expected(path, files, top=2)


def test_the_server_as_a_deployment(ray, path, tmp_path):
    from ray import serve

    (photo,) = write_pictures(tmp_path, 1, height=61, width=44)
    with pytest.raises(NpresnetError, match="max_bach"):
        deployment(path, max_bach=2)
    url = f"http://127.0.0.1:{free_port()}"
    serve.start(http_options={"host": "127.0.0.1", "port": int(url.rpartition(":")[2])})
    try:
        how = {"labels": list("abcdef")}
        serve.run(deployment(path, num_cpus=2, load_options=how, max_images=1), route_prefix="/")
        with urllib.request.urlopen(f"{url}/predict", data=Path(photo).read_bytes(), timeout=PATIENCE_S) as answer:
            found = json.load(answer)
        with urllib.request.urlopen(f"{url}/v2/models/six", timeout=PATIENCE_S) as answer:
            assert json.load(answer)["name"] == "six"
        with pytest.raises(urllib.error.HTTPError, match="422"):
            urllib.request.urlopen(f"{url}/predict", data=b"no picture", timeout=PATIENCE_S)
    finally:
        serve.shutdown()
    with npresnet.load(path, **how) as model:
        wanted = model.predict(photo)
    assert {name: found[name] for name in ("index", "label")} == {"index": wanted.index, "label": wanted.label}
    assert found["score"] == pytest.approx(wanted.score, abs=1e-6)


def test_errors_of_workers_are_those_of_load(ray, path, tmp_path):
    write_pictures(tmp_path / "photos", 2)
    with pytest.raises(DeviceError, match=r"CuPy|GPU|CUDA"):
        predict(tmp_path / "photos", tmp_path / "rows.parquet", model=path, device="cuda", num_gpus=0, num_cpus=1)
    with pytest.raises(DeviceError, match="no node of the cluster holds a worker with 64 CPUs"):
        predict(tmp_path / "photos", tmp_path / "rows.parquet", model=path, num_cpus=64)
    with pytest.raises(CheckpointError, match=r"gone\.npz"):
        predict(tmp_path / "photos", tmp_path / "rows.parquet", model=str(tmp_path / "gone.npz"))
    with pytest.raises(ImageError, match="holds no image files"):
        predict(tmp_path, tmp_path / "rows.parquet", model=path)
    assert not (tmp_path / "rows.parquet").exists()
