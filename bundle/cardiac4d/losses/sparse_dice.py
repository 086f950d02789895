# SPDX-License-Identifier: Apache-2.0
"""Soft Dice on the annotated voxels of the annotated frames (first term of Myronenko et al. 2019, section 2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..conventions import NOT_ANNOTATED
from ..ops.head_input import HeadInput
from .sequences import annotated_frames, as_sequence, as_sparse_label, host_sees, softmax


def sparse_dice_loss(
    scores: Tensor | HeadInput,
    label: Tensor,
    *,
    include_background: bool = True,
    squared_denominator: bool = True,
    pooled: bool = False,
    smooth_nr: float = 0.0,
    smooth_dr: float = 1e-5,
    probabilities: bool = False,
) -> Tensor:
    """Compute one minus the soft Dice of V-Net over the annotated part of each sequence.

    The functional core of :class:`SparseDiceLoss`, which documents definition and options.

    Args:
        scores: ``(N, C, H, W, D, T)`` or ``(N, C, H, W, D)``; logits, or probabilities if ``probabilities`` is set.
        label: ``(N, 1, H, W, D, T)`` or ``(N, 1, H, W, D)``; class indices, 255 = not annotated.
        include_background: see :class:`SparseDiceLoss`.
        squared_denominator: see :class:`SparseDiceLoss`.
        pooled: see :class:`SparseDiceLoss`.
        smooth_nr: see :class:`SparseDiceLoss`.
        smooth_dr: see :class:`SparseDiceLoss`.
        probabilities: the softmax over channels has been taken already.

    Returns:
        Scalar, float32 (float64 for float64 scores); 0 with its graph kept if no sample has an annotated frame.

    Raises:
        ValueError: if shapes disagree, no class is left without the background, or the label on the CPU holds something
            else than class indices and 255; on an accelerator see
            :func:`cardiac4d.losses.sequences.as_sparse_label`.
    """
    scores = as_sequence(scores)
    classes = as_sparse_label(label, scores)
    options = _Options(include_background, squared_denominator, pooled, smooth_nr, smooth_dr, probabilities)
    options.demand_classes(scores.shape[1])
    return (_of_chosen_frames if host_sees(scores) else _of_all_frames)(scores, classes, options)


class _Options(NamedTuple):
    """Those of :func:`sparse_dice_loss`."""

    include_background: bool
    squared: bool
    pooled: bool
    smooth_nr: float
    smooth_dr: float
    probabilities: bool

    @classmethod
    def of(cls, loss: SparseDiceLoss) -> _Options:
        """Those for what a loss makes of probabilities."""
        background, squared = loss.include_background, loss.squared_denominator
        return cls(background, squared, loss.pooled, loss.smooth_nr, loss.smooth_dr, probabilities=True)

    @property
    def first(self) -> int:
        """The first channel that counts."""
        return 0 if self.include_background else 1

    def demand_classes(self, count: int) -> None:
        if count <= self.first:
            raise ValueError(f"`include_background=False` leaves no class of {count}: set it, or give C >= 2 channels")

    def dice(self, overlap: Tensor, size: Tensor) -> Tensor:
        return (2 * overlap + self.smooth_nr) / (size + self.smooth_dr)


def _of_chosen_frames(scores: Tensor, classes: Tensor, options: _Options) -> Tensor:
    """The loss where the host knows which frames are annotated; the others cost nothing."""
    losses = []
    for sample, sample_label, is_annotated in zip(scores, classes, annotated_frames(classes), strict=True):
        frames = is_annotated.nonzero().squeeze(1)
        if not len(frames):
            continue
        # Frames without annotation leave here: they get a gradient of exactly zero and cost nothing below.
        chosen, target = sample.index_select(-1, frames), sample_label.index_select(-1, frames)
        overlap, size = _sums(chosen, target, options)
        if options.pooled:
            overlap, size = overlap.sum(dim=1), size.sum(dim=1)
        losses.append(1 - options.dice(overlap, size).mean())
    if not losses:
        # An empty sum: exactly zero, never NaN, and still a function of the scores for DDP and the gradient scaler.
        return scores[..., :0].sum(dtype=torch.promote_types(scores.dtype, torch.float32))
    return torch.stack(losses).mean()


def _of_all_frames(scores: Tensor, classes: Tensor, options: _Options) -> Tensor:
    """The same without asking a device which frames are annotated: those that are not count with weight zero."""
    sums = [_sums(sample, target, options) for sample, target in zip(scores, classes, strict=True)]
    overlap, size = (torch.stack(parts) for parts in zip(*sums, strict=True))
    return _of_sums(overlap, size, annotated_frames(classes), options)


def sparse_dice_of_sums(loss: SparseDiceLoss, overlap: Tensor, size: Tensor, is_annotated: Tensor) -> Tensor:
    """Compute what a loss makes of sums over the voxels of a frame.

    Args:
        loss: whose options count.
        overlap: ``(N, C, T)``, of the probability of a class where the label is that class.
        size: ``(N, C, T)``, of the squared probability (or, after the options, the probability) at annotated voxels,
            plus the voxels of the class.
        is_annotated: ``(N, T)``, bool; other frames have only zeros.

    Returns:
        Scalar of the dtype of the sums.

    Raises:
        ValueError: if the background is to be left out, and there is no other class.
    """
    options = _Options.of(loss)
    options.demand_classes(overlap.shape[1])
    return _of_sums(overlap[:, options.first :], size[:, options.first :], is_annotated, options)


def _of_sums(overlap: Tensor, size: Tensor, is_annotated: Tensor, options: _Options) -> Tensor:
    """Sums ``(N, C - first, T)`` to the loss; no frame is left out, those without annotation count zero times."""
    if options.pooled:
        losses = 1 - options.dice(overlap.sum(dim=2), size.sum(dim=2)).mean(dim=1)
    else:
        dice = options.dice(overlap, size).mean(dim=1) * is_annotated
        losses = 1 - dice.sum(dim=1) / is_annotated.sum(dim=1).clamp(min=1)
    is_counted = is_annotated.any(dim=1)
    return (losses * is_counted).sum() / is_counted.sum().clamp(min=1)


class SparseDiceLoss(nn.Module):
    """Soft Dice loss of V-Net on annotated voxels of annotated frames only.

    With ``S`` the annotated frames of a sample, ``C`` the channels, ``p`` the softmax probabilities, ``g`` the one-hot
    labels and sums over the annotated voxels of one frame and one channel::

        L = 1 - 1 / (|S| C) * sum_{t in S} sum_c (2 <p_tc, g_tc> + smooth_nr) / (|p_tc|^2 + |g_tc|^2 + smooth_dr)

    A frame is annotated if any of its voxels is not 255; a 255 inside it (spatial padding, say) is left out of every
    sum. The gradient is exactly zero at every voxel that is not annotated. A batch is averaged over the samples that
    have an annotated frame, so that the value does not depend on how many others share the batch; without any, the loss
    is 0 with its graph kept. A class absent from an annotated frame scores ``smooth_nr / (|p|^2 + smooth_dr)``: 0 with
    the default, as in V-Net, and hence without a gradient; the remaining channels carry it through the softmax.

    The defaults **reconstruct** the paper, whose equation is not readable in the text we have: see
    docs/losses_and_metrics.md.

    Args:
        include_background: average over all ``C`` channels; otherwise channel 0 is left out.
        squared_denominator: ``|p|^2 + |g|^2`` (V-Net); otherwise ``sum p + sum g``.
        pooled: one Dice per channel over all annotated frames together, instead of the mean of one per frame.
        smooth_nr: added to the numerator.
        smooth_dr: added to the denominator, > 0.

    Raises:
        ValueError: if a smoothing term is negative, or ``smooth_dr`` is zero.

    Example:
        >>> logits = torch.zeros(1, 3, 4, 4, 4, 2)
        >>> label = torch.full((1, 1, 4, 4, 4, 2), 255)
        >>> label[..., 0] = 1  # frame 0 is all left ventricle, frame 1 is not annotated
        >>> round(SparseDiceLoss()(logits, label).item(), 4)  # 1 - (0 + 2/3 / (1/9 + 1) + 0) / 3
        0.8
    """

    def __init__(
        self,
        *,
        include_background: bool = True,
        squared_denominator: bool = True,
        pooled: bool = False,
        smooth_nr: float = 0.0,
        smooth_dr: float = 1e-5,
    ) -> None:
        super().__init__()
        if smooth_nr < 0 or smooth_dr <= 0:
            raise ValueError(f"`smooth_nr` (={smooth_nr}) must be >= 0 and `smooth_dr` (={smooth_dr}) > 0")
        self.include_background = include_background
        self.squared_denominator = squared_denominator
        self.pooled = pooled
        self.smooth_nr = smooth_nr
        self.smooth_dr = smooth_dr

    def forward(self, logits: Tensor | HeadInput, label: Tensor, *, probabilities: bool = False) -> Tensor:
        """See :func:`sparse_dice_loss`; also of what a network left to its loss."""
        return sparse_dice_loss(
            logits,
            label,
            include_background=self.include_background,
            squared_denominator=self.squared_denominator,
            pooled=self.pooled,
            smooth_nr=self.smooth_nr,
            smooth_dr=self.smooth_dr,
            probabilities=probabilities,
        )


def _sums(scores: Tensor, target: Tensor, options: _Options) -> tuple[Tensor, Tensor]:
    """Overlap and size per channel and frame: ``(C, H, W, D, S)`` and ``(H, W, D, S)`` to two ``(C - first, S)``."""
    probability = scores if options.probabilities else softmax(scores, dim=0)
    missing = target == NOT_ANNOTATED
    if not host_sees(missing) or missing.any():
        probability = probability.masked_fill(missing, 0)
    overlaps, sizes = [], []
    for channel in range(options.first, len(probability)):  # one channel at a time: no one-hot copy of the label
        p, g = probability[channel], target == channel
        overlaps.append(p.masked_fill(~g, 0).sum(dim=(0, 1, 2)))
        sizes.append((p.square() if options.squared else p).sum(dim=(0, 1, 2)) + g.sum(dim=(0, 1, 2)))
    return torch.stack(overlaps), torch.stack(sizes)
