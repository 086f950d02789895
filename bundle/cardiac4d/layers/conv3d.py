# SPDX-License-Identifier: Apache-2.0
"""The 3D convolution of the baseline network."""

import torch
from torch import Tensor, nn

from ..ops.onednn import misses_onednn, pad_batch


class Conv3d(nn.Conv3d):
    """:class:`torch.nn.Conv3d`, several times faster for one small volume on a CPU (see :mod:`cardiac4d.ops.onednn`).

    Like ``Conv4d`` it returns its result with the channels innermost in memory (``torch.channels_last_3d``), which
    later layers keep. Left to itself, torch stays with plain memory after an input of one channel.

    Example:
        >>> import torch
        >>> Conv3d(1, 8, 3, padding=1)(torch.zeros(1, 1, 6, 6, 4)).shape
        torch.Size([1, 8, 6, 6, 4])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve ``(N, C_in, H, W, D)``, or ``(C_in, H, W, D)`` as torch does."""
        if input.dim() != 5:
            return self._conv_forward(input, self.weight, self.bias)
        batch = pad_batch(input) if misses_onednn(input, self.weight) else input
        out = self._conv_forward(batch, self.weight, self.bias).narrow(0, 0, input.shape[0])
        return out.contiguous(memory_format=torch.channels_last_3d)
