# SPDX-License-Identifier: Apache-2.0
"""The public operator: parse, check, then hand over to the backend."""

import torch
from torch import Tensor

from .arguments import Size4, check_bias, check_extents, check_shapes, check_tensors, to_size4
from .autocast import autocast
from .backend import precision_code, runs_native
from .call import call
from .composed import conv4d_composed


def conv4d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Size4 = 1,
    padding: Size4 = 0,
    dilation: Size4 = 1,
    groups: int = 1,
) -> Tensor:
    """Correlate a batch of 4D volumes with a bank of 4D kernels.

    The four-axis analogue of :func:`torch.nn.functional.conv3d`: with a kernel of extent one on the time axis the two
    agree frame by frame. Differentiable any number of times; the same inputs give the same bits on a CPU. Half types
    accumulate in float32; the composed backend adds the time taps in the half type. Under autocast, computes in its
    dtype. Which backend runs is the choice of :func:`cardiac4d.ops.use_backend`.

    Args:
        input: ``(N, C_in, H, W, D, T)``, any strides; no copy if it lies in memory as the backend wants it (see
            Returns).
        weight: ``(C_out, C_in // groups, KH, KW, KD, KT)``, same dtype and device as ``input``.
        bias: ``(C_out,)`` or ``None``.
        stride: step per axis, in voxels (frames on the time axis); a scalar applies to all four.
        padding: zeros added on *each* side per axis.
        dilation: spacing between kernel taps per axis.
        groups: number of independent channel groups.

    Returns:
        ``(N, C_out, EH, EW, ED, ET)``, ``E = (size + 2 * padding - dilation * (K - 1) - 1) // stride + 1`` per axis,
        plain contiguous from the native kernels for the CPU, physically ``N, T, H, W, D, C`` from all others.

    Raises:
        TypeError: if something other than a tensor is given for one.
        ValueError: if a rank, channel count, size argument or output extent is not admissible; the message names the
            argument.
        BackendError: if the settings demand native kernels, and they cannot serve the call.

    Example:
        >>> conv4d(torch.zeros(1, 2, 8, 8, 8, 5), torch.zeros(4, 2, 3, 3, 3, 3), padding=1).shape
        torch.Size([1, 4, 8, 8, 8, 5])
    """
    return conv4d_parsed(
        input,
        weight,
        bias,
        list(to_size4(stride, "stride", minimum=1)),
        list(to_size4(padding, "padding", minimum=0)),
        list(to_size4(dilation, "dilation", minimum=1)),
        groups,
    )


def conv4d_parsed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """:func:`conv4d` with four integers per size: what modules call, and what TorchScript compiles.

    Every call passes here: the door where a backend is chosen.
    """
    if not torch.jit.is_scripting():  # TorchScript leaves out what stands under this condition alone
        check_tensors(input, weight, bias)
    check_shapes(list(input.shape), list(weight.shape), groups)
    check_bias(bias, weight.shape[0])
    check_extents(list(input.shape), list(weight.shape), stride, padding, dilation)
    if not torch.jit.is_scripting():
        input, weight, bias = autocast(input, weight, bias)
        if runs_native(input, weight, bias):
            return call("conv4d", input, weight, bias, stride, padding, dilation, groups, precision_code(input))
    return conv4d_composed(input, weight, bias, stride, padding, dilation, groups)
