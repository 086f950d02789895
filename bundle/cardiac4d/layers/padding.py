# SPDX-License-Identifier: Apache-2.0
"""Padding of single axes by repeating the data: ``torch.nn.functional.pad`` does this for three axes at most."""

from typing import Literal, get_args

import torch
from torch import Tensor

from ..ops.layout import from_frames, lies_as_frames, to_frames

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
PADDING_MODES = get_args(PaddingMode)


def pad4d(x: Tensor, amounts: list[int], modes: list[str]) -> Tensor:
    """Pad H, W, D and T of ``(N, C, H, W, D, T)``, each axis in its own mode.

    Args:
        x: any strides; the result is in the same layout (see :mod:`cardiac4d.ops.layout`).
        amounts: eight integers, before and after per axis in the order H, W, D, T.
        modes: four of ``zeros``, ``reflect``, ``replicate``, ``circular``; meaning and limits as in
            :func:`torch.nn.functional.pad`.

    Raises:
        ValueError: if an axis is too short for its mode.
    """
    if max(amounts) == 0 or x.dim() != 6:  # the convolution refuses another rank, with its own message
        return x
    if lies_as_frames(x):
        return from_frames(_pad_axes(to_frames(x), [2, 3, 4, 1], amounts, modes))
    return _pad_axes(x.contiguous(), [2, 3, 4, 5], amounts, modes)


def _pad_axes(x: Tensor, axes: list[int], amounts: list[int], modes: list[str]) -> Tensor:
    """Pad a contiguous tensor; ``axes`` says where H, W, D and T stand in it."""
    for i, axis in enumerate(axes):
        before, after = amounts[2 * i], amounts[2 * i + 1]
        if before > 0 or after > 0:
            x = _pad_axis(x, axis, before, after, modes[i])
    return x


def _pad_axis(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """Concatenate, because the backward of indexing adds atomically on a GPU and so is not deterministic."""
    size = x.shape[axis]
    longest = size - 1 if mode == "reflect" else size
    if mode in ("reflect", "circular") and max(before, after) > longest:
        raise ValueError(
            f"padding mode '{mode}' adds at most {longest} to an axis of extent {size}, got {before}, {after}"
        )
    if mode == "circular":
        return torch.cat([x.narrow(axis, size - before, before), x, x.narrow(axis, 0, after)], axis)
    if mode == "reflect":
        left, right = x.narrow(axis, 1, before).flip(axis), x.narrow(axis, size - 1 - after, after).flip(axis)
        return torch.cat([left, x, right], axis)
    first, last = x.narrow(axis, 0, 1), x.narrow(axis, size - 1, 1)
    if mode == "zeros":
        first, last = torch.zeros_like(first), torch.zeros_like(last)
    return torch.cat([first] * before + [x] + [last] * after, axis)
