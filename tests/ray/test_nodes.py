"""A cluster of two nodes, each a raylet with a store of its own on this machine, of which one is lost."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from npresnet.ray import Predictor, predict, put
from tests.ray.test_cluster import expected, path, rows_of  # noqa: F401 - path is a fixture
from tests.support.ray_files import PATIENCE_S, awaited
from tests.support.small import write_pictures

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of Ray's own lines
    pytest.mark.skipif(sys.platform != "linux", reason="Ray simulates nodes on Linux alone"),
]


@pytest.fixture
def nodes(monkeypatch):
    """Ray, the cluster, and its second node."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    assert not ray.is_initialized()
    size = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    try:
        second = cluster.add_node(**size)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield ray, cluster, second
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_node_that_is_lost_loses_nothing(nodes, path, tmp_path):  # noqa: F811
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ray, cluster, second = nodes
    assert ray.get_runtime_context().get_node_id() != second.node_id  # where `put` stores
    files = write_pictures(tmp_path / "photos", 24, height=41, width=53)
    wanted = expected(path, files)

    # weights come out of the first node's store, over the network, into that of the second
    there = NodeAffinitySchedulingStrategy(second.node_id, soft=False)
    actor = ray.remote(Predictor).options(num_cpus=1, scheduling_strategy=there).remote(put(path))
    batch = {"path": files[:2], "bytes": [Path(file).read_bytes() for file in files[:2]]}
    rows = ray.get(actor.__call__.remote(batch), timeout=PATIENCE_S).to_pylist()
    assert {row.pop("path"): row for row in rows} == {file: wanted[file] for file in files[:2]}
    ray.kill(actor)

    removed = []

    def remove(done: int, total: int) -> None:
        if not removed:
            removed.append(done)
            cluster.remove_node(second, allow_graceful=False)

    seen = tmp_path / "seen"
    done = predict(
        str(tmp_path / "photos"), tmp_path / "rows.parquet", model=path, filesystem=awaited(second.node_id, seen),
        workers=2, num_cpus=1, batch_size=2, advance=remove,
    )  # fmt: skip
    assert seen.exists()  # a worker of the lost node had a chunk
    assert removed[0] < len(files)
    assert done._replace(output="") == ("", len(files), 0, 0, 1, 0)
    assert rows_of(tmp_path / "rows.parquet") == wanted
    assert not os.path.exists(tmp_path / "rows.parquet.parts")
