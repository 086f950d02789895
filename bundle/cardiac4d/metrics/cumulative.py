# SPDX-License-Identifier: Apache-2.0
"""What the MONAI metrics of the package share: a row of numbers per case, gathered over ranks, averaged without NaN."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, get_args

import torch
from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from ..conventions import META_FULL_CYCLE
from ..measure.inputs import Array, LabelMap, as_label_map

Reduction = Literal["mean", "mean_batch", "none"]


class CaseMetric(CumulativeIterationMetric):
    """Base of a metric that turns each predicted sequence into one row of numbers.

    A drop-in for MONAI's ``IgniteMetricHandler``; rows of all ranks are gathered before they are averaged, and every
    rank must see at least one case.

    Args:
        reduction: ``mean``, over cases and then columns, a scalar; ``mean_batch``, over cases, one value per column;
            ``none``, the rows ``(num_cases, num_columns)``. NaN means "not defined for this case" and is left out; a
            mean over nothing is NaN, never 0.

    Raises:
        ValueError: if ``reduction`` is not one of the names above.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        if reduction not in get_args(Reduction):
            raise ValueError(f"`reduction` must be one of {get_args(Reduction)}, got {reduction!r}")
        self.reduction = reduction

    @abstractmethod
    def row(self, pred: Tensor, label: Tensor | None) -> list[float]:
        """Measure one case.

        Args:
            pred: ``(C, H, W, D, T)``, see :func:`label_map_of`.
            label: ``(1, H, W, D, T)`` with 255 = not annotated, or ``None``.

        Returns:
            The numbers of this case, NaN where not defined.
        """
        raise NotImplementedError

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        labels = [None] * len(y_pred) if y is None else list(y)
        if len(labels) != len(y_pred):
            raise ValueError(
                f"`y_pred` and `y` must hold the same number of cases, got {len(y_pred)} and {len(labels)}"
            )
        rows = [self.row(pred, label) for pred, label in zip(y_pred, labels, strict=True)]
        return torch.tensor(rows, dtype=torch.float32, device=y_pred.device)

    def aggregate(self, reduction: Reduction | None = None) -> Tensor:
        """Average what was accumulated.

        Args:
            reduction: overrides the one given to the constructor.

        Returns:
            See the constructor.

        Raises:
            ValueError: if no case was seen.
        """
        rows = self.get_buffer()
        if not isinstance(rows, Tensor):
            raise ValueError(f"{type(self).__name__} has seen no case; call it before `aggregate`")
        reduction = reduction or self.reduction
        if reduction == "none":
            return rows
        columns = rows.nanmean(dim=0)
        return columns if reduction == "mean_batch" else columns.nanmean()


def label_map_of(sequence: Tensor, name: str) -> LabelMap:
    """Return the label map of a channel-first sequence.

    Args:
        sequence: ``(1, H, W, D, T)`` label map, or ``(C, H, W, D, T)`` logits, probabilities or one-hot, of which the
            largest channel is taken.
        name: what to call it in an error.

    Returns:
        ``(H, W, D, T)`` uint8.

    Raises:
        ValueError: if the rank is not 5 or a label is unknown.
    """
    if sequence.ndim != 5:
        raise ValueError(f"`{name}` must be (C, H, W, D, T) per case, got shape {tuple(sequence.shape)}")
    return as_label_map(sequence[0] if len(sequence) == 1 else sequence.argmax(dim=0), name)


def require(label: Tensor | None, metric: str) -> Tensor:
    """Return the label a metric cannot do without.

    Raises:
        ValueError: if there is none.
    """
    if label is None:
        raise ValueError(f"{metric} needs the label `y` beside `y_pred`")
    return label


def affine_of(pred: Tensor, given: Array | Tensor | None, metric: str) -> Array | Tensor:
    """Return the affine of a case: the one given, else that of the ``MetaTensor``.

    Raises:
        ValueError: if there is neither.
    """
    affine = given if given is not None else getattr(pred, "affine", None)
    if affine is None:
        raise ValueError(f"{metric} needs a MetaTensor with an affine, or its own argument `affine`")
    return affine


def covers_cycle(pred: Tensor, given: bool | None) -> bool:
    """Whether the frames of a case are one whole R-R cycle: as given, else by its ``full_cycle`` metadata."""
    return bool(getattr(pred, "meta", {}).get(META_FULL_CYCLE, False)) if given is None else given
