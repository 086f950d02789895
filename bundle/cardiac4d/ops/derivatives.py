# SPDX-License-Identifier: Apache-2.0
"""Derivatives of the native operators.

Output ``y = conv4d(x, w)`` and an incoming gradient ``g`` make one number, ``L = sum(g * conv4d(x, w))``, linear in
each of the three. Its derivatives are the three operators::

    dL/dg = conv4d(x, w)        dL/dx = conv4d_input(x.shape, w, g)        dL/dw = conv4d_weight(x, w.shape, g)

so the derivative of each operator is written with the other two, and any order of gradient needs no further code.

Each operator has two functions: one saves each tensor only if the other one needs a gradient, the next maps the
gradient ``h`` of the result. ``options`` are what all operators end with: stride, padding, dilation, groups, precision.
"""

from typing import Any

from torch import Tensor

from .call import call
from .layout import as_kernels_want


def setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Save what the derivatives of ``conv4d`` need."""
    input, weight, _, *ctx.options = inputs
    ctx.input_size, ctx.weight_size = input.shape, weight.shape
    needs_input, needs_weight = ctx.needs_input_grad[:2]
    ctx.save_for_backward(input if needs_weight else None, weight if needs_input else None)


def backward(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    """Differentiate ``conv4d`` by input, weight and bias."""
    input, weight = ctx.saved_tensors
    needs_input, needs_weight, needs_bias = ctx.needs_input_grad[:3]
    h = as_kernels_want(h)  # here, so that both operators share the copy of a strided gradient
    return (
        call("conv4d_input", ctx.input_size, weight, h, *ctx.options) if needs_input else None,
        call("conv4d_weight", input, ctx.weight_size, h, *ctx.options) if needs_weight else None,
        h.sum((0, 2, 3, 4, 5)) if needs_bias else None,
        *[None] * len(ctx.options),
    )


def setup_input(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Save what the derivatives of ``conv4d_input`` need."""
    _, weight, grad_output, *ctx.options = inputs
    ctx.weight_size = weight.shape
    _, needs_weight, needs_grad = ctx.needs_input_grad[:3]
    ctx.save_for_backward(weight if needs_grad else None, grad_output if needs_weight else None)


def backward_input(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    """Differentiate ``conv4d_input`` by weight and output gradient."""
    weight, grad_output = ctx.saved_tensors
    _, needs_weight, needs_grad = ctx.needs_input_grad[:3]
    h = as_kernels_want(h)
    return (
        None,
        call("conv4d_weight", h, ctx.weight_size, grad_output, *ctx.options) if needs_weight else None,
        call("conv4d", h, weight, None, *ctx.options) if needs_grad else None,
        *[None] * len(ctx.options),
    )


def setup_weight(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Save what the derivatives of ``conv4d_weight`` need."""
    input, _, grad_output, *ctx.options = inputs
    ctx.input_size = input.shape
    needs_input, _, needs_grad = ctx.needs_input_grad[:3]
    ctx.save_for_backward(input if needs_grad else None, grad_output if needs_input else None)


def backward_weight(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    """Differentiate ``conv4d_weight`` by input and output gradient."""
    input, grad_output = ctx.saved_tensors
    needs_input, _, needs_grad = ctx.needs_input_grad[:3]
    h = as_kernels_want(h)
    return (
        call("conv4d_input", ctx.input_size, h, grad_output, *ctx.options) if needs_input else None,
        None,
        call("conv4d", input, h, None, *ctx.options) if needs_grad else None,
        *[None] * len(ctx.options),
    )
