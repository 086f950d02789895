# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import nn

from cardiac4d.layers import GroupNorm
from cardiac4d.ops.layout import to_frames
from tests.helpers.conv4d_cases import channels_innermost
from tests.helpers.tolerances import assert_near


@pytest.mark.parametrize("size", [(5, 4, 3, 6), (5, 4, 3)], ids=["4d", "3d"])
@pytest.mark.parametrize("num_groups", [1, 2, 8])
def test_values_and_gradients_are_those_of_torch(num_groups: int, size: tuple[int, ...]) -> None:
    ours, theirs = (kind(num_groups, 8, dtype=torch.float64) for kind in (GroupNorm, nn.GroupNorm))
    for module in (ours, theirs):
        nn.init.constant_(module.weight, 1.5)
        nn.init.constant_(module.bias, -0.3)
    x = torch.randn(2, 8, *size, dtype=torch.float64, requires_grad=True)
    seed = torch.randn_like(x)
    assert_near(ours(x), theirs(x))
    for our_grad, their_grad in zip(
        torch.autograd.grad(ours(x), (x, *ours.parameters()), seed),
        torch.autograd.grad(theirs(x), (x, *theirs.parameters()), seed),
        strict=True,
    ):
        assert_near(our_grad, their_grad, torch.float64)


def test_statistics_run_over_space_and_time() -> None:
    out = GroupNorm(2, 4)(5 + 3 * torch.randn(2, 4, 5, 4, 3, 6))
    groups = out.detach().unflatten(1, (2, 2)).flatten(2)
    assert_near(groups.mean(-1), torch.zeros(2, 2), torch.float16)
    assert_near(groups.var(-1, correction=0), torch.ones(2, 2), torch.float16)


def test_either_layout_is_kept_forward_and_backward() -> None:
    x, norm = torch.randn(2, 4, 5, 4, 3, 6), GroupNorm(2, 4)
    outs = [norm(view.requires_grad_()) for view in (x.clone(), channels_innermost(x))]
    assert_near(*outs)
    for is_kept, out in zip((torch.Tensor.is_contiguous, _lies_in_frames), outs, strict=True):
        assert is_kept(out)


def _lies_in_frames(x: torch.Tensor) -> bool:
    return to_frames(x).data_ptr() == x.data_ptr()


@pytest.mark.parametrize("num_groups", [2, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_large_groups_far_from_zero_are_normalised_as_exactly_as_small_ones(
    num_groups: int, dtype: torch.dtype
) -> None:
    x = (torch.randn(1, 4, 24, 16, 16, 16) + torch.tensor([10.0, -6.0, 8.0, 3.0]).view(4, 1, 1, 1, 1)).to(dtype)
    ours, exact = GroupNorm(num_groups, 4).to(dtype), nn.GroupNorm(num_groups, 4, dtype=torch.float64)
    leaves = [channels_innermost(x).requires_grad_(), x.double().requires_grad_()]
    outs, seed = [ours(leaves[0]), exact(leaves[1])], torch.randn(x.shape).to(dtype)
    assert outs[0].dtype == dtype
    assert_near(*outs, torch.float32 if dtype == torch.float32 else dtype)
    gradients = [torch.autograd.grad(out, leaf, seed.to(out.dtype))[0] for out, leaf in zip(outs, leaves, strict=True)]
    assert_near(*gradients)


def test_statistics_of_frames_need_no_parameters_and_no_samples() -> None:
    norm, x = GroupNorm(2, 4, affine=False), channels_innermost(torch.randn(2, 4, 3, 2, 4, 5))
    assert_near(norm(x), nn.GroupNorm(2, 4, affine=False)(x.contiguous()))
    assert norm(x[:0]).shape == (0, 4, 3, 2, 4, 5)
    scaled = GroupNorm(2, 4)
    scaled.bias = None
    assert_near(scaled(x), norm(x))
