"""Facts: everything that the page shows, found with a model and an image. Nothing is drawn here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import INPUT, Array, Node
from npresnet.ops.record import window_of
from npresnet.ops.registry import operation_of
from npresnet.plan.shapes import Shape, infer_shapes
from npresnet.system.settings import quiet
from npresnet.teach.about import Device, device_of, labels_of, name_of, predict, shown_image
from npresnet.teach.explain.chain import Chain, find_chain, find_conv
from npresnet.teach.explain.matrix import Matrix, Shown, choose_shown, measure
from npresnet.teach.explain.pixel import Computation, Norm, Pixel, Place, compute_ways, group_channels, work_out
from npresnet.teach.explain.receptive_field import Field, jump, receptive_field
from npresnet.teach.pages import pictures
from npresnet.teach.steps import merged_into

if TYPE_CHECKING:
    from npresnet.model.model import Model

LARGEST_MAP = 224  # pixels of the longer side of a feature map's picture


@dataclass(frozen=True)
class Engine:
    """How npresnet's own backend computes this step.

    algorithm  in the backend's own words; "" where it has none
    tiles      how many parts the step has, `Device.part` each
    takes_in   labels of what else the step does when the whole network runs, such as the max pool after a stem
    """

    step: str
    algorithm: str
    tiles: int
    takes_in: list[str]


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
    residual            what the step adds then; null: nothing
    activation          the operation that comes last; null: none
    step_output         activation(output + residual): what the layer hands on
    step, labels        the (name, operation) of the nodes that the step does; what the page calls each operation
    raw_*, norm         the convolution as trained, and the BatchNorm's numbers
    channels            of the input, first and one past the last: those that the filter sees
    ways                the same number, computed in several ways
    """

    image: str
    arch: str
    device: Device
    prediction: list[tuple[str, float]]
    layer: str
    step: list[tuple[str, str]]
    labels: dict[str, str]
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
    activation: str | None
    step_output: float
    raw_sum: float
    raw_bias: np.float32
    norm: Norm | None
    ways: list[Computation]
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


@quiet
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

    Raises ArchitectureError for a layer other than a convolution, ShapeError for a place outside it, ImageError.
    """
    chain = find_chain(model.network, find_conv(model.network, layer))
    batch = model.preprocess(image)  # (1, C, H, W)
    maps = _run(model, chain, batch)
    place = choose_place(chain.conv, maps.result, at, channel)
    x, residual = maps.source, None
    if maps.residual is not None:
        residual = np.float32(maps.residual[0, place.channel, place.row, place.col])
    pixel, device = work_out(chain, place, x, residual), device_of(model)
    summed, result = (np.float32(y[0, place.channel, place.row, place.col]) for y in (maps.summed, maps.result))
    shapes = infer_shapes(model.network, batch.shape[1:])
    return Facts(
        image=name_of(image),
        arch=str(model.config.value("arch")),
        device=device,
        prediction=predict(model, batch),
        layer=chain.conv.name,
        step=[(node.name, node.op) for node in chain.nodes],
        labels=labels_of(node.op for node in chain.nodes),
        channel=place.channel,
        row=place.row,
        col=place.col,
        **_window(chain.conv),
        channels=_seen(chain.conv, place.channel),
        **{name: getattr(pixel, name) for name in Pixel.__dataclass_fields__},
        residual_name=chain.residual,
        ways=compute_ways(chain, place, pixel, x, (_backend_in_words(device), summed, result)),
        engine=_engine(model, chain, batch.shape[1:]),
        input_name=chain.conv.inputs[0],
        photo=pictures.photo(cropped := shown_image(model, image)),
        photo_size=cropped.shape[:2],
        input_picture=_mean_picture(x),
        output_picture=_channel_picture(maps.result, place.channel),
        receptive_field=_field(model, chain.conv.name, place, shapes),
        input_field=_input_field(model, chain.conv, shapes),
        input_jump=jump(model.network, chain.conv.inputs[0], shapes),
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


@dataclass(frozen=True)
class _Maps:
    """Feature maps (1, C, H, W) by the backend: read by the convolution, added to it; after the bias; of the step."""

    source: Array
    residual: Array | None
    summed: Array
    result: Array


def _run(model: Model, chain: Chain, batch: Array) -> _Maps:
    """Each value is asked for alone, so that the backend fuses this step as it does in the whole network."""

    def value(name: str) -> Array:
        return batch if name == INPUT else model.features(batch, [name])[name]

    residual = None if chain.residual is None else value(chain.residual)
    result = value(chain.last)
    summed = result if chain.summed == chain.last else value(chain.summed)
    return _Maps(value(chain.conv.inputs[0]), residual, summed, result)


def _engine(model: Model, chain: Chain, shape: Shape) -> Engine:
    executable = model.executable([chain.last])
    name = executable.layout(shape).network.outputs[chain.last]
    step = next(step for step in executable.steps(shape) if step.name == name)
    return Engine(name, step.algorithm, len(step.tiles), _takes_in(model, chain, name, shape))


def _takes_in(model: Model, chain: Chain, step: str, shape: Shape) -> list[str]:
    """What follows the chain in the same step when the backend runs the whole network."""
    done = merged_into(model.network, model.executable().layout(shape).network).get(step, [])
    own = {node.name for node in chain.nodes}
    return [operation_of(node).label for node in done if node.name not in own]


def _backend_in_words(device: Device) -> str:
    if not device.is_gpu:
        return "npresnet's own CPU backend"
    precision = "" if device.dtype == "float32" else f", in {device.dtype}"
    return f"npresnet's own kernels on {device.name}{precision}"


def _window(conv: Node) -> dict[str, Any]:
    window = window_of(conv)
    sizes = {name: getattr(window, name) for name in ("kernel_size", "stride", "padding", "dilation")}
    return {**sizes, "groups": conv.groups}


def _seen(conv: Node, channel: int) -> tuple[int, int]:
    own = group_channels(conv, channel)
    return own.start, own.stop


def _field(model: Model, name: str, place: Place, shapes: Mapping[str, Shape]) -> Field:
    rows, columns = (place.row, place.row + 1), (place.col, place.col + 1)
    return receptive_field(model.network, name, rows, columns, shapes)


def _input_field(model: Model, conv: Node, shapes: Mapping[str, Shape]) -> tuple[int, int]:
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
