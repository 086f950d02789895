# SPDX-License-Identifier: Apache-2.0
"""Modules for four axes: convolution, normalisation, residual block, up-sampling. Need torch alone.

``cardiac4d.layers.registration`` (not imported here, since it needs MONAI) adds ``Conv4d`` to MONAI's layer factory.
"""

from .blocks import ResidualBlock
from .chain import Chain
from .conv import Conv4d
from .conv3d import Conv3d
from .norm import GroupNorm
from .upsampling import UpsampleAdd, upsample_nearest

__all__ = ["Chain", "Conv3d", "Conv4d", "GroupNorm", "ResidualBlock", "UpsampleAdd", "upsample_nearest"]
