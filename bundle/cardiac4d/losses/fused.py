# SPDX-License-Identifier: Apache-2.0
"""Both terms of the loss from sums that one native operator leaves, without a tensor of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from ..ops.fused import softmax_sums
from ..ops.fusion import fuses_softmax_sums
from ..ops.head_input import HeadInput
from ..ops.hooks import has_hooks
from ..ops.layout import as_kernels_want
from ..ops.settings import chosen_backend
from .sequences import as_byte_label, as_sequence, demand_classes
from .smoothness import TemporalSmoothnessLoss, smoothness_of_sums
from .sparse_dice import SparseDiceLoss, sparse_dice_of_sums


class Terms(NamedTuple):
    """Dice and smoothness, float32 or wider, and the number of annotated frames."""

    dice: Tensor
    smoothness: Tensor
    num_annotated_frames: Tensor


def fuses_terms(dice: nn.Module, smoothness: nn.Module, scores: Tensor | HeadInput) -> bool:
    """Tell whether :func:`fused_terms` serves two terms and what they are taken of.

    Logits on the CPU go the long way: there a frame without annotation costs the Dice term nothing.
    """
    # A subclass may compute something else; a hook waits for its term to be called.
    if type(dice) is not SparseDiceLoss or type(smoothness) is not TemporalSmoothnessLoss:
        return False
    if smoothness.norm != "squared_l2" or smoothness.on_logits or has_hooks(dice) or has_hooks(smoothness):
        return False
    if isinstance(scores, HeadInput):
        with chosen_backend(scores.backend):
            return fuses_softmax_sums(*scores.operands)
    return scores.device.type == "cuda" and fuses_softmax_sums(as_sequence(scores), None, None)


def fused_terms(
    dice: SparseDiceLoss,
    smoothness: TemporalSmoothnessLoss,
    scores: Tensor | HeadInput,
    label: Tensor,
    full_cycle: bool | Sequence[bool] | Tensor | None,
) -> Terms:
    """Compute both terms.

    Args:
        dice: the Dice term.
        smoothness: the smoothness term.
        scores: logits, or what they are computed from.
        label: see :func:`cardiac4d.losses.sequences.as_sparse_label`.
        full_cycle: see :meth:`TemporalSmoothnessLoss.forward`.

    Returns:
        Both terms in float32, and how many frames of the batch are annotated.

    Raises:
        ValueError: if shapes disagree, or the label on the CPU holds something else than class indices and 255; on an
            accelerator see :func:`cardiac4d.losses.sequences.as_sparse_label`.
    """
    x, weight, bias = scores.operands if isinstance(scores, HeadInput) else (as_sequence(scores), None, None)
    classes = x.shape[1] if weight is None else weight.shape[0]
    # In the layout of the kernels here, so that forward and backward share the copies.
    target = as_kernels_want(as_byte_label(label, x[:, :1].expand(-1, classes, *x.shape[2:])))
    sums = softmax_sums(as_kernels_want(x), weight, bias, target, squared=dice.squared_denominator)
    overlap, size, change, counts = sums.split([classes, classes, 1, 2], dim=2)
    num_annotated, num_wrong = counts.detach().unbind(dim=2)
    demand_classes(num_wrong.sum() == 0, target, classes)
    is_annotated = num_annotated > 0
    return Terms(
        sparse_dice_of_sums(dice, overlap.transpose(1, 2), size.transpose(1, 2), is_annotated).float(),
        smoothness_of_sums(
            change.squeeze(2),
            elements=classes * x[0, 0, ..., 0].numel(),
            divide_by=smoothness.divide_by,
            cyclic=smoothness.cyclic if full_cycle is None else full_cycle,
        ).float(),
        is_annotated.sum(),
    )
