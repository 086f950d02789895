# SPDX-License-Identifier: Apache-2.0
"""Whether a device is a GPU, whether it still works, and what its native kernels are called."""

from __future__ import annotations

import torch

OURS = "c4d_cuda"
"""The namespace of the native kernels, in the names that tools report."""


def is_cuda(device: str) -> bool:
    """Tell whether a device is a GPU."""
    return torch.device(device).type == "cuda"


def is_broken(device: str) -> bool:
    """Tell whether an earlier kernel has broken what this process has of the GPU: then every later call fails."""
    if not is_cuda(device):
        return False
    try:
        return bool(torch.ones(1, device=device).sum().item() != 1)
    except RuntimeError:
        return True


def describe(error: Exception) -> str:
    """Put an error into one short line."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
