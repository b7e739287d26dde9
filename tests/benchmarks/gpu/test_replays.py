"""That what is timed, and what is judged by every launcher's tiles, is what it is said to be."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.gpu import exact_network, kernels, networks, parity, pixels, subjects
from benchmarks.gpu.bench import Bench
from npresnet import cuda, passes
from tests.emulator import emulator
from tests.emulator.cupy_stand_in import CupyStandIn

pytestmark = emulator.needed


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    found = CupyStandIn(capability=90, multiprocessors=4).install(monkeypatch, tmp_path)
    monkeypatch.setattr(subjects, "network", lambda name: exact_network.network())  # a stem with a pool behind it
    yield found
    found.forget()


@pytest.fixture
def bench(stand_in):
    gpu = cuda.open_gpu("cuda")
    return Bench(gpu, gpu.stream(), emulated=True, precisions=["float16"])


def logits(bench, executable, images):
    """Those of the last run."""
    captured = executable._programs.get((3, bench.image_size, bench.image_size), images)
    found = np.empty((images, exact_network.CLASSES), np.float32)
    bench.gpu.download(found, captured.result_address("logits"), bench.stream)
    bench.stream.synchronize()
    return found


@pytest.mark.parametrize("measure", [networks._race, kernels._time_steps])
def test_each_run_that_is_timed_computes_on_the_images(bench, monkeypatch, measure):
    seen, close = [], cuda.Executable.close

    def look_and_close(executable):
        seen.append(logits(bench, executable, 2))
        close(executable)

    x = subjects.images(2, bench.image_size)
    with subjects.executable(bench.gpu, "", "float16") as executable:
        right = executable(x)["logits"]
    monkeypatch.setattr(cuda.Executable, "close", look_and_close)
    measure(bench, "", "float16", 2, *([False] if measure is networks._race else []))
    (found,) = seen
    assert np.isfinite(right).all()
    np.testing.assert_array_equal(found, right)


def test_each_run_on_pixels_that_is_timed_computes_on_them(bench, monkeypatch):
    seen, brought, bring, race = [], [], pixels.bring, Bench.race

    def bring_and_note(bench, captured, pictures):
        brought.append(captured)
        bring(bench, captured, pictures)

    def race_and_look(bench, racers):
        times = race(bench, racers)
        found = np.empty((2, exact_network.CLASSES), np.float32)
        bench.gpu.download(found, brought[0].result_address("logits"), bench.stream)
        bench.stream.synchronize()
        seen.append(found)
        return times

    network, element = passes.optimize(exact_network.network()), cuda.ELEMENTS["float16"]
    run = cuda.Pipeline(network, bench.gpu, element, cuda.Weights(bench.gpu), pixels.PIXELS)
    right = run.submit(pixels.pixels(2, bench.image_size)).result().values
    monkeypatch.setattr(pixels, "bring", bring_and_note)
    monkeypatch.setattr(Bench, "race", race_and_look)
    assert "problem" not in pixels._measure(bench, "", "float16", 2)
    (found,) = seen
    assert np.isfinite(right).all()
    np.testing.assert_array_equal(found, right)


def test_the_tiles_of_a_stem_are_judged_by_a_network_that_runs_them(bench, stand_in):
    finding = parity._compare_tiles(bench, "", "float16", "stem_mma")
    assert "problem" not in finding
    assert "absent" not in finding
    assert any("stem_mma" in kernel and "pool" not in kernel for kernel in stand_in.kernels)
