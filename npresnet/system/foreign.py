"""Objects of other libraries that are passed by mistake: what they are, and what to pass instead.

They are recognised by the names of their classes and of the modules where these are defined, so nothing is imported.
"""

from __future__ import annotations

from types import AsyncGeneratorType, BuiltinFunctionType, CoroutineType, FunctionType, GeneratorType, MethodType

CO_COROUTINE = 0x80  # of a code object: `inspect` takes long to import
# (package, class): what it is, and the way out. A class stands for those that derive from it.
_KNOWN = {
    ("requests", "Response"): "a requests.Response; pass its bytes, response.content",
    ("httpx", "Response"): "an httpx.Response; pass its bytes, response.content",
    ("aiohttp", "ClientResponse"): "an aiohttp.ClientResponse; pass its bytes, await response.read()",
    ("starlette", "UploadFile"): "an UploadFile, whose read() is a coroutine; pass await upload.read(), or upload.file",
    ("starlette", "Request"): "a request; pass the bytes of its body, await request.body()",
    ("flask", "Request"): "a request; pass the bytes of its body, request.get_data()",
    ("concurrent", "Future"): "a Future; pass what it gives, future.result()",
    ("asyncio", "Future"): "a Future; pass what it gives, await future",
    ("_asyncio", "Future"): "a Future; pass what it gives, await future",
    ("_asyncio", "Task"): "a Task; pass what it gives, await task",
    ("asyncio", "StreamReader"): "a StreamReader, whose read() is a coroutine; pass await reader.read()",
    ("ray", "ObjectRef"): "an ObjectRef; pass what it refers to, ray.get(ref)",
    ("matplotlib", "Figure"): (
        "a matplotlib Figure; pass its pixels, numpy.asarray(figure.canvas.buffer_rgba()) after figure.canvas.draw()"
    ),
    ("matplotlib", "Axes"): (
        "matplotlib Axes; pass the pixels of their figure, numpy.asarray(axes.figure.canvas.buffer_rgba()) after "
        "axes.figure.canvas.draw()"
    ),
    ("matplotlib", "AxesImage"): "a matplotlib AxesImage; pass the array that it shows, image.get_array()",
    ("cv2", "VideoCapture"): ("a cv2.VideoCapture; pass its frames with bgr=True: ok, frame = capture.read()"),
    ("pandas", "DataFrame"): "a table; pass one of its columns, table['path']",
    ("polars", "DataFrame"): "a table; pass one of its columns, table['path']",
    ("pyarrow", "Table"): "a table; pass one of its columns, table['path']",
    ("pyarrow", "RecordBatch"): "a table; pass one of its columns, table['path']",
    ("datasets", "Dataset"): "a dataset; pass one of its columns, dataset['image']",
    ("datasets", "IterableDataset"): "a dataset; pass its images, (row['image'] for row in dataset)",
    ("torch", "DataLoader"): "a DataLoader; pass paths or images, which are batched inside, or its batches to model(x)",
    (
        "torch",
        "Module",
    ): "a torch Module; load takes {k: v.cpu().numpy() for k, v in module.state_dict().items()}",
    ("zipfile", "Path"): "a zipfile.Path; pass its bytes, path.read_bytes()",
}
_OWN = (
    (CoroutineType, "a coroutine, which has not run; await it and pass what it gives: data = await file.read()"),
    (AsyncGeneratorType, "an async generator; collect what it gives: [item async for item in generator]"),
    (GeneratorType, "a generator, not one of what it gives; pass next(generator), or list(generator) for all"),
    ((FunctionType, MethodType, BuiltinFunctionType), "a function; call it, and pass what it returns"),
    (type, "a class; make an object of it first"),
)


def named(source: object) -> str:
    """What a foreign object is and the way out, such as "a coroutine, ..."; "" for one that is not known."""
    for kinds, words in _OWN:
        if isinstance(source, kinds):
            return words
    return named_class(type(source)) or _named_by_reading(type(source))


def named_class(kind: type) -> str:
    """The same of the objects of a class."""
    for one in kind.__mro__:
        package = str(one.__module__).partition(".")[0]
        if (package, one.__name__) in _KNOWN:
            return _KNOWN[package, one.__name__]
    return ""


def _named_by_reading(kind: type) -> str:
    """A file object of any library whose read() has to be awaited, as those of aiofiles and anyio."""
    read = getattr(kind, "read", None)
    if isinstance(read, FunctionType) and read.__code__.co_flags & CO_COROUTINE:
        return "a file whose read() is a coroutine; pass what it gives: data = await file.read()"
    return ""
