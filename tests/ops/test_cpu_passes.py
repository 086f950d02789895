# SPDX-License-Identifier: Apache-2.0
"""What convolutions take along and what stands between them, at every instruction set, through the C interface.

``make sanitize`` runs it with the sanitizers.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cardiac4d.layers import UpsampleAdd
from cardiac4d.ops import conv4d, use_backend
from tests.helpers.backends import needs_compiler
from tests.helpers.cpu_kernels import Kernels, Shape, load, reference
from tests.helpers.fused_kernels import call, tensor_struct

pytestmark = needs_compiler

ISAS = ["avx512", "avx2", "portable"]
CONVOLUTIONS = {
    "direct_stride": Shape((9, 7, 6, 5), (3, 10), batch=2, padding=1, stride=2),
    "direct_first": Shape((9, 7, 6, 16), (1, 8), batch=2, padding=1),
    "direct_groups": Shape((5, 6, 4, 7), (6, 12), batch=2, padding=1, groups=3),
    "winograd": Shape((9, 7, 6, 5), (4, 9), batch=2, padding=1),
    "pointwise": Shape((9, 7, 6, 5), (4, 9), batch=2, kernel=1),
}


def _sums(x: Tensor) -> Tensor:
    wide = x.double()
    return torch.stack([wide.sum((2, 3, 4, 5)), wide.square().sum((2, 3, 4, 5))], -1)


def _near(actual: Tensor, expected: Tensor, limit: float) -> bool:
    return bool((actual.double() - expected.double()).abs().max() <= limit * expected.double().abs().max())


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_every_convolution_sums_up_what_it_stores(library: Path, name: str, dtype: torch.dtype, isa: str) -> None:
    shape, kernels = CONVOLUTIONS[name], load(library, isa)
    tensors = [torch.randn(size).to(dtype) for size in (shape.x_shape, shape.w_shape, (shape.channels[1],))]
    y = kernels.run("forward", shape, *tensors, precision="exact")
    results = [y, _sums(y)]
    for threads in (1, 3):
        again, sums = call(kernels, "forward_sums", shape.to_c(dtype, "exact"), tensors, results, threads)
        assert torch.equal(again, y)
        # Of what is stored, but before it is rounded to a half type.
        assert _near(sums, results[1], 1e-12 if dtype == torch.float32 else 1e-2)
        results = [again, sums]
    assert torch.equal(sums, call(kernels, "forward_sums", shape.to_c(dtype, "exact"), tensors, results, 2)[1])


def _call_with_number(kernels: Kernels, name: str, like: Tensor, number: int, *tensors: Tensor | None) -> int:
    """A function whose second argument is a number; its status."""
    function: Any = getattr(kernels._library, f"c4d_cpu_{name}")
    job = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
    run = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(
        lambda count, address, context: [job(address)(context, i) for i in reversed(range(count))] and None
    )
    pointers = [ctypes.c_void_p(None if t is None else t.data_ptr()) for t in tensors]
    return function(ctypes.byref(tensor_struct(like)), ctypes.c_int64(number), *pointers, run)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("size", [(7, 6, 5, 3), (1, 2, 3, 1), (4, 4, 4, 16), (3, 3, 90, 33)], ids=str)
def test_convolution_upsampling_and_skip_in_one_pass(library: Path, size: tuple[int, ...], isa: str) -> None:
    kernels, skip = load(library, isa), torch.randn(2, 11, *size)
    x = torch.randn(2, 5, *((extent + 1) // 2 for extent in size))
    w, bias, y, sums = torch.randn(11, 5, 1, 1, 1, 1), torch.randn(11), torch.empty_like(skip), _sums(skip)
    assert _call_with_number(kernels, "upsample_conv_add", skip, 5, x, w, bias, skip, y, sums) == 0
    small = Shape(tuple(x.shape[2:]), (5, 11), batch=2, kernel=1)
    with use_backend(fused=False):
        assert _near(y, UpsampleAdd()(reference("forward", small, x, w, bias), skip.double()), 2e-6)
    assert _near(sums, _sums(y), 1e-12)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("size", "ins"), [((5, 7, 6, 5), 4), ((4, 4, 8, 16), 8), ((3, 2, 2, 2), 20)], ids=str)
def test_convolution_and_softmax_in_one_pass(library: Path, size: tuple[int, ...], ins: int, isa: str) -> None:
    kernels, x, w, bias = (
        load(library, isa),
        torch.randn(2, ins, *size),
        torch.randn(3, ins, 1, 1, 1, 1),
        torch.randn(3),
    )
    y = torch.empty(2, 3, *size)
    assert _call_with_number(kernels, "pointwise_softmax", x, 3, x, w, bias, y) == 0
    expected = conv4d(x.double(), w.double(), bias.double()).softmax(1)
    assert _near(y, expected, 3e-6)
    assert _call_with_number(kernels, "pointwise_softmax", x, 9, x, w, bias, y) == 1


@pytest.mark.parametrize("isa", ISAS[:2])
@pytest.mark.parametrize(
    "shape",
    [
        Shape((18, 17, 16, 16), (4, 4), padding=1),
        Shape((18, 17, 16, 11), (4, 4), padding=1),
        Shape((35, 33, 32, 31), (1, 4), padding=1, stride=2),
        Shape((18, 17, 16, 16), (1, 4), kernel=1),
    ],
    ids=["aligned", "unaligned", "direct", "pointwise"],
)
def test_results_that_are_streamed_past_the_caches_have_the_same_bits(library: Path, shape: Shape, isa: str) -> None:
    kernels, w = load(library, isa), torch.randn(shape.w_shape)
    alone = torch.randn(shape.x_shape)
    y = kernels.run("forward", shape, alone, w, None)
    count = (16 << 20) // (y.numel() * 4) + 1
    many = Shape(shape.size, shape.channels, count, shape.kernel, shape.stride, shape.padding)
    streamed = kernels.run("forward", many, alone.expand(count, *alone.shape[1:]).contiguous(), w, None, num_threads=2)
    assert torch.equal(streamed, y.expand_as(streamed))
