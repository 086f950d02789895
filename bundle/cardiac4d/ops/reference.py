# SPDX-License-Identifier: Apache-2.0
"""The oracle: 4D convolution straight from its definition, in float64, for tests. Shares no code with any backend."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor


def conv4d_reference(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Compute what :func:`cardiac4d.ops.conv4d` promises: slow, clear, differentiable.

    For every tap ``k`` of the kernel the voxels ``stride * e + dilation * k`` of the zero-padded input are multiplied
    by the tap's ``C_out x C_in`` matrix and summed over the taps.

    Returns:
        The result in float64, whatever the input's dtype.

    Example:
        >>> conv4d_reference(torch.ones(1, 1, 3, 3, 3, 3), torch.ones(1, 1, 3, 3, 3, 3)).item()
        81.0
    """
    steps, margins, gaps = ([v] * 4 if isinstance(v, int) else list(v) for v in (stride, padding, dilation))
    padded = input.double()
    for axis, margin in enumerate(margins):
        shape = list(padded.shape)
        shape[2 + axis] = margin
        padded = torch.cat([padded.new_zeros(shape), padded, padded.new_zeros(shape)], 2 + axis)
    grouped = padded.unflatten(1, (groups, -1))
    matrices = weight.double().unflatten(0, (groups, -1))
    total = torch.zeros((), dtype=torch.float64)
    for taps in itertools.product(*map(range, weight.shape[2:])):
        window, matrix = grouped, matrices
        for axis, tap in enumerate(taps):
            last = (weight.shape[2 + axis] - 1) * gaps[axis]
            shift = tap * gaps[axis]
            span = torch.arange(shift, padded.shape[2 + axis] - last + shift, steps[axis])
            window = window.index_select(3 + axis, span)
            matrix = matrix.select(3, tap)
        total = total + torch.einsum("ngchwdt,goc->ngohwdt", window, matrix)
    out = total.flatten(1, 2)
    return out if bias is None else out + bias.double().view(1, -1, 1, 1, 1, 1)
