"""`load` and `build`: create a Model from a weight file or a name.

Each setting is taken from the caller, else from the file, else inferred from names and shapes, else a documented
default; its origin is recorded in `model.config`.
"""

from __future__ import annotations

from typing import Any

from npresnet import arch as architectures
from npresnet import weights
from npresnet.errors import DeviceError, NpresnetError
from npresnet.model.ambiguity import warn_of_ambiguity
from npresnet.model.decisions import Labels, PreprocessLike
from npresnet.model.finding import DEMO, DEMO_NAMES, find_source
from npresnet.model.interpreting import completed, interpret
from npresnet.model.metadata import Source
from npresnet.model.model import Model
from npresnet.model.runtime import decide_copy, decide_runtime
from npresnet.system.settings import quiet


@quiet
def load(
    source: weights.Readable,
    *,
    device: str = "cpu",
    dtype: Any = "float32",
    arch: str | None = None,
    labels: Labels = None,
    preprocess: PreprocessLike = None,
    key: str | None = None,
    threads: int | None = None,
    fast: bool = False,
    winograd: bool = True,
    copy: bool = False,
    max_pixels: int | None = None,
    **options: Any,
) -> Model:
    """Load a model from a weight file, or by name.

    Parameters
    ----------
    source : path, str, bytes, file or dict
        A file of any format that `read_state_dict` reads, or a folder with model.safetensors or pytorch_model.bin,
        which may be spread over shards; "demo", the ten-class model included in npresnet; or a name such as "resnet18"
        or "resnet50.IMAGENET1K_V2", whose weights are downloaded once to the user's cache. An existing file of that
        name takes precedence. Also a file's bytes; a binary file object, read from where it stands; or arrays by name,
        `{name: array}`, of which read-only ones are used in place. `dict(numpy.load("x.npz"))` of a file that npresnet
        wrote has its labels and settings, too.
    device : str
        "cpu"; "cuda" or "cuda:1" for an NVIDIA GPU (needs CuPy: python -m pip install 'npresnet[cuda12]'); or "auto", a
        GPU if one is usable, else the CPU; the choice and its reason are recorded in `model.config`.
    dtype : str
        "float32"; on a GPU also "tf32", "float16" and "bfloat16", which multiply on tensor cores: faster and less
        precise. Sums are always float32.
    arch : str, optional
        The expected architecture; raises if the tensors do not match it.
    labels : list, dict or path, optional
        Names of the classes: a list, a text or JSON file, "imagenet" or "cifar10".
    preprocess : str, dict or Preprocess, optional
        "V1", "V2", "cifar10", a `Preprocess`, or a dict of its fields to change.
    key : str, optional
        Which state dict of a file that holds several, as a dotted path: "teacher", "state_dict_ema", "state.model";
        where it ends inside a state dict, a prefix of its names: "encoder_k".
    threads : int, optional
        By default that of the environment, NPRESNET_THREADS or OMP_NUM_THREADS, else the number of CPUs that this
        process may use. Where the system starts fewer, fewer work.
    fast : bool
        By default an image's result has the same bits in any batch, at any position in it, and with any number of
        threads. With True the bits may depend on batch and position: BLAS may process the images of a batch together
        even if that changes their last bits.
    winograd : bool
        False computes 3x3 convolutions as direct sums: slower, with a few times less rounding error in those layers.
        Either way a network's error stays within twice that of PyTorch's float32.
    copy : bool
        True reads the weights into memory at once, which takes longer and more memory. Then nothing that happens to the
        file matters.
    max_pixels : int, optional
        How many pixels a picture file may have, checked before it is decoded; it also allows more where a strip would
        grow by resizing, and inputs without a crop. None: Pillow's limit, PIL.Image.MAX_IMAGE_PIXELS, and those of
        npresnet/images/limits.py.
    **options
        Settings that tensors do not determine, named as in torchvision's ResNet constructor
        (`replace_stride_with_dilation=[False, True, True]`), plus `stride_on="1x1"` or `"3x3"`.

    Returns
    -------
    Model

    Raises
    ------
    CheckpointError
        The file cannot be read or downloaded.
    ArchitectureError
        The tensors are not a supported ResNet, or contradict an option.
    DeviceError
        The device is not available.

    Warns
    -----
    AmbiguityWarning
        Once, of what the file cannot tell although networks in use differ in it, with the options that settle it.

    Notes
    -----
    A weight file is mapped: while the model is in use, replace the file (`os.replace`) rather than write into it; every
    call looks whether someone has, and raises CheckpointError.

    Examples
    --------
    >>> model = npresnet.load("demo")
    >>> model.predict("cat.jpg").label
    'cat'
    >>> model.config["arch"].value, model.config["arch"].origin
    ('cifar_resnet20', 'file')
    """
    runtime = decide_runtime(device, dtype, threads, fast=fast, winograd=winograd, max_pixels=max_pixels)
    is_copied = decide_copy(copy)
    found = find_source(source)
    loaded = interpret(found, arch, labels, preprocess, options, key, copy=is_copied)
    if isinstance(found, str) and found == str(DEMO):
        loaded = loaded._replace(source=loaded.source._replace(name=DEMO_NAMES[0]))
    warn_of_ambiguity(loaded.config, loaded.source.name)
    return loaded.model(runtime)


@quiet
def build(
    name: str,
    *,
    num_classes: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    dtype: Any = "float32",
    labels: Labels = None,
    preprocess: PreprocessLike = None,
    threads: int | None = None,
    fast: bool = False,
    winograd: bool = True,
    max_pixels: int | None = None,
    **options: Any,
) -> Model:
    """Build a model with random weights, initialised as in torchvision.

    Parameters
    ----------
    name : str
        One of `list_archs()`.
    num_classes : int
        Outputs of the classifier.
    seed : int
        The same seed gives the same weights with the same version of NumPy.
    device, dtype, labels, preprocess, threads, fast, winograd, max_pixels
        As for `load`.
    **options
        As for `load`; `zero_init_residual=True` initialises each block as the identity.

    Returns
    -------
    Model

    Raises
    ------
    ArchitectureError
        An unknown name or option.
    DeviceError
        Memory is too small.

    Examples
    --------
    >>> model = npresnet.build("resnet18", num_classes=2, labels=["ants", "bees"])
    >>> model(np.zeros((4, 3, 64, 64), np.float32)).shape
    (4, 2)
    """
    runtime = decide_runtime(device, dtype, threads, fast=fast, winograd=winograd, max_pixels=max_pixels)
    try:
        tensors = architectures.random_tensors(name, num_classes=num_classes, seed=seed, **options)
    except NpresnetError:
        raise
    except (MemoryError, ValueError, OverflowError):  # raised by NumPy for huge sizes
        raise DeviceError(f"{name} with num_classes={num_classes} needs more memory than is available") from None
    network, config = architectures.build(tensors, arch=name, options=options, hints={"published": name})
    source = Source(f"random weights, seed {seed}")
    return completed(network, config, tensors, source, labels, preprocess).model(runtime)
