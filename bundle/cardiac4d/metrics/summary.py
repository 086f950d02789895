# SPDX-License-Identifier: Apache-2.0
"""From rows of cases to the numbers of a study, and to the paper's Table 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..conventions import REDUCED_EF_PERCENT
from .averages import mean_of_defined
from .tables import aligned

Summary: TypeAlias = "dict[str, int | float]"

AVERAGED = (
    *("dice_lv", "dice_lvm", "dice_all_lv", "dice_all_lvm"),
    *("l2", "l2_lv", "l2_lvm", "surf_mm", "surf_lv_mm", "surf_lvm_mm", "l2_reference", "surf_reference_mm"),
    *("edv_ml", "esv_ml", "sv_ml", "ef_percent", "ed_mass_g", "lvm_variation_percent"),
    *("edv_reference_ml", "esv_reference_ml", "ef_reference_percent"),
)
"""Columns of :func:`~cardiac4d.metrics.evaluate_case` of which a mean over cases means something."""


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
        ``ef_error_sd_points``, ``ef_error_count``; and for the finding "reduced ejection fraction" ``sensitivity``,
        ``specificity`` (0 .. 1), ``num_reduced``, ``num_reduced_found``, ``num_normal``, ``num_normal_found``,
        ``num_ef_undefined``.

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
    }
    predicted, reference = _column(rows, "ef_percent"), _column(rows, "ef_reference_percent")
    return summary | _screening(predicted, reference, reduced_below_percent)


def format_table(summaries: Mapping[str, Summary]) -> str:
    """Set models side by side in the columns of the paper's Table 2, with the error of the ejection fraction.

    Args:
        summaries: of :func:`summarize_cases`, by the name of the model; or read back from a JSON file, where ``None``
            stands for NaN.

    Returns:
        A table in Markdown, aligned for reading as plain text; ``-`` where a number is not defined. Where a dense truth
        exists it adds Dice over all frames and a row with the truth's own smoothness, the value to aim at: a mask that
        never moves scores 0.

    Raises:
        ValueError: if there are no summaries.
    """
    if not summaries:
        raise ValueError("`summaries` must hold at least one model")
    dense = any(summary["dice_all_lv_count"] for summary in summaries.values())
    columns = _COLUMNS | _DENSE_COLUMNS | _EF_COLUMNS if dense else _COLUMNS | _EF_COLUMNS
    lines = [["Model", *columns]]
    lines += [[model, *(show(summary) for show in columns.values())] for model, summary in summaries.items()]
    if dense:
        first = next(iter(summaries.values()))
        own = {
            "L2 [mL^0.5]": _number(first["l2_reference_mean"], 2),
            "Surf [mm]": _number(first["surf_reference_mm_mean"], 2),
        }
        lines.append(["reference labels", *(own.get(column, "-") for column in columns)])
    return aligned(lines)


def format_cases(rows: Sequence[Mapping[str, Any]]) -> str:
    """List cases with what was measured in them, for segmentations that have nothing to be compared with.

    Args:
        rows: from :func:`~cardiac4d.metrics.evaluate_case`.

    Returns:
        A table in Markdown like that of :func:`format_table`.
    """
    cells = [list(_CASE_COLUMNS), *([show(row) for show in _CASE_COLUMNS.values()] for row in rows)]
    return aligned(cells)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> npt.NDArray[np.float64]:
    return np.array([np.nan if row[name] in (None, "") else float(row[name]) for row in rows])


def _moments(name: str, values: npt.NDArray[np.float64]) -> Summary:
    defined = values[np.isfinite(values)]
    sd = float(defined.std(ddof=1)) if len(defined) > 1 else float("nan")
    return {f"{name}_mean": mean_of_defined(values), f"{name}_sd": sd, f"{name}_count": len(defined)}


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


def _number(value: float | None, digits: int, signed: bool = False) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:{'+' if signed else ''}.{digits}f}"


def _share(found: float, total: float) -> str:
    return f"{100 * found / total:.0f} % ({found}/{total})" if total else "-"


_COLUMNS = {
    "Dice LVM": lambda s: _number(s["dice_lvm_mean"], 3),
    "Dice LV": lambda s: _number(s["dice_lv_mean"], 3),
    "L2 [mL^0.5]": lambda s: _number(s["l2_mean"], 2),
    "Surf [mm]": lambda s: _number(s["surf_mm_mean"], 2),
}
_DENSE_COLUMNS = {
    "Dice LVM all": lambda s: _number(s["dice_all_lvm_mean"], 3),
    "Dice LV all": lambda s: _number(s["dice_all_lv_mean"], 3),
}
_EF_COLUMNS = {
    "EF MAE [points]": lambda s: _number(s["ef_mae_points"], 1),
    "EF bias [points]": lambda s: _number(s["ef_bias_points"], 1, signed=True),
    "Sensitivity": lambda s: _share(s["num_reduced_found"], s["num_reduced"]),
    "Specificity": lambda s: _share(s["num_normal_found"], s["num_normal"]),
    "Cases": lambda s: str(s["num_cases"]),
}

_CASE_COLUMNS = {
    "Case": lambda row: str(row["case_id"]),
    "Frames": lambda row: str(row["num_frames"]),
    "EDV [mL]": lambda row: _number(row["edv_ml"], 1),
    "ESV [mL]": lambda row: _number(row["esv_ml"], 1),
    "EF [%]": lambda row: _number(row["ef_percent"], 1),
    "ED mass [g]": lambda row: _number(row["ed_mass_g"], 1),
    "ED frame": lambda row: str(row["ed_frame"]),
    "ES frame": lambda row: str(row["es_frame"]),
}
