"""PyTorch's operations in float64 with the arguments of `npresnet.ops`: NumPy in, NumPy out."""

from __future__ import annotations

import functools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
F = torch.nn.functional


def on_one_thread(function):
    """For thousands of tiny calls: distributing each to threads takes twenty times as long as computing it."""

    @functools.wraps(function)
    def wrapped(*args, **options):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return function(*args, **options)
        finally:
            torch.set_num_threads(threads)

    return wrapped


@on_one_thread
def conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    return F.conv2d(_t(x), _t(weight), None if bias is None else _t(bias), stride, padding, dilation, groups).numpy()


@on_one_thread
def max_pool2d(x, kernel_size, *, stride=1, padding=0, dilation=1, ceil_mode=False):
    return F.max_pool2d(_t(x), kernel_size, stride, padding, dilation, ceil_mode).numpy()


@on_one_thread
def avg_pool2d(x, kernel_size, *, stride=1, padding=0, ceil_mode=False, count_include_pad=True):
    return F.avg_pool2d(_t(x), kernel_size, stride, padding, ceil_mode, count_include_pad).numpy()


@on_one_thread
def global_avg_pool(x):
    return F.adaptive_avg_pool2d(_t(x), 1).numpy()


@on_one_thread
def linear(x, weight, bias=None):
    return F.linear(_t(x), _t(weight), None if bias is None else _t(bias)).numpy()


@on_one_thread
def batch_norm(x, running_mean, running_var, weight=None, bias=None, *, eps=1e-5):
    mean, var, gamma, beta = (None if a is None else _t(a) for a in (running_mean, running_var, weight, bias))
    return F.batch_norm(_t(x), mean, var, gamma, beta, False, 0.0, eps).numpy()


@on_one_thread
def relu(x):
    return F.relu(_t(x)).numpy()


@on_one_thread
def softmax(logits, axis=-1):
    return F.softmax(_t(logits), axis).numpy()


def _t(array):
    return torch.from_numpy(np.array(array, np.float64))
