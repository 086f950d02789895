# SPDX-License-Identifier: Apache-2.0
"""Group normalisation over four axes that keeps the memory layout."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..ops.layout import from_frames, lies_as_frames, to_frames


class GroupNorm(nn.GroupNorm):
    """:class:`torch.nn.GroupNorm` for ``(N, C, H, W, D, T)``, statistics over space and time.

    A tensor that lies as frames (see :mod:`cardiac4d.ops.layout`) is normalised as it lies. torch's own would copy it
    to plain contiguous memory. In ``channels_last_3d`` it would keep the layout, but on a CPU adds up squares in
    float32, one after the other: at 96x96x64x16 that is off by a hundredth of the largest value, and by most of it
    where the mean is ten times the deviation. Plain and empty tensors, and inputs with fewer axes, go to torch.

    Example:
        >>> import torch
        >>> GroupNorm(2, 4)(torch.zeros(1, 4, 6, 6, 4, 5)).shape
        torch.Size([1, 4, 6, 6, 4, 5])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W, D, T)``; shape and layout stay."""
        if input.dim() != 6 or not lies_as_frames(input) or input.numel() == 0:
            return functional.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
        frames = to_frames(input)
        rows = frames.flatten(1, 4)
        rows = rows.float() if rows.element_size() < 4 else rows  # as torch: half types are summed in float32
        scale, shift = self._scale_and_shift(rows)
        normal = torch.addcmul(shift.unsqueeze(1), rows, scale.unsqueeze(1)).to(frames.dtype)
        return from_frames(normal.view(frames.shape))

    def _scale_and_shift(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What normalises voxels ``(N, voxels, C)``: a factor and an offset per sample and channel, ``(N, C)``."""
        variances, means = torch.var_mean(rows, dim=[1], correction=0)  # summed in float64
        groups = [rows.shape[0], self.num_groups, self.num_channels // self.num_groups]
        variances, means = variances.view(groups), means.view(groups)
        mean = means.mean(2, keepdim=True)
        # Of channels of one size: the mean of their variances, plus the variance of their means.
        variance = (variances + (means - mean).square()).mean(2, keepdim=True)
        scale = (variance + self.eps).rsqrt().expand_as(means).flatten(1)
        shift = -mean.expand_as(means).flatten(1) * scale
        if self.weight is not None:
            scale, shift = scale * self.weight, shift * self.weight
        return scale, shift if self.bias is None else shift + self.bias
