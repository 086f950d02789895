# SPDX-License-Identifier: Apache-2.0
"""Norm and ReLU that the kernels of a residual block's gradient take along; see ``test_cuda_fused.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cardiac4d.ops.backend import TF32
from tests.helpers.backends import needs_compiler
from tests.helpers.cuda_kernels import emulation_of
from tests.helpers.fused_cuda_calls import Block, draw_block, normalised
from tests.helpers.fused_cuda_kernels import EmulatedFusedKernels

pytestmark = needs_compiler

KINDS = {
    "bfloat16": (torch.bfloat16, 0),
    "float16": (torch.float16, 0),
    "tf32": (torch.float32, TF32),
    "float32": (torch.float32, 0),
}
"""Dtype and precision; the last one is computed without tensor cores."""
CASES = [
    pytest.param(kind, channels, marks=() if (kind, channels) == ("float32", 8) else pytest.mark.slow)
    for kind in KINDS
    for channels in (8, 16, 24)
]


@pytest.mark.parametrize(("kind", "channels"), CASES)
def test_weight_gradient_has_the_bits_of_a_stored_norm(operators: Any, kind: str, channels: int) -> None:
    dtype, precision = KINDS[kind]
    shape = (2, channels, 2, 5, 3, 5)
    block = draw_block(shape, 2, dtype)._replace(precision=precision)
    seed = torch.randn(shape).to(dtype)
    x, _, *parameters, groups, eps, _ = block.arguments
    _, y, x_sums, y_sums, _ = operators.residual_block(*block.arguments)
    options = [*parameters[:7], groups, eps, precision, 128]
    weight = operators.residual_block_backward(seed, x, y, x_sums, y_sums, *options)[7]
    normal = normalised(y, y_sums, *block.tensors[5:7], 2)
    sizes = [1] * 4, [1] * 4, [1] * 4, 1, precision
    assert torch.equal(weight, operators.conv4d_weight(normal, list(weight.shape), seed, *sizes))


@pytest.mark.parametrize("kind", KINDS)
def test_block_needs_no_tensor_of_memory(cuda_library: Path, kind: str) -> None:
    """But for sm_75, where norm and ReLU are a pass of their own."""
    dtype, precision = KINDS[kind]
    x = torch.empty((1, 8, 96, 96, 64, 16), dtype=dtype, device="meta")
    _, *parameters = draw_block((1, 8, 1, 1, 1, 1), 2, dtype).tensors
    block = Block([x, *parameters], 2, precision)
    kernels, needed = EmulatedFusedKernels(cuda_library), []
    for architecture in (90, 75):
        with emulation_of(cuda_library, architecture=architecture):
            needed.append([kernels.block_workspace(block, is_for_gradient=last) for last in (False, True)])
    together, apart = needed
    assert 4 * max(together) < x.nbytes < min(apart)
