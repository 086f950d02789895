# SPDX-License-Identifier: Apache-2.0
"""Group normalisation over four axes that keeps the memory layout."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..ops.backend import is_forward_mode
from ..ops.layout import from_frames, lies_as_frames, to_frames


class GroupNorm(nn.GroupNorm):
    """:class:`torch.nn.GroupNorm` for ``(N, C, H, W, D, T)``, statistics over space and time.

    torch's own takes six axes as well, but copies them to plain contiguous memory, whatever their layout. Here T and H
    of a tensor that lies as frames (see :mod:`cardiac4d.ops.layout`) merge into one axis of a ``channels_last_3d``
    view, a layout that torch keeps. Plain tensors, and inputs with fewer axes, go to torch as they are; so does
    everything in forward-mode differentiation, where torch refuses that view.

    Example:
        >>> import torch
        >>> GroupNorm(2, 4)(torch.zeros(1, 4, 6, 6, 4, 5)).shape
        torch.Size([1, 4, 6, 6, 4, 5])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W, D, T)``; shape and layout stay."""
        as_it_is = input.dim() != 6 or not lies_as_frames(input)
        if not torch.jit.is_scripting():  # TorchScript leaves out what stands under this condition alone
            as_it_is = as_it_is or is_forward_mode()
        if as_it_is:
            return functional.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
        frames = to_frames(input)
        merged = frames.flatten(1, 2).permute(0, 4, 1, 2, 3)
        normal = functional.group_norm(merged, self.num_groups, self.weight, self.bias, self.eps)
        return from_frames(normal.permute(0, 2, 3, 4, 1).unflatten(1, [frames.shape[1], frames.shape[2]]))
