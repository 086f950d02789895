# SPDX-License-Identifier: Apache-2.0
"""The volume curve as a curve: how rough it is, and how far its end-diastole and end-systole lie from the true ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..measure import measure_left_ventricle
from ..measure.inputs import LabelMap, measured_frames
from .consistency import second_difference
from .cumulative import CaseMetric, Reduction, covers_cycle, label_map_of, require


def roughness_percent(volumes_ml: npt.NDArray[np.float64], *, cyclic: bool = False) -> float:
    """Root mean square of the curve's second difference, in percent of its largest value.

    A heart has some, most of it where it turns at end-systole; frames segmented each on its own add to it. **A mask
    that never moves has none**: read it beside the roughness of the reference.

    Args:
        volumes_ml: ``(T,)`` cavity volumes, NaN where not measured.
        cyclic: the first frame follows the last.

    Returns:
        Percent of the largest volume; NaN for fewer than three consecutive frames and for an empty cavity.

    Example:
        >>> round(roughness_percent(np.array([100.0, 60.0, 80.0, 100.0])), 1)  # second differences -30 and 0
        21.2
    """
    differences = second_difference(volumes_ml, cyclic)
    differences = differences[np.isfinite(differences)]
    largest = np.nanmax(volumes_ml) if np.isfinite(volumes_ml).any() else 0.0
    return float(100 * np.sqrt((differences**2).mean()) / largest) if len(differences) and largest else float("nan")


def phase_error_frames(frame: int, reference: int, num_frames: int, *, cyclic: bool = False) -> int:
    """Distance of two frames: the shorter way round for a whole cycle, else the only way there is.

    Example:
        >>> phase_error_frames(19, 1, 20), phase_error_frames(19, 1, 20, cyclic=True)
        (18, 2)
    """
    distance = abs(frame - reference)
    return min(distance, num_frames - distance) if cyclic else distance


class CurveRoughness(CaseMetric):
    """Roughness of the predicted cavity's volume curve, see :func:`roughness_percent`; the label is not used.

    A ratio of volumes needs no voxel size.

    Args:
        cyclic: ``None`` asks each case's ``full_cycle`` metadata.
        reduction: see :class:`CaseMetric`.
    """

    def __init__(self, cyclic: bool | None = None, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.cyclic = cyclic

    def row(self, pred: Tensor, label: Tensor | None) -> list[float]:
        """See :meth:`CaseMetric.row`."""
        volumes = measure_left_ventricle(label_map_of(pred, "y_pred"), np.eye(4)).lv_volumes_ml
        return [roughness_percent(volumes, cyclic=covers_cycle(pred, self.cyclic))]


class PhaseError(CaseMetric):
    """Distance in frames of the predicted end-diastole and end-systole from those of the label: columns ED and ES.

    The label's are those of its annotated frames, right if the true ones are among them; NaN with fewer than two.

    Args:
        cyclic: ``None`` asks each case's ``full_cycle`` metadata.
        reduction: see :class:`CaseMetric`.
    """

    def __init__(self, cyclic: bool | None = None, reduction: Reduction = "mean_batch") -> None:
        super().__init__(reduction)
        self.cyclic = cyclic

    def row(self, pred: Tensor, label: Tensor | None) -> list[float]:
        """See :meth:`CaseMetric.row`."""
        reference = label_map_of(require(label, "PhaseError"), "y")
        if measured_frames(reference).sum() < 2:
            return [float("nan")] * 2
        found, wanted = (_phases(labels) for labels in (label_map_of(pred, "y_pred"), reference))
        cyclic, num_frames = covers_cycle(pred, self.cyclic), reference.shape[-1]
        pairs = zip(found, wanted, strict=True)
        return [float(phase_error_frames(a, b, num_frames, cyclic=cyclic)) for a, b in pairs]


def _phases(labels: LabelMap) -> tuple[int, int]:
    function = measure_left_ventricle(labels, np.eye(4))
    return function.ed_frame, function.es_frame
