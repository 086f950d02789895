# SPDX-License-Identifier: Apache-2.0
"""The building block of the network, in 3D and 4D."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from .conv import Conv4d
from .conv3d import Conv3d
from .norm import GroupNorm


def make_conv(spatial_dims: int, in_channels: int, out_channels: int, kernel_size: int, **options: Any) -> nn.Module:
    """Build ``Conv4d`` or ``Conv3d``, padded so that stride 1 keeps the size.

    Args:
        spatial_dims: 4 (time counts as one) or 3.
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd extent on every axis.
        options: further arguments of the convolution.

    Raises:
        ValueError: if ``spatial_dims`` is neither.
    """
    if spatial_dims not in (3, 4):
        raise ValueError(f"`spatial_dims` (={spatial_dims}) must be 3 or 4")
    conv: type[nn.Module] = Conv4d if spatial_dims == 4 else Conv3d
    return conv(in_channels, out_channels, kernel_size, padding=kernel_size // 2, **options)


class ResidualBlock(nn.Module):
    """GN, ReLU, convolution, twice, plus the identity (Myronenko 2018, arXiv 1810.11654; here in 3D or 4D).

    Args:
        spatial_dims: 4 (time counts as one) or 3.
        channels: channels of input and output.
        num_groups: groups of the normalisation; divides ``channels``.
        options: further arguments of both convolutions (``bias``, ``time_padding_mode``).

    Example:
        >>> import torch
        >>> ResidualBlock(4, 8, num_groups=8)(torch.zeros(1, 8, 5, 4, 3, 2)).shape
        torch.Size([1, 8, 5, 4, 3, 2])
    """

    def __init__(self, spatial_dims: int, channels: int, num_groups: int, **options: Any) -> None:
        super().__init__()
        self.norm1 = GroupNorm(num_groups, channels)
        self.conv1 = make_conv(spatial_dims, channels, channels, 3, **options)
        self.norm2 = GroupNorm(num_groups, channels)
        self.conv2 = make_conv(spatial_dims, channels, channels, 3, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, channels, *size)`` to the same shape."""
        y = self.conv1(functional.relu(self.norm1(x)))
        return self.conv2(functional.relu(self.norm2(y))) + x
