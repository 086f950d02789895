# SPDX-License-Identifier: Apache-2.0
"""Fake kernels and derivatives of the sums over a softmax, :func:`cardiac4d.ops.fused.softmax_sums`.

The gradient is a native operator as well. The gradient of that gradient, which few ask for, goes through torch's own
operators.
"""

from typing import Any

import torch
from torch import Tensor

from .autograd_kernels import register_derivative
from .layout import new_empty_for_kernels

_NOT_ANNOTATED = 255
_WANTS_FEATURES, _WANTS_HEAD = 1, 2
"""The bits of ``wanted``, see ``csrc/schemas_fused.h``."""


def register_head() -> None:
    """Complete the operators of the library, which must be loaded. Call it once."""
    for name, fake, setup, backward in (
        ("softmax_sums", _fake, _setup, _backward),
        ("softmax_sums_backward", _fake_gradient, _setup_gradient, _backward_gradient),
    ):
        torch.library.register_fake(f"cardiac4d::{name}", fake)
        register_derivative(name, backward, setup)


# The sums: (x, weight, bias, label, squared) -> (N, T, 2 * classes + 3).


def _fake(x: Tensor, weight: Tensor | None, bias: Tensor | None, label: Tensor, squared: bool) -> Tensor:
    classes = x.shape[1] if weight is None else weight.shape[0]
    return x.new_empty([x.shape[0], x.shape[5], 2 * classes + 3], dtype=torch.float64)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.squared = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, bias, label = ctx.saved_tensors  # once: under a checkpoint every look at it is counted
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
    wanted = _WANTS_FEATURES * needs_x + _WANTS_HEAD * (needs_weight or needs_bias)
    by_weight = by_bias = None
    by_x, head = torch.ops.cardiac4d.softmax_sums_backward(h, x, weight, bias, label, ctx.squared, wanted)
    if needs_weight:
        by_weight = head[:, :-1].reshape(weight.shape).to(weight.dtype)
    if needs_bias:
        by_bias = head[:, -1].to(bias.dtype)
    return by_x if needs_x else None, by_weight, by_bias, None, None


# Their gradient: (h, x, weight, bias, label, squared, wanted) -> the gradients of x, and of weight and bias side by
# side in float32, (classes, C + 1); empty where their bit of `wanted` is 0.


def _fake_gradient(
    h: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None, label: Tensor, squared: bool, wanted: int
) -> tuple[Tensor, Tensor]:
    by_x = new_empty_for_kernels(x, x.shape) if wanted & _WANTS_FEATURES else x.new_empty([0])
    has_head = weight is not None and wanted & _WANTS_HEAD
    size = [weight.shape[0], x.shape[1] + 1] if weight is not None and has_head else [0]
    return by_x, x.new_empty(size, dtype=torch.float32)


def _setup_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.squared, ctx.wanted = inputs
    ctx.save_for_backward(*tensors)


def _backward_gradient(ctx: Any, *seeds: Tensor) -> tuple[Tensor | None, ...]:
    h, x, weight, bias, label = ctx.saved_tensors
    point = [x]
    if weight is not None:
        point += [weight, weight.new_zeros(weight.shape[0]) if bias is None else bias]

    def gradient(h: Tensor, *point: Tensor) -> tuple[Tensor, Tensor]:
        by_x, *head = torch.func.vjp(lambda *point: _composed(*point, label=label, squared=ctx.squared), *point)[1](h)
        by_head = h.new_empty([0], dtype=torch.float32)
        if head and ctx.wanted & _WANTS_HEAD:
            by_head = torch.cat([head[0].flatten(1).float(), head[1].float()[:, None]], 1)
        return by_x if ctx.wanted & _WANTS_FEATURES else by_x.new_empty([0]), by_head

    by_h, by_x, *by_head = torch.func.vjp(gradient, h, *point)[1](seeds)
    by_weight, by_bias = by_head or (None, None)
    return by_h, by_x, by_weight, None if bias is None else by_bias, None, None, None


def _composed(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *, label: Tensor, squared: bool
) -> Tensor:
    """The sums of torch's own operators, in float64."""
    x = x.double().permute(0, 5, 1, 2, 3, 4).flatten(3)
    if weight is not None and bias is not None:
        x = torch.einsum("ntcv,kc->ntkv", x, weight.double().flatten(1)) + bias.double()[:, None]
    p, y = x.softmax(2), label.permute(0, 5, 1, 2, 3, 4).flatten(3)
    of_class = y == torch.arange(p.shape[2], device=p.device)[:, None]
    annotated = y != _NOT_ANNOTATED
    size = ((p.square() if squared else p) * annotated).sum(3) + of_class.sum(3)
    change = (p.roll(-1, 1) - p).square().sum((2, 3))
    counts = annotated.sum(3), (annotated & (y >= p.shape[2])).sum(3)
    return torch.cat([(p * of_class).sum(3), size, change[..., None], *counts], 2)
