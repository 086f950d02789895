# SPDX-License-Identifier: Apache-2.0
"""First-order smoothness over time (second term of Myronenko et al. 2019, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..ops.head_input import HeadInput
from .sequences import as_sequence, softmax

Norm = Literal["squared_l2", "l2", "l1"]
Divisor = Literal["pairs", "frames"]


def temporal_smoothness_loss(
    values: Tensor,
    *,
    norm: Norm = "squared_l2",
    divide_by: Divisor = "pairs",
    cyclic: bool | Sequence[bool] | Tensor = False,
) -> Tensor:
    """Penalise the difference between neighbouring frames of each sequence.

    The functional core of :class:`TemporalSmoothnessLoss`, which documents definition and options.

    Args:
        values: ``(N, C, H, W, D, T)`` or ``(N, C, H, W, D)``; probabilities or logits.
        norm: see :class:`TemporalSmoothnessLoss`.
        divide_by: see :class:`TemporalSmoothnessLoss`.
        cyclic: the last frame precedes the first; one flag for all samples, or one per sample. Flags in a tensor on an
            accelerator are waited for.

    Returns:
        Scalar, float32 (float64 for float64 values); 0 with its graph kept for a single frame.

    Raises:
        ValueError: if the shape or the number of flags is wrong.
    """
    values = as_sequence(values)
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    flags = _flags(cyclic, len(values))
    return torch.stack(
        [_of_one(sample, norm, divide_by, flag) for sample, flag in zip(values, flags, strict=True)]
    ).mean()


def smoothness_of_sums(
    change: Tensor, *, elements: int, divide_by: Divisor, cyclic: bool | Sequence[bool] | Tensor
) -> Tensor:
    """Compute the loss of the norm ``squared_l2`` from sums.

    Args:
        change: ``(N, T)``, the sum over channels and voxels of the squared change from a frame to the next; from the
            last one to the first.
        elements: channels times voxels of a frame.
        divide_by: see :class:`TemporalSmoothnessLoss`.
        cyclic: see :func:`temporal_smoothness_loss`.

    Returns:
        Scalar of the dtype of the sums.
    """
    num_frames, losses = change.shape[1], []
    for sample, flag in zip(change, _flags(cyclic, len(change)), strict=True):
        num_pairs = num_frames if flag and num_frames > 1 else num_frames - 1
        divisor = num_pairs if divide_by == "pairs" else num_frames
        losses.append(sample[:num_pairs].sum() / (elements * max(divisor, 1)))
    return torch.stack(losses).mean()


class TemporalSmoothnessLoss(nn.Module):
    """Mean change between neighbouring frames, over all frames whether annotated or not.

    With ``K`` frames and ``p`` the softmax probabilities::

        L = 1 / (K - 1) * sum_{t=1..K-1} |p_{t+1} - p_t|,   |d| = mean over channels and voxels of d^2

    A batch is averaged over its samples. One frame has no neighbour: the loss is 0 with its graph kept.

    The defaults **reconstruct** the paper, whose equation is not readable in the text we have: see
    docs/losses_and_metrics.md.

    Args:
        norm: ``squared_l2``, the mean of ``d^2``; ``l2``, its root, one per pair of frames; ``l1``, the mean of
            ``|d|``.
        divide_by: ``pairs``, the number of differences, ``K - 1`` (``K`` if cyclic); or ``frames``, always ``K``.
        on_logits: measure the change of the logits instead of the probabilities.
        cyclic: also compare the last frame with the first. Valid only if the frames cover one whole R-R cycle, which a
            crop in time seldom does; ``forward`` takes one flag per sample where that varies.

    Raises:
        ValueError: if ``norm`` or ``divide_by`` is not one of the names above.

    Example:
        >>> logits = torch.zeros(1, 2, 1, 1, 1, 2)
        >>> logits[0, 0, ..., 1] = 100.0  # probabilities (1/2, 1/2), then (1, 0)
        >>> TemporalSmoothnessLoss()(logits).item()
        0.25
    """

    def __init__(
        self,
        *,
        norm: Norm = "squared_l2",
        divide_by: Divisor = "pairs",
        on_logits: bool = False,
        cyclic: bool = False,
    ) -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise ValueError(f"`norm` must be one of {get_args(Norm)}, got {norm!r}")
        if divide_by not in get_args(Divisor):
            raise ValueError(f"`divide_by` must be one of {get_args(Divisor)}, got {divide_by!r}")
        self.norm: Norm = norm
        self.divide_by: Divisor = divide_by
        self.on_logits = on_logits
        self.cyclic = cyclic

    def forward(
        self,
        logits: Tensor | HeadInput,
        label: Tensor | None = None,
        *,
        full_cycle: bool | Sequence[bool] | Tensor | None = None,
        probabilities: bool = False,
    ) -> Tensor:
        """Compute the loss.

        Args:
            logits: ``(N, C, H, W, D, T)`` or ``(N, C, H, W, D)``; or what a network left to its loss.
            label: not used; MONAI's trainers pass one to every loss.
            full_cycle: overrides ``cyclic``, for all samples or one flag per sample.
            probabilities: the softmax over channels has been taken already; not together with ``on_logits``.

        Returns:
            Scalar, see :func:`temporal_smoothness_loss`.

        Raises:
            ValueError: if probabilities are passed to a loss that works on logits.
        """
        if probabilities and self.on_logits:
            raise ValueError("`probabilities` must be False for a loss with `on_logits`")
        values = as_sequence(logits)
        return temporal_smoothness_loss(
            values if probabilities or self.on_logits else softmax(values),
            norm=self.norm,
            divide_by=self.divide_by,
            cyclic=self.cyclic if full_cycle is None else full_cycle,
        )


def _flags(cyclic: bool | Sequence[bool] | Tensor, count: int) -> list[bool]:
    """One flag per sample."""
    if isinstance(cyclic, Tensor):
        flags = cyclic.flatten().tolist()
    else:
        flags = [bool(flag) for flag in cyclic] if isinstance(cyclic, Sequence) else [bool(cyclic)]
    flags = flags * count if len(flags) == 1 else flags
    if len(flags) != count:
        raise ValueError(f"`cyclic` must be one flag or one per sample ({count}), got {len(flags)}")
    return flags


def _of_one(sample: Tensor, norm: Norm, divide_by: Divisor, cyclic: bool) -> Tensor:
    """Smoothness of one ``(C, H, W, D, K)``."""
    num_frames = sample.shape[-1]
    if num_frames == 1:
        return sample[..., :0].sum()  # an empty sum: exactly zero, and still a function of the sample
    total = _change(sample[..., 1:], sample[..., :-1], norm)
    if cyclic:
        total = total + _change(sample[..., :1], sample[..., -1:], norm)
    num_pairs = num_frames if cyclic else num_frames - 1
    return total / (num_pairs if divide_by == "pairs" else num_frames)


def _change(later: Tensor, earlier: Tensor, norm: Norm) -> Tensor:
    """Sum over the pairs of frames of the change averaged over channels and voxels; two ``(C, H, W, D, pairs)``."""
    # The fused losses keep views of the frames for the backward pass, not a copy of their difference.
    if norm == "squared_l2":
        return later.shape[-1] * functional.mse_loss(later, earlier)
    if norm == "l1":
        return later.shape[-1] * functional.l1_loss(later, earlier)
    # vector_norm has the subgradient 0 at 0, where a plain root has an infinite one: a static sequence must train.
    return torch.linalg.vector_norm(later - earlier, dim=(0, 1, 2, 3)).sum() / later[..., 0].numel() ** 0.5
