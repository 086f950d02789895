# SPDX-License-Identifier: Apache-2.0
"""What an evaluated study is compared with, as its report shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from torch import Tensor

from ..conventions import LABEL_KEY, TRUTH_KEY
from ..measure.inputs import LabelMap, as_label_map, measured_frames

_PAIRS: Final = {
    "dice": "dice_{}",
    "dice_all": "dice_all_{}",
    "hd95_mm": "hd95_{}_mm",
    "assd_mm": "assd_{}_mm",
}
_NUMBERS: Final = {
    "edv_ml": "edv_reference_ml",
    "esv_ml": "esv_reference_ml",
    "ef_percent": "ef_reference_percent",
    "ed_mass_g": "ed_mass_reference_g",
    "ed_thickness_mm": "ed_thickness_reference_mm",
    **{name: name for name in ("ef_error_points", "ed_error_frames", "es_error_frames")},
}
"""Names in the document, and columns of :func:`cardiac4d.metrics.evaluate_case`."""


def reference_map(case: Mapping[str, Any]) -> LabelMap | None:
    """The label map ``(H, W, D, T)`` whose contours are shown: the dense truth, else the annotated frames."""
    for key in (TRUTH_KEY, LABEL_KEY):
        if isinstance(case.get(key), Tensor):
            return as_label_map(case[key][0], key)
    return None


def reference_document(row: Mapping[str, Any], labels: LabelMap | None) -> dict[str, Any] | None:
    """The part ``reference`` of a document of measures.

    Args:
        row: of :func:`cardiac4d.metrics.evaluate_case`.
        labels: of :func:`reference_map`.

    Returns:
        ``None`` where there is nothing to compare with.
    """
    source = row["ef_reference_source"]
    if labels is None and source == "none":
        return None
    frames = [] if labels is None else np.flatnonzero(measured_frames(labels)).tolist()
    pairs = {
        name: {each: _known(row[column.format(each)]) for each in ("lv", "lvm")} for name, column in _PAIRS.items()
    }
    numbers = {name: _known(row[column]) for name, column in _NUMBERS.items()}
    return {"source": source, "frames": frames, **pairs, **numbers}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
