# SPDX-License-Identifier: Apache-2.0
"""In which precisions a GPU is timed, and how torch is made to compute in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PRECISIONS = ("bfloat16", "tf32", "float32")
"""What is timed, the most important first. The parameters are float32 in all of them."""


@contextmanager
def precision(name: str, *, search: bool = True) -> Iterator[None]:
    """Let torch's own operators on float32 tensors use TF32 or not; ``search`` lets cuDNN try all its kernels first."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, cudnn.benchmark, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = name == "tf32"
    cudnn.benchmark = search
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.benchmark, matmul.allow_tf32 = before


def autocast(name: str, device: str) -> torch.autocast:
    """The context of a forward pass in a precision."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=name == "bfloat16")
