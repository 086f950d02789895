# SPDX-License-Identifier: Apache-2.0
"""Batching rules of the native operators, for ``torch.vmap``.

Where every example has the same weight, the mapped axis joins the batch; else it joins the channels, and the groups of
one example follow those of another. ``options`` are stride, padding, dilation, groups and precision; ``in_dims`` says
where the mapped axis of each argument is.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

Batched = tuple[Tensor, int]
"""A result, and the axis that is mapped."""
Operate = Callable[..., Tensor]
"""How a rule calls an operator by name: ``operate("conv4d", *arguments)``; see :mod:`cardiac4d.ops.call`."""


def vmap(
    operate: Operate, info: Any, in_dims: Any, input: Tensor, weight: Tensor, bias: Tensor | None, *options: Any
) -> Batched:
    """Batch ``conv4d``."""
    count, (in_input, in_weight, in_bias) = info.batch_size, in_dims[:3]
    if in_weight is None and in_bias is None:
        samples = input.movedim(in_input, 0)
        out = operate("conv4d", samples.flatten(0, 1), weight, bias, *options)
        return out.unflatten(0, (count, samples.shape[1])), 0
    if bias is not None:
        bias = _mapped_first(bias, in_bias, count).flatten(0, 1)
    groups = _mapped_first(weight, in_weight, count)
    out = operate(
        "conv4d", _as_channels(input, in_input, count), groups.flatten(0, 1), bias, *_more_groups(options, count)
    )
    return out.unflatten(1, (count, groups.shape[1])), 1


def vmap_input(
    operate: Operate,
    info: Any,
    in_dims: Any,
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    *options: Any,
) -> Batched:
    """Batch ``conv4d_input``."""
    count, (_, in_weight, in_grad) = info.batch_size, in_dims[:3]
    batch, channels, *extents = input_size
    if in_weight is None:
        samples = grad_output.movedim(in_grad, 0).flatten(0, 1)
        out = operate("conv4d_input", [count * batch, channels, *extents], weight, samples, *options)
        return out.unflatten(0, (count, batch)), 0
    out = operate(
        "conv4d_input",
        [batch, count * channels, *extents],
        _mapped_first(weight, in_weight, count).flatten(0, 1),
        _as_channels(grad_output, in_grad, count),
        *_more_groups(options, count),
    )
    return out.unflatten(1, (count, channels)), 1


def vmap_weight(
    operate: Operate,
    info: Any,
    in_dims: Any,
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    *options: Any,
) -> Batched:
    """Batch ``conv4d_weight``; every example has a weight of its own."""
    count, (in_input, _, in_grad) = info.batch_size, in_dims[:3]
    channels, *rest = weight_size
    out = operate(
        "conv4d_weight",
        _as_channels(input, in_input, count),
        [count * channels, *rest],
        _as_channels(grad_output, in_grad, count),
        *_more_groups(options, count),
    )
    return out.unflatten(0, (count, channels)), 0


def _mapped_first(x: Tensor, axis: int | None, count: int) -> Tensor:
    """Move the mapped axis to the front; a tensor without one is the same for every example."""
    return x.expand(count, *x.shape) if axis is None else x.movedim(axis, 0)


def _as_channels(x: Tensor, axis: int | None, count: int) -> Tensor:
    """``(N, C, *size)`` per example to ``(N, count * C, *size)``."""
    return _mapped_first(x, axis, count).movedim(0, 1).flatten(1, 2)


def _more_groups(options: Sequence[Any], count: int) -> list[Any]:
    stride, padding, dilation, groups, precision = options
    return [stride, padding, dilation, groups * count, precision]
