# SPDX-License-Identifier: Apache-2.0
"""Drives the fused CPU kernels through their C interface; see ``test_cpu_fused.py``."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.helpers.cpu_kernels import DTYPES, GUARD, Kernels
from tests.helpers.softmax_sums import Head


class _CTensor(ctypes.Structure):
    _fields_ = [
        ("batch", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("size", ctypes.c_int64 * 4),
        ("dtype", ctypes.c_int32),
    ]


class _CHead(ctypes.Structure):
    _fields_ = [
        ("x", _CTensor),
        ("classes", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("w", "bias", "label")),
        ("is_squared", ctypes.c_int32),
    ]


class _CGroupNorm(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "channels", "groups", "volume")),
        ("eps", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "sums")),
    ]


def tensor_struct(x: Tensor) -> _CTensor:
    """A tensor without its numbers."""
    return _CTensor(x.shape[0], x.shape[1], (ctypes.c_int64 * 4)(*x.shape[2:]), DTYPES.index(x.dtype))


def head_struct(head: Head, classes: int) -> _CHead:
    """A head, which must live as long; its tensors are contiguous."""
    pointers = (None if t is None else t.data_ptr() for t in (head.weight, head.bias, head.label))
    return _CHead(tensor_struct(head.x), classes, *pointers, head.squared)


def call(
    kernels: Kernels,
    name: str,
    struct: ctypes.Structure,
    inputs: Sequence[Tensor | None],
    results: Sequence[Tensor],
    num_threads: int = 1,
) -> list[Tensor]:
    """Call ``c4d_cpu_<name>`` with inputs and new results like ``results``; checks that nothing beside is written."""
    guarded = [torch.full((like.numel() + 2 * GUARD,), 77.0, dtype=like.dtype) for like in results]
    inner = [
        whole[GUARD : whole.numel() - GUARD].view(like.shape) for whole, like in zip(guarded, results, strict=True)
    ]
    pointers = [None if t is None else t.data_ptr() for t in [*inputs, *inner]]
    status = kernels.status(name, struct, *pointers, num_threads=num_threads)
    assert status == 0, kernels.error(status)
    for whole in guarded:
        assert (whole[:GUARD] == 77).all(), "written before the result"
        assert (whole[whole.numel() - GUARD :] == 77).all(), "written behind the result"
    return inner


def group_norm(groups: int, eps: float, weight: Tensor, bias: Tensor, x: Tensor) -> tuple[Any, Any]:
    """The struct of a group normalisation of ``x``, and what must live as long as it."""
    wide = x.double()
    sums = torch.stack([wide.sum((2, 3, 4, 5)), wide.square().sum((2, 3, 4, 5))], -1).contiguous()
    pointers = (t.data_ptr() for t in (weight, bias, sums))
    return _CGroupNorm(x.shape[0], x.shape[1], groups, x[0, 0].numel(), eps, *pointers), sums


def call_norm(kernels: Kernels, name: str, struct: Any, inputs: Sequence[Tensor], results: Sequence[Tensor]) -> None:
    """Call one of the two functions that turn sums into numbers per channel."""
    function = getattr(kernels._library, f"c4d_cpu_{name}")
    function.restype = None
    function(ctypes.byref(struct), *(ctypes.c_void_p(t.data_ptr()) for t in [*inputs, *results]))
