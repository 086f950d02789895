# SPDX-License-Identifier: Apache-2.0
"""Fake kernels and derivatives of the fused operators.

The gradient of a fused operator is a fused operator as well. The gradient of that gradient, which few ask for, goes
through the separate layers.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from . import derivatives
from .arguments import output_size
from .autograd_kernels import register_derivative, register_in_place
from .call import call
from .layout import as_kernels_want, new_empty_for_kernels

_ONES = [1, 1, 1, 1]
_POINTWISE = (_ONES, [0, 0, 0, 0], _ONES, 1, 0)
"""Stride, padding, dilation, groups and precision of a 1x1x1x1 convolution, which knows one precision."""


def register_fused() -> None:
    """Complete the fused operators of the library, which must be loaded. Call it once."""
    for name, fake, setup, backward in (
        ("conv4d_sums", _fake_conv_sums, _setup_conv_sums, _backward_conv_sums),
        ("residual_block", _fake_block, _setup_block, _backward_block),
        ("residual_block_backward", _fake_block_gradient, _setup_block_gradient, _backward_block_gradient),
        ("upsample_conv_add", _fake_upsample_conv, _setup_upsample_conv, _backward_upsample_conv),
        ("upsample_add", _fake_upsample_add, _setup_upsample_add, _backward_upsample_add),
        ("upsample_backward", _fake_upsample_gradient, _setup_upsample_gradient, _backward_upsample_gradient),
    ):
        torch.library.register_fake(f"cardiac4d::{name}", fake)
        register_derivative(name, backward, setup)
    # For inference alone.
    register_derivative("pointwise_softmax", _no_derivative)
    register_in_place("residual_block_")
    torch.library.register_fake("cardiac4d::residual_block_", lambda x, *others: _fake_sums(x, x.shape[1]))
    torch.library.register_fake(
        "cardiac4d::pointwise_softmax",
        lambda x, weight, bias: new_empty_for_kernels(x, [x.shape[0], weight.shape[0], *x.shape[2:]], torch.float32),
    )


def _no_derivative(ctx: Any, *seeds: Any) -> None:
    raise RuntimeError("cardiac4d::pointwise_softmax has no derivative: it is for inference")


def _fake_sums(x: Tensor, channels: int) -> Tensor:
    return x.new_empty([x.shape[0], channels, 2], dtype=torch.float64)


# Convolution: as ``conv4d`` -> (y, sums of y). Here and below sums depend on a tensor that is returned beside them; the
# operator that uses both knows that, so the sums themselves have no gradient.


def _fake_conv_sums(input: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> tuple[Tensor, Tensor]:
    extents = output_size(list(input.shape[2:]), list(weight.shape[2:]), *options[:3])
    y = new_empty_for_kernels(input, [input.shape[0], weight.shape[0], *extents])
    return y, _fake_sums(input, weight.shape[0])


def _setup_conv_sums(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    derivatives.setup(ctx, inputs, output[0])
    ctx.mark_non_differentiable(output[1])


def _backward_conv_sums(ctx: Any, h: Tensor, unused: Any) -> tuple[Tensor | None, ...]:
    return derivatives.backward(ctx, h)


# Residual block: (x, sums of x, norm1 weight, bias, conv1 weight, bias, norm2 weight, bias, conv2 weight, bias, groups,
# eps, precision) -> (out, y, sums of x, sums of y, sums of out), where y is the output of the first convolution.


def _fake_block(x: Tensor, *others: Any) -> tuple[Tensor, ...]:
    out, y = (new_empty_for_kernels(x, x.shape) for _ in range(2))
    return out, y, *(_fake_sums(x, x.shape[1]) for _ in range(3))


def _setup_block(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, _, *parameters = inputs[:9]
    ctx.options = inputs[10:]
    ctx.save_for_backward(x, *output[1:4], *parameters)
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _backward_block(ctx: Any, h: Tensor | None, *unused: Any) -> tuple[Tensor | None, ...]:
    if h is None:
        return (None,) * 13
    needs_x, _, *needs, needs_second_bias = ctx.needs_input_grad[:10]
    needed = needs_x, *needs
    bits = sum(1 << place for place, is_needed in enumerate(needed) if is_needed)
    gradients = [None] * 8
    if bits:
        h = as_kernels_want(h)
        gradients = torch.ops.cardiac4d.residual_block_backward(h, *ctx.saved_tensors, *ctx.options, bits)
    second_bias = h.sum((0, 2, 3, 4, 5)) if needs_second_bias else None
    by_x, *wanted = [g if is_needed else None for g, is_needed in zip(gradients, needed, strict=True)]
    return by_x, None, *wanted, second_bias, *[None] * len(ctx.options)


# Its gradient: (h, x, y, sums of x, sums of y, the parameters without the second bias, groups, eps, precision, wanted)
# -> the gradients of x and of these parameters, empty where their bit of `wanted` is 0. y and the sums depend on x and
# the parameters, and count as part of them.


def _fake_block_gradient(h: Tensor, x: Tensor, *others: Any) -> tuple[Tensor, ...]:
    norm1_weight, norm1_bias, weight1, _, norm2_weight, norm2_bias, weight2 = others[3:10]
    by_x = new_empty_for_kernels(x, x.shape) if others[-1] & 1 else x.new_empty([0])
    alike = norm1_weight, norm1_bias, weight1, norm1_bias, norm2_weight, norm2_bias, weight2
    parts = (like.new_empty(like.shape if others[-1] >> place & 1 else [0]) for place, like in enumerate(alike, 1))
    return by_x, *parts


def _setup_block_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    h, x = inputs[:2]
    ctx.save_for_backward(h, x, *inputs[5:12])
    *ctx.options, ctx.wanted = inputs[12:]


def _backward_block_gradient(ctx: Any, *seeds: Tensor) -> tuple[Tensor | None, ...]:
    h, x, *parameters = ctx.saved_tensors
    has_bias = parameters[3] is not None
    if not has_bias:
        parameters[3] = torch.zeros_like(parameters[1])

    def gradient(h: Tensor, *point: Tensor) -> tuple[Tensor, ...]:
        gradients = torch.func.vjp(lambda x, *parameters: _layers(x, parameters, ctx.options), *point)[1](h)
        return tuple(g if ctx.wanted >> place & 1 else g.new_empty([0]) for place, g in enumerate(gradients))

    by_h, by_x, *by_parameters = torch.func.vjp(gradient, h, x, *parameters)[1](seeds)
    if not has_bias:
        by_parameters[3] = None
    return by_h, by_x, None, None, None, *by_parameters, *[None] * (len(ctx.options) + 1)


def _layers(x: Tensor, parameters: Sequence[Any], options: Sequence[Any]) -> Tensor:
    """The block of separate layers, without the second bias, which no gradient depends on."""
    groups, eps, precision = options

    def half(x: Tensor, norm_weight: Tensor, norm_bias: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        normal = functional.group_norm(x.to(norm_weight.dtype), groups, norm_weight, norm_bias, eps)
        return call("conv4d", normal.relu().to(x.dtype), weight, bias, _ONES, _ONES, _ONES, 1, precision)

    norm_weight, norm_bias, weight = parameters[4:]
    return half(half(x, *parameters[:4]), norm_weight, norm_bias, weight, None) + x


# Up-sampling: (x, skip) -> skip + repeated x; its gradient: h -> sums over the repetitions.


def _fake_upsample_add(x: Tensor, skip: Tensor) -> Tensor:
    return new_empty_for_kernels(skip, skip.shape)


def _setup_upsample_add(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    pass


def _backward_upsample_add(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    needs_x, needs_skip = ctx.needs_input_grad[:2]
    by_x = torch.ops.cardiac4d.upsample_backward(as_kernels_want(h)) if needs_x else None
    return by_x, h if needs_skip else None


def _fake_upsample_gradient(h: Tensor) -> Tensor:
    return new_empty_for_kernels(h, [*h.shape[:2], *((extent + 1) // 2 for extent in h.shape[2:])])


def _setup_upsample_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.size = inputs[0].shape


def _backward_upsample_gradient(ctx: Any, h: Tensor) -> Tensor:
    return torch.ops.cardiac4d.upsample_add(as_kernels_want(h), as_kernels_want(h.new_zeros(ctx.size)))


# The same behind a 1x1x1x1 convolution: (x, weight, bias, skip) -> (skip + repeated convolution of x, its sums).


def _fake_upsample_conv(x: Tensor, weight: Tensor, bias: Tensor | None, skip: Tensor) -> tuple[Tensor, Tensor]:
    return new_empty_for_kernels(skip, skip.shape), _fake_sums(skip, skip.shape[1])


def _setup_upsample_conv(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, weight, _, _ = inputs
    needs_x, needs_weight = ctx.needs_input_grad[:2]
    ctx.input_size, ctx.weight_size = x.shape, weight.shape
    ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None)
    ctx.mark_non_differentiable(output[1])


def _backward_upsample_conv(ctx: Any, h: Tensor, unused: Any) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    needs_x, needs_weight, needs_bias, needs_skip = ctx.needs_input_grad
    by_x = by_weight = by_bias = None
    if needs_x or needs_weight or needs_bias:
        g = torch.ops.cardiac4d.upsample_backward(as_kernels_want(h))
        by_x = call("conv4d_input", ctx.input_size, weight, g, *_POINTWISE) if needs_x else None
        by_weight = call("conv4d_weight", x, ctx.weight_size, g, *_POINTWISE) if needs_weight else None
        by_bias = g.sum((0, 2, 3, 4, 5)) if needs_bias else None
    return by_x, by_weight, by_bias, h if needs_skip else None
