# SPDX-License-Identifier: Apache-2.0
"""Tensors of more than 2**31 elements, of which few are not zero: what must come out is plain arithmetic.

They cost address space alone: memory that nobody has written to is one page of zeros, wherever it is read.
"""

from __future__ import annotations

import mmap
import sys

import pytest
import torch
from torch import Tensor

from tests.helpers.backends import needs_compiler
from tests.helpers.cpu_kernels import Kernels, Shape

pytestmark = [
    needs_compiler,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux, which hands out memory on use"),
]

LIMIT = 2**31
MAP_NORESERVE = 0x4000
"""Of Linux; Python names it since 3.13."""
SPARSE = {
    "general": Shape((2, 1, 1, LIMIT + 9), (1, 2), kernel=(1, 1, 1, 2), stride=(1, 1, 1, 2**24)),
    "direct": Shape((2**10, 2**7, 2**7, 2**8 + 4), (1, 2), kernel=(1, 1, 1, 2), stride=(16, 16, 16, 16)),
}
CHANNELS = {
    "pointwise": Shape((16, 16, 16, 16), (2**15 + 1, 4), kernel=1),
    "winograd4": Shape((16, 16, 16, 16), (2**15 + 1, 4), padding=1),
}


def _zeros(*shape: int) -> Tensor:
    count = 1
    for extent in shape:
        count *= extent
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    return torch.frombuffer(mmap.mmap(-1, 4 * count, flags=flags), dtype=torch.float32).view(shape)


@pytest.mark.parametrize("name", SPARSE)
def test_forward_and_weight_gradient_read_far_voxels(kernels: Kernels, name: str) -> None:
    shape = SPARSE[name]
    x, last = _zeros(*shape.x_shape), tuple(extent - 1 for extent in shape.out)
    assert x.numel() > LIMIT
    assert kernels.algorithm(shape, "forward", torch.float32, "fast") == name
    place = tuple(index * step for index, step in zip(last, shape.stride, strict=True))
    assert x[(0, 0, *place)].storage_offset() > LIMIT
    x[0, 0, 0, 0, 0, 0] = 5
    x[(0, 0, *place)], x[(0, 0, *place[:3], place[3] + 1)] = 2, 3
    w = torch.tensor([10.0, 1.0, 200.0, 20.0]).view(shape.w_shape)
    expected = torch.zeros(shape.y_shape)
    expected[0, :, 0, 0, 0, 0] = torch.tensor([50.0, 1000.0])
    expected[(0, slice(None), *last)] = torch.tensor([23.0, 460.0])
    assert torch.equal(kernels.run("forward", shape, x, w, None), expected)
    dy = torch.zeros(shape.y_shape)
    dy[(0, 0, *last)], dy[(0, 1, *last)] = 1, 100
    result = kernels.run("grad_weight", shape, x, dy)
    assert result.flatten().tolist() == [2, 3, 200, 300]


def test_input_gradient_reads_far_voxels(kernels: Kernels) -> None:
    far = LIMIT // 2 + 3
    shape = Shape((1, 1, 1, 1), (1, 1), kernel=(1, 1, 1, 2), padding=(0, 0, 0, far))
    dy = _zeros(*shape.y_shape)
    assert dy.numel() > LIMIT
    dy[0, 0, 0, 0, 0, far], dy[0, 0, 0, 0, 0, far - 1] = 2, 3
    w = torch.tensor([10.0, 1.0]).view(shape.w_shape)
    assert kernels.run("grad_input", shape, dy, w).item() == 23


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANNELS)
def test_channels_beyond_the_limit(kernels: Kernels, name: str) -> None:
    shape = CHANNELS[name]
    x, w = _zeros(*shape.x_shape), _zeros(*shape.w_shape)
    assert x.numel() > LIMIT
    assert kernels.algorithm(shape, "forward", torch.float32, "fast") == name
    middle = [extent // 2 for extent in shape.w_shape[2:]]
    x[0, -1, 8, 8, 8, 8], w[(3, -1, *middle)] = 3, 7
    result = kernels.run("forward", shape, x, w, None)
    expected = torch.zeros_like(result)
    expected[0, 3, 8, 8, 8, 8] = 21
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)
