# SPDX-License-Identifier: Apache-2.0
"""Whether a segmented sequence moves as a heart does (Painchaud et al. 2022, IEEE TMI 41:2867), in 3D + time.

An attribute ``a`` of the ventricle, scaled by its range over a population, is compared with the mean of its neighbours,
``m(t) = a(t) - (a(t - 1) + a(t + 1)) / 2``. Steady motion has ``m = 0``; a frame in which ``|m|`` exceeds a threshold
is inconsistent. The paper's attributes are those of 2D echo; ours are in :mod:`cardiac4d.metrics.attributes`. Ranges
and thresholds stand in ``consistency.json``, with how they were estimated.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..measure.inputs import Array
from .attributes import ATTRIBUTES, Curve, sequence_attributes
from .cumulative import CaseMetric, Reduction, affine_of, covers_cycle, label_map_of

STILL_PERCENT = 5.0
"""A cavity whose volume changes by less than this share of its largest over the sequence stands still. No living heart
does; a mask that never moves has no second difference, so the thresholds alone would call it perfect."""


@dataclass(frozen=True, eq=False)
class TemporalConsistency:
    """How a sequence keeps to the thresholds.

    Attributes:
        ratios: ``|m| / threshold`` by attribute, ``(T,)`` each; NaN where a frame or one of its neighbours does not
            define the attribute, and in the first and last frame of a sequence that is no whole cycle.
        is_still: the cavity changes by less than 5 % of its largest volume, over at least three frames.
    """

    ratios: dict[str, Curve]
    is_still: bool

    @property
    def inconsistent_percent(self) -> float:
        """Share of the judged frames that break a threshold; 100 if the sequence stands still, NaN without frames."""
        table = np.stack(list(self.ratios.values()))
        judged = np.asarray(np.isfinite(table).any(axis=0))
        if not judged.any():
            return float("nan")
        broken = np.asarray((table > 1).any(axis=0))  # NaN compares false
        return 100.0 if self.is_still else float(100 * broken[judged].mean())

    @property
    def mean_ratio(self) -> float:
        """Mean of ``ratios`` over attributes and frames; NaN if none is defined."""
        table = np.array(list(self.ratios.values()))
        return float(np.nanmean(table)) if np.isfinite(table).any() else float("nan")


def temporal_consistency(
    labels: Array | Tensor, affine: Array | Tensor, *, cyclic: bool = False
) -> TemporalConsistency:
    """Judge the motion of a sequence, frame by frame.

    The thresholds are those of the largest number of frames per cycle in the table that does not exceed ``T``, fewer
    than 10 frames those of 10: a threshold is never stricter than what the phantom's truth shows.

    Args:
        labels: ``(H, W, D, T)`` label map.
        affine: ``(4, 4)``, voxel to RAS millimetres.
        cyclic: the first frame follows the last; for a sequence that covers one whole R-R cycle.

    Returns:
        See :class:`TemporalConsistency`. With fewer than three frames nothing is judged.

    Raises:
        ValueError: if label map or affine are not as above.

    Example:
        >>> labels = np.zeros((30, 30, 30, 12), np.uint8)
        >>> labels[5:25, 5:25, 5:25] = 1
        >>> labels[..., 6] = 0  # the cavity is lost in one frame
        >>> lost = temporal_consistency(labels, np.diag([2.0, 2.0, 2.0, 1.0]))
        >>> (lost.ratios["lv_volume_ml"] > 1).nonzero()[0].tolist(), round(lost.inconsistent_percent)
        ([5, 6, 7], 30)
    """
    attributes = sequence_attributes(labels, affine)
    table = consistency_table()
    thresholds = _thresholds(table, len(attributes["lv_volume_ml"]))
    ratios = {}
    for name in ATTRIBUTES:
        low, high = table["ranges"][name]
        ratios[name] = np.abs(second_difference(attributes[name], cyclic)) / (high - low) / thresholds[name]
    return TemporalConsistency(ratios, _is_still(attributes["lv_volume_ml"]))


def second_difference(values: Curve, cyclic: bool = False) -> Curve:
    """Difference of each value to the mean of its neighbours.

    Args:
        values: ``(T,)``; NaN is not defined.
        cyclic: the first follows the last.

    Returns:
        ``(T,)``; NaN at both ends unless cyclic, beside NaN, and everywhere for fewer than three values.

    Example:
        >>> second_difference(np.array([0.0, 1.0, 4.0, 9.0]))
        array([nan, -1., -1., nan])
    """
    if len(values) < 3:
        return np.full(len(values), np.nan)
    result = values - (np.roll(values, 1) + np.roll(values, -1)) / 2
    if not cyclic:
        result[[0, -1]] = np.nan
    return result


@cache
def consistency_table() -> dict[str, Any]:
    """The table of ranges and thresholds, with its provenance."""
    return json.loads(files(__package__).joinpath("consistency.json").read_text(encoding="utf-8"))


class ConsistencyMetric(CaseMetric):
    """Share of inconsistent frames and mean ratio to the thresholds: columns percent and ratio.

    The label is not used. See :func:`temporal_consistency`.

    Args:
        cyclic: ``None`` asks each case's ``full_cycle`` metadata.
        affine: ``(4, 4)``, for predictions that are plain tensors.
        reduction: see :class:`CaseMetric`; a mean over both columns means nothing, so the default keeps them apart.

    Raises:
        ValueError: if a case has no affine.
    """

    def __init__(
        self,
        cyclic: bool | None = None,
        affine: Array | Tensor | None = None,
        reduction: Reduction = "mean_batch",
    ) -> None:
        super().__init__(reduction)
        self.cyclic, self.affine = cyclic, affine

    def row(self, pred: Tensor, label: Tensor | None) -> list[float]:
        """See :meth:`CaseMetric.row`."""
        affine = affine_of(pred, self.affine, "ConsistencyMetric")
        found = temporal_consistency(label_map_of(pred, "y_pred"), affine, cyclic=covers_cycle(pred, self.cyclic))
        return [found.inconsistent_percent, found.mean_ratio]


def _thresholds(table: dict[str, Any], num_frames: int) -> dict[str, float]:
    by_frames = {int(frames): values for frames, values in table["thresholds"].items()}
    return by_frames[max((frames for frames in by_frames if frames <= num_frames), default=min(by_frames))]


def _is_still(lv_volumes_ml: npt.NDArray[np.float64]) -> bool:
    measured = lv_volumes_ml[np.isfinite(lv_volumes_ml)]
    return len(measured) >= 3 and bool(np.ptp(measured) <= STILL_PERCENT / 100 * measured.max())
