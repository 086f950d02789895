# SPDX-License-Identifier: Apache-2.0
"""The two transposes of :func:`cardiac4d.ops.conv4d`, with the arguments of :mod:`torch.nn.grad`.

Together with ``conv4d`` they are closed: each derivative of one of them is one of the other two.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .arguments import Size4, check_extents, check_shapes, output_size, to_size4
from .autocast import autocast
from .backend import precision_code, runs_native
from .call import call
from .composed import conv4d_composed


def conv4d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    *,
    stride: Size4 = 1,
    padding: Size4 = 0,
    dilation: Size4 = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of :func:`cardiac4d.ops.conv4d` with respect to its input: the transposed convolution.

    Args:
        input_size: ``(N, C_in, H, W, D, T)``; with a stride, several sizes have the same output.
        weight: as for ``conv4d``.
        grad_output: ``(N, C_out, EH, EW, ED, ET)``, the gradient with respect to the output.
        stride: as for ``conv4d``.
        padding: as for ``conv4d``.
        dilation: as for ``conv4d``.
        groups: as for ``conv4d``.

    Returns:
        A tensor of size ``input_size``; the layout follows the backend as that of ``conv4d`` does.

    Raises:
        ValueError: if an argument is not admissible; the message names it.
        BackendError: if the settings demand native kernels, and they cannot serve the call.

    Example:
        >>> conv4d_input([1, 2, 8, 8, 8, 5], torch.zeros(4, 2, 3, 3, 3, 3), torch.zeros(1, 4, 6, 6, 6, 3)).shape
        torch.Size([1, 2, 8, 8, 8, 5])
    """
    size = list(input_size)
    sizes = _parsed_sizes(stride, padding, dilation)
    _check(size, list(weight.shape), grad_output, sizes, groups)
    weight, grad_output, _ = autocast(weight, grad_output, None)
    if runs_native(weight, grad_output):
        return call("conv4d_input", size, weight, grad_output, *sizes, groups, precision_code(weight))
    return _pull_back(
        lambda x: conv4d_composed(x, weight, None, *sizes, groups), grad_output.new_zeros(size), grad_output
    )


def conv4d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    *,
    stride: Size4 = 1,
    padding: Size4 = 0,
    dilation: Size4 = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of :func:`cardiac4d.ops.conv4d` with respect to its weight.

    Args:
        input: as for ``conv4d``.
        weight_size: ``(C_out, C_in // groups, KH, KW, KD, KT)``.
        grad_output: ``(N, C_out, EH, EW, ED, ET)``, the gradient with respect to the output.
        stride: as for ``conv4d``.
        padding: as for ``conv4d``.
        dilation: as for ``conv4d``.
        groups: as for ``conv4d``.

    Returns:
        A tensor of size ``weight_size``.

    Raises:
        ValueError: if an argument is not admissible; the message names it.
        BackendError: if the settings demand native kernels, and they cannot serve the call.

    Example:
        >>> conv4d_weight(torch.zeros(1, 2, 8, 8, 8, 5), [4, 2, 3, 3, 3, 3], torch.zeros(1, 4, 6, 6, 6, 3)).shape
        torch.Size([4, 2, 3, 3, 3, 3])
    """
    size = list(weight_size)
    sizes = _parsed_sizes(stride, padding, dilation)
    _check(list(input.shape), size, grad_output, sizes, groups)
    input, grad_output, _ = autocast(input, grad_output, None)
    if runs_native(input, grad_output):
        return call("conv4d_weight", input, size, grad_output, *sizes, groups, precision_code(input))
    return _pull_back(
        lambda w: conv4d_composed(input, w, None, *sizes, groups), grad_output.new_zeros(size), grad_output
    )


def _parsed_sizes(stride: Size4, padding: Size4, dilation: Size4) -> tuple[list[int], list[int], list[int]]:
    return (
        list(to_size4(stride, "stride", minimum=1)),
        list(to_size4(padding, "padding", minimum=0)),
        list(to_size4(dilation, "dilation", minimum=1)),
    )


def _check(input: list[int], weight: list[int], grad_output: Tensor, sizes: tuple[list[int], ...], groups: int) -> None:
    """Check shapes as ``conv4d`` does, and that the gradient has the shape of its output."""
    check_shapes(input, weight, groups)
    check_extents(input, weight, *sizes)
    expected = [input[0], weight[0], *output_size(input[2:], weight[2:], *sizes)]
    if list(grad_output.shape) != expected:
        raise ValueError(f"`grad_output` must have shape {expected}, got {list(grad_output.shape)}")


def _pull_back(function: Callable[[Tensor], Tensor], at: Tensor, grad_output: Tensor) -> Tensor:
    """Gradient of a linear function, itself differentiable; ``at`` gives but the shape, since it is linear."""
    pull_back = torch.func.vjp(function, at)[1]
    return pull_back(grad_output)[0]
