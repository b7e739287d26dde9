from __future__ import annotations

import json
import sys

import pytest

import npresnet
from benchmarks import serve
from benchmarks.kit.load import Load, LoadError, index_of, load, request_of, running
from tests.serve.conftest import jpeg
from tests.support.served import served


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("loaded") / "net.npz"
    how = {"resize": 40, "crop": 32, "std": [40.0] * 3}
    npresnet.build("cifar_resnet20", num_classes=7, preprocess=how, threads=1).save(path)
    return str(path)


def test_prints_a_table_and_writes_where_it_is_told(weights, tmp_path, capsys):
    output = tmp_path / "found.json"
    words = ["--quick", "--model", weights, "--servers", "npresnet", "--clients", "1", "3", "--threads", "1"]
    assert serve.main([*words, "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "npresnet serve" in printed
    entry = json.loads(output.read_text())
    assert entry["kind"] == "serve"
    assert entry["command"].startswith("python benchmarks/serve.py --quick --model net.npz")
    for case, clients in zip(entry["cases"], (1, 3), strict=True):
        found = case["servers"]["npresnet"]
        assert case["clients"] == clients
        assert found["requests"] >= clients
        assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"]
    assert str(tmp_path) not in output.read_text()
    section = serve.section(entry)
    assert "| 3 | npresnet serve |" in section
    assert "found.json" in section


def test_a_server_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(serve.NEEDS, "fastapi", ("no_such_library",))
    assert serve._before("fastapi") | {"load": None} == {
        "status": "absent",
        "reason": "needs no_such_library",
        "load": None,
    }
    entry = {"cases": [{"clients": 1, "servers": {"fastapi": {"status": "absent", "reason": "needs x"}}}]}
    assert "not installed" in serve.table(entry).to_text()
    assert serve.problems(entry) == ["FastAPI + PyTorch: not installed (needs x)"]


def test_a_server_that_fails_is_told():
    with (
        pytest.raises(LoadError, match="did not start: no good"),
        running([sys.executable, "-c", "import sys; sys.exit('no good')"], {}),
    ):
        pass


def test_answers_that_are_wrong_end_it(weights):
    with served("--model", weights, "--threads", "1") as server:
        port = int(server.address.rpartition(":")[2])
        assert load(port, request_of(jpeg(1)), 2, 0.2)[1] == npresnet.load(weights).predict(jpeg(1)).index
        with pytest.raises(LoadError, match="422"):
            load(port, request_of(b"no picture"), 2, 0.2)
    with pytest.raises(LoadError):
        load(port, request_of(jpeg(1)), 1, 0.2)


def test_quantiles():
    assert Load([float(i) for i in range(101)], 50.0).to_dict() == {
        "requests": 101,
        "requests_per_s": 2.02,
        "p50_ms": 50.0,
        "p95_ms": 95.0,
        "p99_ms": 99.0,
    }
    assert index_of(b'[{"index": 3}]') == index_of(b'{"index": 3}') == 3


def test_the_page_is_what_the_newest_results_say():
    assert serve.main(["--check"]) == 0
