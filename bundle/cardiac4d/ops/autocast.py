# SPDX-License-Identifier: Apache-2.0
"""Autocast by the rule of torch's own convolutions, for every backend."""

import torch
from torch import Tensor


def autocast(first: Tensor, second: Tensor, third: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Cast the tensors of one call to autocast's dtype if it is active; float64 stays, as in ``conv3d``."""
    device = first.device.type
    enabled = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    if not enabled or first.dtype == torch.float64:
        return first, second, third
    dtype = torch.get_autocast_dtype(device)
    return first.to(dtype), second.to(dtype), None if third is None else third.to(dtype)
