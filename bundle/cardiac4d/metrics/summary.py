# SPDX-License-Identifier: Apache-2.0
"""From rows of cases to the numbers of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..conventions import REDUCED_EF_PERCENT
from .averages import mean_of_defined

Summary: TypeAlias = "dict[str, int | float]"

AVERAGED = (
    *("dice_lv", "dice_lvm", "dice_all_lv", "dice_all_lvm"),
    *("hd95_lv_mm", "hd95_lvm_mm", "assd_lv_mm", "assd_lvm_mm", "nsd_lv", "nsd_lvm"),
    *("l2", "l2_lv", "l2_lvm", "surf_mm", "surf_lv_mm", "surf_lvm_mm", "l2_reference", "surf_reference_mm"),
    *("roughness_percent", "roughness_reference_percent"),
    *("inconsistent_frames_percent", "inconsistent_frames_reference_percent"),
    *("consistency_ratio", "consistency_ratio_reference"),
    *("edv_ml", "esv_ml", "sv_ml", "ef_percent", "ed_mass_g", "lvm_variation_percent"),
    *("edv_reference_ml", "esv_reference_ml", "ef_reference_percent", "ed_error_frames", "es_error_frames"),
)
"""Columns of :func:`~cardiac4d.metrics.evaluate_case` of which a mean over cases means something."""

UNMATCHED = ("num_unmatched_frames_lv", "num_unmatched_frames_lvm")


def summarize_cases(rows: Sequence[Mapping[str, Any]], *, reduced_below_percent: float = REDUCED_EF_PERCENT) -> Summary:
    """Summarise a study.

    Every case weighs the same, whatever its number of annotated frames.

    Args:
        rows: from :func:`~cardiac4d.metrics.evaluate_case`, or read back from a CSV or JSON file, where an empty cell
            or ``None`` stands for NaN.
        reduced_below_percent: an ejection fraction below this is reduced.

    Returns:
        ``num_cases``; for each column of ``AVERAGED`` its ``*_mean``, ``*_sd`` (``n - 1`` in the denominator) and
        ``*_count`` over the cases that define it; ``ef_mae_points``, ``ef_bias_points`` (predicted minus reference),
        ``ef_error_sd_points``, ``ef_error_count``, ``ef_limit_low_points``, ``ef_limit_high_points`` (95 % limits of
        agreement, bias -+ 1.96 standard deviations, from three cases on; Bland and Altman 1986);
        ``num_unmatched_frames`` over cases and structures; and for the finding "reduced ejection fraction"
        ``sensitivity``, ``specificity`` (0 .. 1), ``num_reduced``, ``num_reduced_found``, ``num_normal``,
        ``num_normal_found``, ``num_ef_undefined``.

        NaN where nothing defines a number: a sensitivity without reduced cases, a standard deviation of one case. A
        case whose reference is known but whose prediction defines no ejection fraction counts as found in neither
        group: a failed measurement must not flatter a model.

    Raises:
        ValueError: if there are no rows.
    """
    if not rows:
        raise ValueError("`rows` must hold at least one case")
    summary: Summary = {"num_cases": len(rows)}
    for name in AVERAGED:
        summary |= _moments(name, _column(rows, name))
    errors = _column(rows, "ef_error_points")
    moments = _moments("ef_error", errors)
    summary |= {
        "ef_mae_points": mean_of_defined(np.abs(errors)),
        "ef_bias_points": moments["ef_error_mean"],
        "ef_error_sd_points": moments["ef_error_sd"],
        "ef_error_count": moments["ef_error_count"],
        **_limits_of_agreement(moments),
        "num_unmatched_frames": int(sum(np.nansum(_column(rows, name)) for name in UNMATCHED)),
    }
    predicted, reference = _column(rows, "ef_percent"), _column(rows, "ef_reference_percent")
    return summary | _screening(predicted, reference, reduced_below_percent)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> npt.NDArray[np.float64]:
    return np.array([np.nan if row[name] in (None, "") else float(row[name]) for row in rows])


def _moments(name: str, values: npt.NDArray[np.float64]) -> Summary:
    defined = values[np.isfinite(values)]
    sd = float(defined.std(ddof=1)) if len(defined) > 1 else float("nan")
    return {f"{name}_mean": mean_of_defined(values), f"{name}_sd": sd, f"{name}_count": len(defined)}


def _limits_of_agreement(moments: Summary) -> Summary:
    """Bias -+ 1.96 SD; two cases give no limits worth the name."""
    half = 1.96 * moments["ef_error_sd"] if moments["ef_error_count"] > 2 else float("nan")
    bias = moments["ef_error_mean"]
    return {"ef_limit_low_points": bias - half, "ef_limit_high_points": bias + half}


def _screening(
    predicted: npt.NDArray[np.float64], reference: npt.NDArray[np.float64], threshold_percent: float
) -> Summary:
    # NaN compares false: a case without reference is in neither group, one without prediction is found in none.
    reduced, normal = reference < threshold_percent, reference >= threshold_percent
    found_reduced = int((reduced & (predicted < threshold_percent)).sum())
    found_normal = int((normal & (predicted >= threshold_percent)).sum())
    return {
        "sensitivity": found_reduced / int(reduced.sum()) if reduced.any() else float("nan"),
        "specificity": found_normal / int(normal.sum()) if normal.any() else float("nan"),
        "num_reduced": int(reduced.sum()),
        "num_reduced_found": found_reduced,
        "num_normal": int(normal.sum()),
        "num_normal_found": found_normal,
        "num_ef_undefined": int((np.isfinite(reference) & np.isnan(predicted)).sum()),
    }
