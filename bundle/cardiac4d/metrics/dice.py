# SPDX-License-Identifier: Apache-2.0
"""Dice per structure and frame, where a frame is annotated."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..conventions import NOT_ANNOTATED, STRUCTURES
from ..measure.inputs import Array, as_label_map, measured_frames
from .averages import mean_of_defined
from .cumulative import CaseMetric, label_map_of, require


def dice_per_frame(pred: Array | Tensor, label: Array | Tensor) -> npt.NDArray[np.float64]:
    """Compute the Dice coefficient of every structure in every annotated frame.

    Voxels labelled 255 are left out of both masks, so a frame may be annotated in part.

    Args:
        pred: ``(H, W, D, T)`` label map.
        label: ``(H, W, D, T)`` label map with 255 = not annotated.

    Returns:
        ``(num_structures, T)``, rows LV and LVM, in 0 .. 1. NaN in frames without annotation. **1 where a structure is
        absent from both**: a right answer, and skipping it while a false positive there scores 0 would only ever lower
        a mean. (MONAI's ``DiceMetric`` does so with ``ignore_empty=False``; its default gives NaN in both cases.)

    Raises:
        ValueError: if the shapes differ or a label is unknown.

    Example:
        >>> label = np.full((4, 1, 1, 2), 255)
        >>> label[..., 0] = np.array([1, 1, 2, 0]).reshape(4, 1, 1)
        >>> dice_per_frame(np.ones_like(label), label).round(3)
        array([[0.667,   nan],
               [0.   ,   nan]])
    """
    pred, label = as_label_map(pred, "pred"), as_label_map(label, "label")
    if pred.shape != label.shape:
        raise ValueError(f"`pred` and `label` must have the same shape, got {pred.shape} and {label.shape}")
    scores = np.full((len(STRUCTURES), label.shape[-1]), np.nan)
    for t in np.flatnonzero(measured_frames(label)):
        target = np.ascontiguousarray(label[..., t])
        guess = np.where(target == NOT_ANNOTATED, NOT_ANNOTATED, pred[..., t])
        scores[:, t] = [_dice(guess == value, target == value) for value in STRUCTURES.values()]
    return scores


class SparseDice(CaseMetric):
    """Dice over the annotated frames of each case: columns LV and LVM, the mean of each over its annotated frames.

    A case without an annotated frame is NaN, and left out of the mean over cases.

    Example:
        >>> import torch
        >>> metric = SparseDice()
        >>> label = torch.full((1, 1, 4, 4, 4, 3), 255)
        >>> label[..., 0] = 1
        >>> metric(torch.ones(1, 1, 4, 4, 4, 3), label)  # LV right; no LVM in label and prediction
        tensor([[1., 1.]])
        >>> metric.aggregate().item()
        1.0
    """

    def row(self, pred: Tensor, label: Tensor | None) -> list[float]:
        """See :meth:`CaseMetric.row`."""
        scores = dice_per_frame(label_map_of(pred, "y_pred"), label_map_of(require(label, "SparseDice"), "y"))
        return [mean_of_defined(frames) for frames in scores]


def _dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / total if total else 1.0
