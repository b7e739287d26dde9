"""Facts: everything that the page shows, found with a model and an image. Nothing is drawn here."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet import images
from npresnet.errors import ShapeError
from npresnet.network import INPUT, Array, Node
from npresnet.plan.shapes import infer_shapes
from npresnet.teach.explain.chain import Chain, find_chain, find_conv
from npresnet.teach.explain.matrix import Matrix, Shown, choose_shown, measure
from npresnet.teach.explain.pixel import Norm, Pixel, Place, Way, compute_ways, work_out
from npresnet.teach.explain.receptive_field import Field, jump, receptive_field
from npresnet.teach.pages import pictures

if TYPE_CHECKING:
    from npresnet.model.model import Model

LARGEST_MAP = 224  # pixels of the longer side of a feature map's picture


@dataclass(frozen=True)
class Engine:
    """How npresnet's own backend computes this step: `algorithm` in its own words, tiles, and bytes of scratch."""

    step: str
    algorithm: str
    tiles: int
    threads: int
    with_max_pool: bool


@dataclass(frozen=True)
class Picture:
    """A feature map as a picture: what it shows, its (C, H, W), least and largest value of what is drawn."""

    text: str
    uri: str
    shape: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True)
class Facts:
    """What the page shows; the names below are those in the page's JSON (element id "npresnet-data").

    patch, weight       (C/G, KH, KW): the inputs and the filter, with the BatchNorm folded in where there is one
    products_sum        sum of patch x weight
    output              products_sum + bias
    residual, relu      what the step adds then (null: nothing), and whether it clamps at 0
    step_output         relu(output + residual): what the layer hands on
    raw_*, norm         the convolution as trained, and the BatchNorm's numbers
    channels            of the input, first and one past the last: those that the filter sees
    ways                the same number, computed in several ways
    """

    image: str
    arch: str
    prediction: list[tuple[str, float]]
    layer: str
    step: list[tuple[str, str]]
    channel: int
    row: int
    col: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    channels: tuple[int, int]
    patch: Array
    inside: Array
    weight: Array
    raw_weight: Array
    channel_sums: Array
    products_sum: float
    bias: np.float32
    output: float
    residual: np.float32 | None
    residual_name: str | None
    relu: bool
    step_output: float
    raw_sum: float
    raw_bias: np.float32
    norm: Norm | None
    ways: list[Way]
    engine: Engine
    input_name: str
    photo: str
    photo_size: tuple[int, int]
    input_picture: Picture
    output_picture: Picture
    receptive_field: Field
    input_field: tuple[int, int]
    input_jump: tuple[int, int]
    matrix: Matrix
    shown: Shown
    other_layers: list[str] = field(default_factory=list)


def gather(
    model: Model,
    image: Any,
    layer: str | None = None,
    at: tuple[int, int] | None = None,
    channel: int | None = None,
) -> Facts:
    """Work out one output of one convolution of `model` for `image`.

    image    a path, or whatever `model.predict` takes
    layer    a convolution's name, such as "layer1.0.conv1"; by default the network's first
    at       (row, column) of its output; by default where the response is strongest
    channel  which filter; by default the one that responds most

    Raises ArchitectureError for a layer that is no convolution, ShapeError for a place outside the output, ImageError.
    """
    chain = find_chain(model.network, find_conv(model.network, layer))
    batch = model.preprocess(image)  # (1, C, H, W)
    maps = _run(model, chain, batch)
    place = choose_place(chain.conv, maps.result, at, channel)
    x, residual = maps.source, None
    if maps.residual is not None:
        residual = np.float32(maps.residual[0, place.channel, place.row, place.col])
    pixel = work_out(chain, place, x, residual)
    engine = tuple(np.float32(y[0, place.channel, place.row, place.col]) for y in (maps.summed, maps.result))
    shapes = infer_shapes(model.network, batch.shape[1:])
    return Facts(
        image=name_of(image),
        arch=str(model.config.value("arch")),
        prediction=predict(model, batch),
        layer=chain.conv.name,
        step=[(node.name, node.op) for node in chain.nodes],
        channel=place.channel,
        row=place.row,
        col=place.col,
        **_window(chain.conv),
        channels=_seen(chain.conv, place.channel),
        **{name: getattr(pixel, name) for name in Pixel.__dataclass_fields__},
        residual_name=chain.residual,
        ways=compute_ways(chain, place, pixel, x, (engine[0], engine[1])),
        engine=_engine(model, chain, batch),
        input_name=chain.conv.inputs[0],
        photo=pictures.photo(cropped := images.cropped(image, model.config["preprocess"].value)),
        photo_size=cropped.shape[:2],
        input_picture=_mean_picture(x),
        output_picture=_channel_picture(maps.result, place.channel),
        receptive_field=_field(model, chain.conv.name, place, shapes),
        input_field=_input_field(model, chain.conv, shapes),
        input_jump=jump(model.network, chain.conv.inputs[0]),
        matrix=measure(chain.conv, x.shape[1:]),
        shown=choose_shown(chain.conv, place, x),
        other_layers=[node.name for node in model.network if node.op == "conv2d"],
    )


def choose_place(conv: Node, result: Array, at: tuple[int, int] | None, channel: int | None) -> Place:
    """The place asked for; what is open is chosen for the strongest response. result: (1, O, OH, OW), of the step.

    Raises ShapeError for a place outside the output.
    """
    _, channels, height, width = result.shape
    if channel is not None and not 0 <= channel < channels:
        raise ShapeError(f"{conv.name} has the output channels 0 to {channels - 1}, so there is no channel {channel}")
    if at is not None and not (0 <= at[0] < height and 0 <= at[1] < width):
        raise ShapeError(
            f"{conv.name} has an output of {height} rows and {width} columns for this image, so --at goes from 0,0 to "
            f"{height - 1},{width - 1}; {at[0]},{at[1]} lies outside"
        )
    open_channels = slice(None) if channel is None else slice(channel, channel + 1)
    rows, columns = (slice(None), slice(None)) if at is None else (slice(at[0], at[0] + 1), slice(at[1], at[1] + 1))
    part = result[0, open_channels, rows, columns]
    found = np.unravel_index(np.argmax(np.nan_to_num(part, nan=-np.inf)), part.shape)
    row, col = (int(found[1]), int(found[2])) if at is None else at
    return Place(int(found[0]) if channel is None else channel, row, col)


def name_of(image: Any) -> str:
    """A file's name without its folders, for a page may be handed on; "an image" for one that has none."""
    if isinstance(image, (str, os.PathLike)):
        return os.path.basename(os.fsdecode(image)).encode("utf-8", "replace").decode("utf-8")
    return "an image"


@dataclass(frozen=True)
class _Maps:
    """Feature maps (1, C, H, W) by the engine: read by the convolution, added to it; after the bias; of the step."""

    source: Array
    residual: Array | None
    summed: Array
    result: Array


def _run(model: Model, chain: Chain, batch: Array) -> _Maps:
    """Each value is asked for alone, so that the engine fuses this step as it does when nobody looks."""

    def value(name: str) -> Array:
        return batch if name == INPUT else model.features(batch, [name])[name]

    residual = None if chain.residual is None else value(chain.residual)
    result = value(chain.last)
    summed = result if chain.summed == chain.last else value(chain.summed)
    return _Maps(value(chain.conv.inputs[0]), residual, summed, result)


def predict(model: Model, batch: Array) -> list[tuple[str, float]]:
    """The three best classes; none where the network has no classifier."""
    if not model.config.value("num_classes"):
        return []
    from npresnet.model.prediction import Prediction

    top = Prediction(model(batch)[0], model.labels, 3).top
    return [(candidate.label, candidate.score) for candidate in top]


def _engine(model: Model, chain: Chain, batch: Array) -> Engine:
    executable = model._executables.get((chain.last,))
    steps = {step.name: step for step in executable.plan(batch.shape[1:]).steps}
    step = steps[executable.network.outputs[chain.last]]
    return Engine(step.name, step.algorithm, len(step.tiles), executable.threads, _pools(model, step.name))


def _window(conv: Node) -> dict[str, Any]:
    window = conv.window
    assert window is not None
    sizes = {name: getattr(window, name) for name in ("kernel_size", "stride", "padding", "dilation")}
    return {**sizes, "groups": conv.groups}


def _seen(conv: Node, channel: int) -> tuple[int, int]:
    from npresnet.teach.explain.pixel import group_channels

    own = group_channels(conv, channel)
    return own.start, own.stop


def _field(model: Model, name: str, place: Place, shapes: dict[str, Any]) -> Field:
    rows, columns = (place.row, place.row + 1), (place.col, place.col + 1)
    return receptive_field(model.network, name, rows, columns, shapes)


def _input_field(model: Model, conv: Node, shapes: dict[str, Any]) -> tuple[int, int]:
    """Pixels of the photo, down and across, that one position of the convolution's input depends on."""
    source = conv.inputs[0]
    if source == INPUT:
        return 1, 1
    one = receptive_field(model.network, source, (0, 1), (0, 1), shapes)
    return one.rows[1] - one.rows[0], one.columns[1] - one.columns[0]


def _mean_picture(values: Array) -> Picture:
    return _picture("the mean over all channels", values[0].mean(axis=0), values.shape[1:])


def _channel_picture(values: Array, channel: int) -> Picture:
    return _picture(f"channel {channel}", values[0, channel], values.shape[1:])


def _picture(text: str, plane: Array, shape: tuple[int, ...]) -> Picture:
    step = -(-max(plane.shape) // LARGEST_MAP)
    uri = pictures.feature_map(plane[::step, ::step])
    return Picture(text, uri, tuple(shape), float(plane.min()), float(plane.max()))


def _pools(model: Model, name: str) -> bool:
    """Whether the backend joins a max pool to this step when it runs the whole network."""
    return any(node.name == name and node.op == "conv2d_max_pool2d" for node in model._executables.get(None).network)
