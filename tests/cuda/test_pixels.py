"""Programs that take pixels: the same steps and bits as with images that the CPU has normalised."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import cuda, images, passes
from npresnet.cuda.compiler.reduction import segmentations
from npresnet.cuda.pixels import Normalisation
from npresnet.cuda.runtime.programs import Programs
from npresnet.errors import ShapeError
from npresnet.images import Preprocess
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.cuda.running import compiled, small_network
from tests.emulator import emulator
from tests.support.cases import integers

pytestmark = emulator.needed

COLOUR = Preprocess(resize=None, crop=None)
GREY = Preprocess(resize=None, crop=None, mean=(0.4,), std=(0.3,))


def normalisation(how: Preprocess) -> Normalisation:
    return Normalisation(how.mean, how.std)


def pictures(count: int, channels: int = 3) -> np.ndarray:
    """(count, 8, 8, channels) uint8."""
    return np.random.default_rng(count).integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)


def normalised(pixels: np.ndarray, how: Preprocess) -> np.ndarray:
    """(N, C, H, W) float32 by the CPU."""
    sources = pixels if how.channels == 3 else pixels[..., 0]
    return np.concatenate([images.preprocess(picture, how) for picture in sources])


def programs_of(network: Network, how: Preprocess, dtype: str = "float32") -> Programs:
    gpu, ways = cuda.open_gpu("cuda"), segmentations(network)
    return Programs(ways, gpu, cuda.ELEMENTS[dtype], cuda.Weights(gpu), gpu.stream(), normalisation(how))


def run(programs: Programs, pixels: np.ndarray, name: str) -> np.ndarray:
    """A float32 result, by the name by which it is asked for."""
    count, *size, channels = pixels.shape
    captured = programs.get((channels, *size), count)
    gpu, stream, layout = cuda.open_gpu("cuda"), programs._stream, captured.program.layout
    assert layout.images_bytes == pixels.nbytes
    found = np.empty((count, *captured.program.result_shapes[name]), np.float32)
    with gpu.active():
        gpu.upload(captured.images_address, pixels, stream)
        captured.graph.launch(stream)
        gpu.download(found, captured.result_address(name), stream)
        stream.synchronize()
    return found


@pytest.mark.parametrize("dtype", ["float32", "tf32", "float16", "bfloat16"])
def test_the_bits_of_images_normalised_by_the_cpu(gpus, dtype):
    gpus()
    programs = programs_of(small_network(), COLOUR, dtype)
    for count in (1, 3):
        pixels = pictures(count)
        right = compiled(small_network(), dtype)(normalised(pixels, COLOUR))["logits"]
        np.testing.assert_array_equal(run(programs, pixels, "logits"), right)


def grey_network() -> Network:
    weight = {"weight": integers(np.random.default_rng(0), (8, 1, 3, 3), most=1)}
    return passes.optimize(
        Network((Node("conv1", "conv2d", (INPUT,), Window.of(3, 2, 1), params=weight),), {"all": "conv1"})
    )


def unpadded_network() -> Network:
    """Whose first node would see channels of zeros."""
    return Network((Node("pool", "max_pool2d", (INPUT,), Window.of(2, 2)),), {"all": "pool"})


@pytest.mark.parametrize(
    ("network", "how"),
    [(grey_network(), GREY), (unpadded_network(), GREY), (unpadded_network(), COLOUR)],
    ids=["grey", "grey, unpadded", "colour, unpadded"],
)
def test_other_channels(gpus, network, how):
    gpus()
    pixels = pictures(2, how.channels)
    right = compiled(network)(normalised(pixels, how))["all"]
    np.testing.assert_array_equal(run(programs_of(network, how), pixels, "all"), right)


def test_the_first_step_preprocesses_and_a_byte_a_pixel_is_kept(gpus):
    gpus()
    program = programs_of(small_network(), COLOUR).compile((3, 8, 8), 2)
    floats = compiled(small_network())._programs.compile((3, 8, 8), 2)
    assert program.layout.images_bytes == 2 * 8 * 8 * 3
    assert floats.layout.images_bytes == 4 * program.layout.images_bytes
    first, *others = program.bind(1 << 20, cuda.Weights(cuda.open_gpu("cuda")), 1 << 19)
    assert (first.name, [launch.kernel for launch in first.tiles]) == ("(images in)", ["preprocess_4"])
    assert [step.name for step in others] == [step.name for step in compiled(small_network()).steps((3, 8, 8), 2)[1:]]
    assert all(bound.layout.pixels == normalisation(COLOUR) for bound in program.bound.values())


def test_pixels_of_other_channels_are_refused(gpus):
    gpus()
    with pytest.raises(ShapeError, match="expects images of 3 channels, the pixels have 1"):
        programs_of(small_network(), GREY).compile((3, 8, 8), 1)
