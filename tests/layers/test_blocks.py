# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import group_norm

from cardiac4d.layers import Conv3d, Conv4d, ResidualBlock
from cardiac4d.layers.blocks import make_conv
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.tolerances import assert_near


def test_block_is_norm_relu_conv_twice_plus_identity() -> None:
    block = ResidualBlock(4, 4, num_groups=2, bias=False).double()
    x = torch.randn(2, 4, 3, 4, 3, 5, dtype=torch.float64)
    expected = x
    for conv in (block.conv1, block.conv2):
        expected = conv4d_reference(group_norm(expected, 2).relu(), conv.weight, padding=1)
    assert_near(block(x), expected + x)


@pytest.mark.parametrize(("spatial_dims", "conv"), [(4, Conv4d), (3, Conv3d)])
def test_block_and_convolution_have_the_rank_asked_for(spatial_dims: int, conv: type[nn.Module]) -> None:
    block = ResidualBlock(spatial_dims, 8, num_groups=4, bias=True)
    assert type(block.conv1) is type(block.conv2) is conv
    x = torch.randn(1, 8, *range(3, 3 + spatial_dims))
    assert block(x).shape == x.shape
    assert make_conv(spatial_dims, 8, 4, 1)(x).shape == (1, 4, *x.shape[2:])


def test_options_reach_both_convolutions() -> None:
    block = ResidualBlock(4, 8, num_groups=8, bias=False, time_padding_mode="circular")
    assert [(conv.bias, conv.time_padding_mode) for conv in (block.conv1, block.conv2)] == [(None, "circular")] * 2


def test_other_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`spatial_dims` \(=2\) must be 3 or 4"):
        ResidualBlock(2, 8, num_groups=8)
