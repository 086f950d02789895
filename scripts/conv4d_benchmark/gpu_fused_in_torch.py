# SPDX-License-Identifier: Apache-2.0
"""Whether fused operators are parts of PyTorch as it wants them: for its check of operators, and for its compiler.

A residual block and the sums of the loss stand for the others: one has gradients that keep other results than its
value, one a result in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import cardiac4d.ops  # noqa: F401 - registers the operators

from .gpu_fused import lay_out

CHANNELS, CLASSES, GROUPS, EPS = 8, 3, 4, 1e-5
EXACT = 1
"""The precision that rounds no operand, as the operators number it."""
SIZE = (3, 4, 9, 3)
CLOSE = 1e-4
"""Values of the operator by itself and within a graph; gradients of the block may round otherwise."""


def block_tensors(device: str) -> list[Tensor]:
    """Input, and the parameters of both halves of a block."""
    half = (CHANNELS,), (CHANNELS,), (CHANNELS, CHANNELS, 3, 3, 3, 3), (CHANNELS,)
    return _draw(device, (1, CHANNELS, *SIZE), *half, *half)


def head_tensors(device: str) -> list[Tensor]:
    """Features, and the parameters of the last convolution."""
    return _draw(device, (1, CHANNELS, *SIZE), (CLASSES, CHANNELS, 1, 1, 1, 1), (CLASSES,))


def draw_label(device: str) -> Tensor:
    """Classes of all voxels."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, CLASSES, (1, 1, *SIZE), generator=generator, dtype=torch.uint8).to(device)


def _draw(device: str, *shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, *parameters = (torch.randn(shape, generator=generator).to(device) for shape in shapes)
    return [tensor.requires_grad_() for tensor in (lay_out(x, device), *parameters)]


def check_fused_registration(device: str) -> str:
    """Run torch's own check of operators: schema, fake kernel, autograd, compiler."""
    x, *parameters = block_tensors(device)
    calls = {
        "residual_block": (x, None, *parameters, GROUPS, EPS, EXACT),
        "softmax_sums": (*head_tensors(device), draw_label(device), True),
    }
    for name, arguments in calls.items():
        torch.library.opcheck(getattr(torch.ops.cardiac4d, name).default, arguments, rtol=CLOSE, atol=CLOSE)
    return f"{' and '.join(calls)}, with gradients"


def _block(x: Tensor, *parameters: Tensor) -> Tensor:
    return torch.ops.cardiac4d.residual_block(x, None, *parameters, GROUPS, EPS, EXACT)[0]


def _head(label: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.ops.cardiac4d.softmax_sums(x, weight, bias, label, True)


def check_fused_compile(device: str) -> str:
    """Compile a call and its backward as one graph."""
    calls: dict[str, tuple[Callable[..., Tensor], list[Tensor]]] = {
        "residual_block": (_block, block_tensors(device)),
        "softmax_sums": (partial(_head, draw_label(device)), head_tensors(device)),
    }
    for name, (call, leaves) in calls.items():
        results = [_with_gradients(function, leaves) for function in (call, torch.compile(call, fullgraph=True))]
        for number, (plain, compiled) in enumerate(zip(*results, strict=True)):
            what = f"gradient {number}" if number else "value"
            assert torch.equal(plain, compiled), f"{name}: the compiled {what} differs"
    return f"{' and '.join(calls)}: fullgraph, with backward"


def _with_gradients(call: Callable[..., Tensor], leaves: list[Tensor]) -> list[Tensor]:
    out = call(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, torch.ones_like(out))]
