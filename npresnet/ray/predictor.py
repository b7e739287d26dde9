"""Predictor: for pipelines of `ray.data`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from npresnet.errors import ImageError
from npresnet.model.inputs import as_count
from npresnet.model.records import record
from npresnet.ray.cluster import agreed, arrow
from npresnet.ray.table import COLUMNS, table
from npresnet.ray.weights import ModelLike, Weights, opened

INPUTS = ("bytes", "image")


class Predictor:
    """Classifies the images of a batch; for `map_batches`, which makes one in each of its actors.

    Parameters
    ----------
    model : Weights, path, str or Model
        What `put` returns; or a file or a name, which every node must have, or downloads.
    top : int
        Number of candidates in the column `top`.
    batch_size : int
        Images that are decoded and run together; it does not affect the results.
    **options
        Those of `npresnet.load`. By default `threads` is what the actor's num_cpus grants (1 if less), and `device` is
        "cuda" where num_gpus grants one.

    Attributes
    ----------
    model : Model
        The loaded model.

    Examples
    --------
    ::

        import ray
        from npresnet.ray import Predictor, put

        photos = ray.data.read_binary_files("s3://bucket/photos", include_paths=True)
        actors = ray.data.ActorPoolStrategy(size=4)
        photos.map_batches(Predictor, fn_constructor_args=(put("resnet50.npz"),), compute=actors, num_cpus=2)
    """

    def __init__(self, model: ModelLike | Weights = "demo", *, top: int = 5, batch_size: int = 32, **options: Any):
        self.top, self.batch_size = as_count(top, "top"), as_count(batch_size, "batch_size")
        self.model = opened(model, **agreed(options))

    def __call__(self, batch: Any) -> Any:
        """A batch to a pyarrow table of n rows in the same order.

        Parameters
        ----------
        batch : dict, DataFrame or Table
            Ray's batch formats: {column: array of n}, or pandas' or pyarrow's. With a column "bytes" (picture files, as
            `read_binary_files` gives them), or "image" (arrays (H, W, 3) uint8 of one or of several sizes, as
            `read_images` does).

        Returns
        -------
        Table
            Of pyarrow: the columns path (if the batch has it), index, label, score, top and error, with the types that
            `npresnet.ray.predict` writes, after those of the batch other than the images. An image that cannot be used
            has `error`, and null in the rest.

        Raises
        ------
        ImageError
            Where the columns are others, or are called as the results.
        """
        pa = arrow()
        batch = _columns(batch)
        source = _source(batch)
        names = [str(path) for path in batch["path"]] if "path" in batch else None
        found = self.model.stream(_values(batch[source]), top=self.top, batch_size=self.batch_size)
        records = [record("" if names is None else names[row], result) for row, (_, result) in enumerate(found)]
        results = table(records)
        kept = {name: _column(pa, values) for name, values in batch.items() if name not in (*INPUTS, "path")}
        own = {name: results[name] for name in COLUMNS if name != "path" or names is not None}
        return pa.table({**kept, **own})


def _columns(batch: Any) -> Mapping[str, Any]:
    """{column: its values}; those of a pyarrow table stay pyarrow's."""
    pa = arrow()
    if isinstance(batch, (pa.Table, pa.RecordBatch)):
        return dict(zip(batch.schema.names, batch.columns, strict=True))
    found: Mapping[str, Any] = batch
    return found


def _values(column: Any) -> Iterator[Any]:
    """bytes or arrays, also of pyarrow's scalars: a tensor's would become lists by `as_py`."""
    for value in column:
        yield value.to_numpy() if hasattr(value, "to_numpy") else value.as_py() if hasattr(value, "as_py") else value


def _source(batch: Mapping[str, Any]) -> str:
    """The column with the images."""
    source = next((name for name in INPUTS if name in batch), None)
    if source is None:
        raise ImageError(
            f"a batch needs a column 'bytes' (read_binary_files) or 'image' (read_images); this one has "
            f"{', '.join(map(repr, batch)) or 'none'}. rename_columns gives a column another name"
        )
    taken = [name for name in batch if name in COLUMNS and name != "path"]
    if taken:
        raise ImageError(
            f"the columns {', '.join(map(repr, taken))} are called as Predictor's results and would be lost; "
            f"rename_columns({{{taken[0]!r}: 'given_{taken[0]}'}}) keeps them"
        )
    return source


def _column(pa: Any, values: Any) -> Any:
    """With the type of its numbers, also in lists."""
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if getattr(values, "ndim", 1) == 1:
        return pa.array(values)
    kind = None if values.dtype.hasobject else pa.from_numpy_dtype(values.dtype)
    for _ in values.shape[1:] if kind else ():
        kind = pa.list_(kind)
    return pa.array(values.tolist(), type=kind)
