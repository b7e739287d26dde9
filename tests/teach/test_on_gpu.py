"""explain, trace, ladder, diff and bench --layers on either device: the same facts, through the executable's face.

The GPU is emulated: its numbers are those of the kernels, its times are not real.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import pytest

import npresnet
from npresnet import cli, ops
from npresnet.bench.layers import Request, time_layers
from npresnet.model.model import Model
from npresnet.network import INPUT
from npresnet.teach import diff, explain, trace
from npresnet.teach.ladder import climb, find_layer
from npresnet.teach.ladder.rungs import Rung, cpu_rungs
from tests.cuda.conftest import gpus
from tests.emulator import emulator
from tests.support.small import picture, write_pictures

__all__ = ["gpus"]
pytestmark = emulator.needed

PHOTO = picture(1)
GPU = "NVIDIA Emulated"
SIZE = 16  # pixels of an image, which an emulator has soon computed
SMALL = {"resize": SIZE, "crop": SIZE}
LAYER = "layer2.0.conv2"  # with a residual


@pytest.fixture(params=["cpu", "cuda"])
def device(request, gpus) -> str:
    if request.param == "cuda":
        gpus(capability=90, name=GPU)
    return request.param


@pytest.fixture
def load(device) -> Callable[..., Model]:
    """The demo model on the device, for small images; closed after the test."""
    opened: list[Model] = []

    def load(**options) -> Model:
        opened.append(npresnet.load("demo", device=device, threads=1, preprocess=SMALL, **options))
        return opened[-1]

    yield load
    for model in opened:
        model.close()


def test_the_steps_are_the_network_s(load):
    """What the tools read of the face: every node once and in order, each with its place and its result."""
    model = load()
    executable, shape, x = model.executable(), (3, SIZE, SIZE), model.preprocess(PHOTO)
    names = [node.name for node in executable.network]
    steps, layout = executable.steps(shape), executable.layout(shape)
    working = [step.name for step in steps if step.name in layout.values]
    assert working == [name for name in names if name in working]
    assert {executable.network[name].op for name in names if name not in working} <= {
        "flatten"
    }  # moves nothing on a GPU
    assert all(step.tiles for step in steps)
    watch = executable.stopwatch(executable.as_array(x))
    assert [step.name for step in watch.steps] == [step.name for step in steps]
    assert len(watch.lap()) == len(watch.images) == len(steps)
    assert set(layout.values) >= {INPUT, *names}
    assert 2 * sum(layout.macs.values()) == sum(step.flops for step in steps)
    keeping = executable.keeping_all()
    kept = keeping(keeping.as_array(x))
    assert set(kept) == set(names)
    np.testing.assert_array_equal(kept[names[-1]], model(x))
    keeping.close()


def test_explain(load, device):
    model = load()
    facts = explain.gather(model, PHOTO, LAYER)
    last = facts.ways[-1]
    assert (facts.device.is_gpu, facts.device.name) == (device == "cuda", GPU if device == "cuda" else "CPU")
    assert GPU in last.text if device == "cuda" else "CPU" in last.text
    assert (facts.engine.step, facts.engine.tiles > 0, facts.engine.algorithm != "") == (LAYER, True, True)
    assert (facts.activation, facts.residual is not None) == ("relu", True)
    result = model.features(model.preprocess(PHOTO), [facts.step[-1][0]])[facts.step[-1][0]]
    assert last.step_output == result[0, facts.channel, facts.row, facts.col]
    assert float(last.step_output) == pytest.approx(facts.step_output, rel=1e-4, abs=1e-5)
    assert "npresnet-data" in explain.render(facts)


def test_trace(load, device):
    model = load()
    facts = trace.gather(model, PHOTO)
    network, x = model.network, model.preprocess(PHOTO)
    everything = ops.run(type(network)(network.nodes, {node.name: node.name for node in network}), x.astype(np.float64))
    assert sorted(name for step in facts.steps for name, _ in step.nodes) == sorted(node.name for node in network)
    for step in facts.steps:
        exact = everything[step.nodes[-1][0]]
        assert step.maps.low == pytest.approx(exact.min(), rel=1e-3, abs=1e-3)
        assert step.maps.high == pytest.approx(exact.max(), rel=1e-3, abs=1e-3)
        assert step.ms > 0
        assert step.tiles > 0
    assert {block.name for block in facts.arena} == {INPUT, *(step.name for step in facts.steps)}
    assert max(block.offset + block.size for block in facts.arena) <= facts.arena_bytes
    assert facts.device.timed == (f"on {GPU} (cuda:0)" if device == "cuda" else "on one thread of this machine")
    assert facts.device.part == ("kernel launch" if device == "cuda" else "tile")
    assert f"{len(network)} nodes" not in trace.render(facts)  # the page's script says it, from its data


def test_pages_by_the_command_line(device, tmp_path, capsys):
    (photo,) = write_pictures(tmp_path, 1)
    with npresnet.load("demo", preprocess=SMALL) as model:
        model.save(tmp_path / "small.npz")
    words = [photo, "--model", str(tmp_path / "small.npz"), "--device", device, "-o", str(tmp_path / "page.html")]
    for command, told in (("explain", "conv1, channel"), ("trace", "nodes in")):
        assert cli.main([command, *words]) == 0
        assert told in capsys.readouterr().err
        (data,) = re.findall(
            r'id="npresnet-data">(.*?)</script>', (tmp_path / "page.html").read_text("utf-8"), re.DOTALL
        )
        assert json.loads(data)["device"]["is_gpu"] == (device == "cuda")


def test_half_precision_is_told(gpus):
    """A page says that numbers were rounded; its sizes count two bytes a number."""
    gpus(capability=90, name=GPU)
    how = {"device": "cuda", "preprocess": SMALL}
    with npresnet.load("demo", dtype="float16", **how) as half, npresnet.load("demo", **how) as single:
        explained = explain.gather(half, PHOTO, LAYER)
        assert explained.device.dtype == "float16"
        assert "float16" in explained.ways[-1].text
        traced = [trace.gather(model, PHOTO) for model in (half, single)]
    assert 2 * traced[0].weights_bytes == traced[1].weights_bytes
    assert 2 * traced[0].unfused_bytes == traced[1].unfused_bytes
    assert traced[0].arena_bytes < traced[1].arena_bytes


def test_diff(load):
    pytest.importorskip("torch", reason="torch is not installed")
    model = load()
    found = diff.diff(model, model.preprocess(PHOTO))
    assert found.first is None, diff.verdict(found)
    assert {layer.name for layer in found.layers} <= {node.name for node in model.executable().network}
    assert len(found.layers) > 20


def test_diff_refuses_fewer_digits_than_float32(gpus):
    gpus(capability=90, name=GPU)
    with npresnet.load("demo", device="cuda", dtype="float16") as model:
        x = model.preprocess(PHOTO)
        with pytest.raises(npresnet.DeviceError, match=r'float16 on cuda:0.*dtype="float32"'):
            diff.diff(model, x)


def test_diff_finds_the_step_with_the_fault(load, monkeypatch):
    """A bias forgotten, on npresnet's side alone."""
    pytest.importorskip("torch", reason="torch is not installed")
    real = npresnet.passes.optimize

    def faulty(network):
        made = real(network)
        nodes = [
            node.evolve(params={**node.params, "bias": 0 * node.params["bias"]}) if node.name == LAYER else node
            for node in made
        ]
        return type(made)(tuple(nodes), made.outputs)

    monkeypatch.setattr(npresnet.passes, "optimize", faulty)
    model = load()
    found = diff.diff(model, model.preprocess(PHOTO))
    assert found.first is not None
    assert found.first.name == LAYER


def test_the_ladder_takes_a_layer_of_either_device(load):
    model = load()
    layer = find_layer(model, LAYER, model.preprocess(PHOTO))
    rungs: list[Rung] = cpu_rungs()[2:]
    assert [step.status for step in climb(layer, model="", image="", seconds=0.0, rungs=rungs).steps] == ["equal"] * 3


@pytest.mark.parametrize("batch", [1, 3])
def test_times_by_layer(device, batch, tmp_path):
    options = {} if device == "cpu" else {"device": "cuda", "dtype": "float16"}
    with npresnet.load("demo") as model:
        model.save(tmp_path / "demo.npz")
    found = time_layers(
        Request(str(tmp_path / "demo.npz"), batch=batch, size=SIZE, seconds=0.0, options=options)
    ).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["device"] == ("one thread" if device == "cpu" else f"{GPU} (cuda:0), float16")
    assert (found["gemm_peak_gflops"] is None) == (device == "cuda")
    assert all(step["ms"] > 0 for step in found["steps"])
    assert sum(step["flops"] for step in found["steps"]) == pytest.approx(2 * 40.55e6 * (SIZE / 32) ** 2, rel=0.02)
    assert f"convolution 3x3 16->16, {SIZE}x{SIZE}" in [step["shape"] for step in found["steps"]]
