# SPDX-License-Identifier: Apache-2.0
"""The native kernels as methods, one per precision."""

from __future__ import annotations

import torch
from torch import Tensor

from cardiac4d.ops import conv4d, use_backend

from .methods import Convolve, Method, same


def _with_precision(precision: str) -> Convolve:
    def compute(x: Tensor, weight: Tensor, stride: int) -> Tensor:
        with use_backend("native", precision=precision):
            return conv4d(x, weight, stride=stride, padding=weight.shape[5] // 2)

    return compute


NATIVE = tuple(
    Method(f"native, {precision}", "native", _with_precision(precision), same, same, same)
    for precision in ("fast", "exact", "direct")
)
"""float32; the first is the default of the package."""

NATIVE_HALF = Method("native, bfloat16", "native", _with_precision("fast"), same, same, same, torch.bfloat16)
