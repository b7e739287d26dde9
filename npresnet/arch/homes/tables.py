"""All tables of supported networks. Imported only where a file's names are not all torchvision's."""

from __future__ import annotations

from npresnet.arch.homes.big_transfer import BIG_TRANSFER
from npresnet.arch.homes.bit import BIT
from npresnet.arch.homes.caffe2 import CAFFE2, MOMENTUM
from npresnet.arch.homes.caffe2 import HEADS as DETECTRON_HEADS
from npresnet.arch.homes.detectron2 import DETECTRON2, HEADS
from npresnet.arch.homes.functional import ZAGORUYKO
from npresnet.arch.homes.home import Home
from npresnet.arch.homes.keras import KERAS
from npresnet.arch.homes.mxnet import MXNET
from npresnet.arch.homes.named import DEEP_STEMS, LAYER0, NVIDIA, OPEN_MMLAB, PYTORCH_CIFAR100
from npresnet.arch.homes.ours import OURS
from npresnet.arch.homes.paddle import PADDLE
from npresnet.arch.homes.selfsupervised import SELF_SUPERVISED
from npresnet.arch.homes.sequential import SEQUENTIAL
from npresnet.arch.homes.tasks import TASKS
from npresnet.arch.homes.training import TRAINING
from npresnet.arch.homes.transformers import TRANSFORMERS

HOMES: tuple[Home, ...] = (
    # names of a network: the first whose marks fit counts, so those with more marks come first
    TRANSFORMERS,
    DETECTRON2,
    *CAFFE2,
    *KERAS,
    BIT,
    *MXNET,
    NVIDIA,
    PYTORCH_CIFAR100,
    *PADDLE,
    *OPEN_MMLAB,
    *DEEP_STEMS,
    LAYER0,
    ZAGORUYKO,
    BIG_TRANSFER,
    *OURS,
    *SEQUENTIAL,
    # tensors beside a network: all that fit count
    *TRAINING,
    *SELF_SUPERVISED,
    *TASKS,
    HEADS,
    DETECTRON_HEADS,
    MOMENTUM,
)
