# SPDX-License-Identifier: Apache-2.0
"""The loss the network is trained with: sparse Dice plus temporal smoothness (Myronenko et al. 2019, section 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..ops.head_input import HeadInput
from .fused import Terms, fused_terms, fuses_terms
from .sequences import annotated_frames, as_sequence, softmax
from .smoothness import TemporalSmoothnessLoss
from .sparse_dice import SparseDiceLoss


class SparseSequenceLoss(nn.Module):
    """``dice + weight * smoothness``, with equal weights as in the paper.

    A crop without any annotated frame trains on smoothness alone. The softmax is taken once for both terms; where the
    native backend computes on a CUDA device, or for a :class:`HeadInput`, in one pass that stores no probabilities, if
    the terms are those of this package and smoothness is ``squared_l2`` of probabilities.

    Args:
        dice: the Dice term; ``None`` for :class:`SparseDiceLoss` with its defaults.
        smoothness: the smoothness term; ``None`` for :class:`TemporalSmoothnessLoss` with its defaults.
        weight: weight of the smoothness term, >= 0; 0 leaves Dice alone, and the term is still reported.

    Attributes:
        terms: of the last call, detached, for logging: ``dice``, the Dice loss, NaN if the batch had no annotated frame
            (average with ``nanmean``: a zero would count as perfect); ``smoothness``, before its weight;
            ``num_annotated_frames``. Empty before the first call.

    Raises:
        ValueError: if the weight is negative.

    Example:
        >>> loss = SparseSequenceLoss()
        >>> logits = torch.randn(1, 3, 4, 4, 4, 2, requires_grad=True)
        >>> loss(logits, torch.full((1, 1, 4, 4, 4, 2), 255)).backward()  # nothing annotated: smoothness alone
        >>> loss.terms["num_annotated_frames"].item(), loss.terms["dice"].item()
        (0, nan)
    """

    def __init__(
        self,
        dice: SparseDiceLoss | None = None,
        smoothness: TemporalSmoothnessLoss | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"`weight` (={weight}) must be >= 0")
        self.dice = SparseDiceLoss() if dice is None else dice
        self.smoothness = TemporalSmoothnessLoss() if smoothness is None else smoothness
        self.weight = weight
        self.terms: dict[str, Tensor] = {}

    def forward(
        self, logits: Tensor | HeadInput, label: Tensor, *, full_cycle: bool | Sequence[bool] | Tensor | None = None
    ) -> Tensor:
        """Compute the loss and record its terms.

        Args:
            logits: ``(N, C, H, W, D, T)`` or ``(N, C, H, W, D)``; or what a network with ``head_in_loss`` returns.
            label: ``(N, 1, H, W, D, T)`` or ``(N, 1, H, W, D)``; class indices, 255 = not annotated.
            full_cycle: see :meth:`TemporalSmoothnessLoss.forward`.

        Returns:
            Scalar, float32 (float64 for float64 logits).

        Raises:
            ValueError: see :func:`cardiac4d.losses.sparse_dice_loss`.
        """
        if fuses_terms(self.dice, self.smoothness, logits):
            terms = fused_terms(self.dice, self.smoothness, logits, label, full_cycle)
        else:
            terms = self._separate_terms(logits, label, full_cycle)
        self.terms = {
            "dice": torch.where(terms.num_annotated_frames > 0, terms.dice.detach(), torch.nan),
            "smoothness": terms.smoothness.detach(),
            "num_annotated_frames": terms.num_annotated_frames,
        }
        return terms.dice + self.weight * terms.smoothness

    def _separate_terms(
        self, logits: Tensor | HeadInput, label: Tensor, full_cycle: bool | Sequence[bool] | Tensor | None
    ) -> Terms:
        logits = as_sequence(logits)
        shared = not self.smoothness.on_logits
        scores = softmax(logits) if shared else logits
        dice = self.dice(scores, label, probabilities=shared)
        smoothness = self.smoothness(scores, full_cycle=full_cycle, probabilities=shared)
        # The Dice loss has checked the label.
        return Terms(dice, smoothness, annotated_frames(as_sequence(label, "label").squeeze(1)).sum())
