# SPDX-License-Identifier: Apache-2.0
"""The 3D convolution of the baseline network."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d

from ..ops.onednn import misses_onednn, pad_batch, pad_if_misread


class Conv3d(nn.Conv3d):
    """:class:`torch.nn.Conv3d`, several times faster for one small volume on a CPU (see :mod:`cardiac4d.ops.onednn`).

    It is also kept off the fault that is described there. Like ``Conv4d`` it returns its result with the channels
    innermost in memory (``torch.channels_last_3d``), which later layers keep. Left to itself, torch stays with plain
    memory after an input of one channel.

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
        out = self._convolve(batch).narrow(0, 0, input.shape[0])
        return out.contiguous(memory_format=torch.channels_last_3d)

    def _convolve(self, x: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  (TorchScript leaves out what stands under this condition alone)
            if self.padding_mode == "zeros" and not isinstance(self.padding, str):
                sizes = list(self.stride), list(self.padding), list(self.dilation)
                x, padding = pad_if_misread(x, self.weight, *sizes)
                return conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
        return self._conv_forward(x, self.weight, self.bias)
