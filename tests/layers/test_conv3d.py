# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import nn

from cardiac4d.layers import Conv3d
from tests.helpers.backends import needs_onednn
from tests.helpers.tolerances import assert_near


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    "options", [{"padding": 1}, {"padding": 1, "stride": 2}, {"padding": "same", "padding_mode": "circular"}]
)
def test_values_and_gradients_are_those_of_torch(options: dict, batch: int) -> None:
    ours, theirs = Conv3d(3, 5, 3, **options), nn.Conv3d(3, 5, 3, **options)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(batch, 3, 6, 5, 7, requires_grad=True)
    outs = [module(x) for module in (ours, theirs)]
    assert_near(*outs)
    seed = torch.randn_like(outs[0])
    grads = [
        torch.autograd.grad(out, (x, *module.parameters()), seed)
        for out, module in zip(outs, (ours, theirs), strict=True)
    ]
    for our_grad, their_grad in zip(*grads, strict=True):
        assert_near(our_grad, their_grad)


def test_input_without_batch_axis_passes_as_in_torch() -> None:
    assert Conv3d(3, 5, 3)(torch.zeros(3, 6, 5, 7)).shape == (5, 4, 3, 5)


@needs_onednn
def test_one_small_volume_is_kept_off_the_slow_path() -> None:
    conv, x = Conv3d(3, 5, 3, padding=1), torch.randn(1, 3, 6, 5, 7)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        out = conv(x)
    assert out.shape == (1, 5, 6, 5, 7)
    assert not any("slow_conv3d" in event.key for event in profile.key_averages())


@pytest.mark.parametrize("stride", [1, 2])
def test_bfloat16_gradients_hold_on_an_extent_of_two(stride: int) -> None:
    # Where oneDNN itself pads there, the weight gradient is unset memory (ops/onednn.py).
    conv = Conv3d(3, 5, 3, padding=1, stride=stride, bias=False)
    x = torch.randn(2, 3, 2, 5, 6).contiguous(memory_format=torch.channels_last_3d).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x)
    seed, weight = torch.randn_like(out), conv.weight.detach().bfloat16().double().requires_grad_()
    expected = torch.nn.functional.conv3d(x.double(), weight, padding=1, stride=stride)
    ours, theirs = torch.autograd.grad(out, conv.weight, seed), torch.autograd.grad(expected, weight, seed.double())
    assert_near(ours[0], theirs[0], torch.bfloat16)
