# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from cardiac4d.layers import UpsampleAdd, upsample_nearest, upsampling
from cardiac4d.ops import use_backend
from cardiac4d.ops.fused import upsample_add
from cardiac4d.ops.layout import to_frames
from tests.helpers.backends import needs_native
from tests.helpers.conv4d_cases import channels_innermost


def test_three_axes_are_torch_nearest() -> None:
    x = torch.randn(2, 3, 4, 3, 5)
    assert torch.equal(upsample_nearest(x), interpolate(x, scale_factor=2, mode="nearest"))


def test_four_axes_repeat_every_voxel_and_frame() -> None:
    x = torch.randn(2, 3, 4, 3, 5, 2)
    expected = x.numpy()
    for axis in range(2, 6):
        expected = np.repeat(expected, 2, axis)
    assert np.array_equal(upsample_nearest(x).numpy(), expected)


@pytest.mark.parametrize("size", [(4, 3, 5, 2), (4, 3, 5)], ids=["4d", "3d"])
def test_gradient_sums_the_copies(size: tuple[int, ...]) -> None:
    x = torch.randn(1, 2, *size, requires_grad=True)
    (grad,) = torch.autograd.grad(upsample_nearest(x).sum(), x)
    assert torch.equal(grad, torch.full_like(grad, 2 ** len(size)))


@pytest.mark.parametrize("size", [(7, 6, 5, 3), (1, 2, 3, 1), (8, 4, 2, 6)], ids=str)
def test_sum_has_the_size_of_the_skip_and_drops_the_far_end(size: tuple[int, ...]) -> None:
    deep = torch.randn(2, 3, *((extent + 1) // 2 for extent in size))
    skip = torch.randn(2, 3, *size)
    out = UpsampleAdd()(deep, skip)
    index = np.ix_(*(np.arange(extent) // 2 for extent in size))
    assert torch.equal(out, torch.from_numpy(deep.numpy()[(slice(None), slice(None), *index)]) + skip)


@pytest.mark.parametrize("extent", [1, 2])
def test_either_layout_is_kept(extent: int) -> None:
    deep, skip = torch.randn(2, 3, *[extent] * 4), torch.randn(2, 3, *[2 * extent - 1, 2 * extent] * 2)
    plain, frames = UpsampleAdd()(deep, skip), UpsampleAdd()(channels_innermost(deep), channels_innermost(skip))
    assert plain.is_contiguous()
    assert to_frames(frames).data_ptr() == frames.data_ptr()
    assert torch.equal(plain, frames)


@needs_native
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.jit")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_one_pass_where_it_serves_and_layers_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[torch.Size] = []

    def count(x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        calls.append(skip.shape)
        return upsample_add(x, skip)

    monkeypatch.setattr(upsampling, "upsample_add", count)
    deep, skip, up = torch.randn(2, 3, 2, 2, 1, 3), torch.randn(2, 3, 3, 4, 1, 5), UpsampleAdd()
    with use_backend("auto", fused=True):
        expected = up(deep, skip)
        assert torch.equal(torch.compile(up, fullgraph=True, backend="aot_eager")(deep, skip), expected)
        assert len(calls) == 2
        assert "cardiac4d::" not in str(torch.jit.trace(up, (deep, skip), check_trace=False).graph)
        assert torch.equal(torch.jit.script(up)(deep, skip), expected)
        assert torch.equal(torch.vmap(up)(deep[None], skip[None])[0], expected)
        up(channels_innermost(deep), channels_innermost(skip))
        up(deep.double(), skip.double())
        up(deep.bfloat16(), skip)
        for context in (use_backend("composed"), use_backend(fused=False)):
            with context:
                assert torch.equal(up(deep, skip), expected)
    assert len(calls) == 2
