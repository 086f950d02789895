# SPDX-License-Identifier: Apache-2.0
"""Autocast by the rule of torch's own convolutions, for every backend."""

import torch
from torch import Tensor


def autocast(first: Tensor, second: Tensor, third: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Cast the tensors of one call to autocast's dtype if it is active.

    As in ``conv3d``, what is no floating-point number stays, and so does float64.
    """
    device = first.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return first, second, third
    dtype = torch.get_autocast_dtype(device)
    return _cast(first, dtype), _cast(second, dtype), None if third is None else _cast(third, dtype)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() and tensor.dtype != torch.float64 else tensor
