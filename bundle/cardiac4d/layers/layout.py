# SPDX-License-Identifier: Apache-2.0
"""The memory layout in which a network runs from its door to its end."""

import torch
from torch import Tensor

from ..ops import layout


def channels_innermost(x: Tensor) -> Tensor:
    """Convert to the layout that all layers keep: same values and shape, copied only if need be.

    Args:
        x: ``(N, C, H, W, D, T)``, which becomes physically ``N, T, H, W, D, C``; or ``(N, C, H, W, D)``, which becomes
            ``torch.channels_last_3d``.

    Example:
        >>> channels_innermost(torch.zeros(1, 2, 8, 8, 8, 5)).stride(1)
        1
    """
    if x.dim() == 6:
        return layout.channels_innermost(x)
    return x.contiguous(memory_format=torch.channels_last_3d)
