# SPDX-License-Identifier: Apache-2.0
"""Losses for sequences that are annotated in a few frames only: sparse Dice, temporal smoothness, their sum."""

from __future__ import annotations

from ..ops.head_input import HeadInput
from .smoothness import TemporalSmoothnessLoss, temporal_smoothness_loss
from .sparse_dice import SparseDiceLoss, sparse_dice_loss
from .sparse_sequence import SparseSequenceLoss

__all__ = [
    "HeadInput",
    "SparseDiceLoss",
    "SparseSequenceLoss",
    "TemporalSmoothnessLoss",
    "sparse_dice_loss",
    "temporal_smoothness_loss",
]
