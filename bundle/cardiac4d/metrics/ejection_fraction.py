# SPDX-License-Identifier: Apache-2.0
"""Error of the ejection fraction, as a MONAI metric."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..measure import measure_left_ventricle
from ..measure.inputs import LabelMap, measured_frames
from .cumulative import CaseMetric, label_map_of, require


class EjectionFractionError(CaseMetric):
    """Predicted minus reference ejection fraction in percentage points, over the cases that define both.

    The predicted one comes from all frames, the reference from those that are annotated (see
    :func:`~cardiac4d.measure.measure_left_ventricle`), which is right if end-diastole and end-systole are among them. A
    ratio of volumes needs no voxel size. A case that leaves either undefined is NaN: fewer than two annotated frames,
    or no cavity in any of them.

    Args:
        absolute: buffer absolute errors, so that the aggregate is the mean absolute error; otherwise signed ones, and
            it is the bias.
    """

    def __init__(self, absolute: bool = True) -> None:
        super().__init__()
        self.absolute = absolute

    def row(self, pred: Tensor, label: Tensor | None) -> list[float]:
        """See :meth:`CaseMetric.row`."""
        reference = label_map_of(require(label, "EjectionFractionError"), "y")
        error = _ef_percent(label_map_of(pred, "y_pred")) - _ef_percent(reference)
        return [abs(error) if self.absolute else error]


def _ef_percent(labels: LabelMap) -> float:
    if not measured_frames(labels).any():
        return float("nan")
    return measure_left_ventricle(labels, np.eye(4)).ef_percent
