# SPDX-License-Identifier: Apache-2.0
"""Numbers of studies and cases as text: a table to read, to paste into a page, and to compare models by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .summary import Summary
from .text_table import aligned

Show = Callable[[Mapping[str, Any]], str]


def format_table(summaries: Mapping[str, Summary]) -> str:
    """Set models side by side: the numbers of the paper's Table 2 first, then those that tell more.

    Smoothness never stands alone: Dice, the roughness of the volume curve, the share of frames that move as no heart
    does, and the errors of ejection fraction and phases stand with it, because a mask that never moves is perfectly
    smooth.

    Args:
        summaries: of :func:`summarize_cases`, by the name of the model; or read back from a JSON file, where ``None``
            stands for NaN.

    Returns:
        A table in Markdown, aligned for reading as plain text: a row per measure, a column per model; ``-`` where a
        number is not defined. Where a dense truth exists it adds Dice over all frames and a column with the truth's
        own motion, the values to aim at. Where distances leave out frames, a line below says how many.

    Raises:
        ValueError: if there are no summaries.
    """
    if not summaries:
        raise ValueError("`summaries` must hold at least one model")
    dense = any(summary["dice_all_lv_count"] for summary in summaries.values())
    own = next(iter(summaries.values()))
    lines = [["Measure", *summaries, *(["reference labels"] if dense else [])]]
    for name, show in _ROWS.items():
        if name in _DENSE_ROWS and not dense:
            continue
        truth = [_OWN[name](own) if name in _OWN else "-"] if dense else []
        lines.append([name, *(show(summary) for summary in summaries.values()), *truth])
    return "\n".join([aligned(lines), *_left_out(summaries)])


def format_cases(rows: Sequence[Mapping[str, Any]]) -> str:
    """List cases with what was measured in them, for segmentations that have nothing to be compared with.

    Args:
        rows: from :func:`~cardiac4d.metrics.evaluate_case`.

    Returns:
        A table in Markdown like that of :func:`format_table`, a row per case.
    """
    return aligned([list(_CASE_COLUMNS), *([show(row) for show in _CASE_COLUMNS.values()] for row in rows)])


def _left_out(summaries: Mapping[str, Summary]) -> list[str]:
    counts = {model: summary.get("num_unmatched_frames", 0) for model, summary in summaries.items()}
    return [
        f"\nHD95 and ASSD of {model} leave out {count} frame{'' if count == 1 else 's'} in which only one of label and "
        "prediction shows the structure; its surface Dice is 0 there."
        for model, count in counts.items()
        if count
    ]


def _number(value: float | None, digits: int, signed: bool = False) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:{'+' if signed else ''}.{digits}f}"


def _share(found: float, total: float) -> str:
    return f"{100 * found / total:.0f} % ({found}/{total})" if total else "-"


def _bias(summary: Mapping[str, Any]) -> str:
    """Bias, and the limits of agreement where there are enough cases for them."""
    low, high = (_number(summary.get(f"ef_limit_{end}_points"), 1, signed=True) for end in ("low", "high"))
    bias = _number(summary["ef_bias_points"], 1, signed=True)
    return bias if low == "-" else f"{bias} ({low} to {high})"


def _mean(column: str, digits: int) -> Show:
    """Of a column; ``-`` also in a file that was written before the column existed."""
    return lambda summary: _number(summary.get(f"{column}_mean"), digits)


_ROWS: dict[str, Show] = {
    "Dice LVM": _mean("dice_lvm", 3),
    "Dice LV": _mean("dice_lv", 3),
    "Dice LVM, all frames": _mean("dice_all_lvm", 3),
    "Dice LV, all frames": _mean("dice_all_lv", 3),
    "L2 [mL^0.5]": _mean("l2", 2),
    "Surf [mm]": _mean("surf_mm", 2),
    "Roughness [% of EDV]": _mean("roughness_percent", 2),
    "Inconsistent frames [%]": _mean("inconsistent_frames_percent", 0),
    "EF MAE [points]": lambda s: _number(s["ef_mae_points"], 1),
    "EF bias (95 % limits) [points]": _bias,
    "ED, ES error [frames]": lambda s: f"{_mean('ed_error_frames', 1)(s)}, {_mean('es_error_frames', 1)(s)}",
    "Sensitivity, EF < 55 %": lambda s: _share(s["num_reduced_found"], s["num_reduced"]),
    "Specificity": lambda s: _share(s["num_normal_found"], s["num_normal"]),
    "HD95 LVM [mm]": _mean("hd95_lvm_mm", 2),
    "HD95 LV [mm]": _mean("hd95_lv_mm", 2),
    "ASSD LVM [mm]": _mean("assd_lvm_mm", 2),
    "ASSD LV [mm]": _mean("assd_lv_mm", 2),
    "Surface Dice LVM, 2 mm": _mean("nsd_lvm", 3),
    "Surface Dice LV, 2 mm": _mean("nsd_lv", 3),
    "Cases": lambda s: str(s["num_cases"]),
}
_DENSE_ROWS = ("Dice LVM, all frames", "Dice LV, all frames")
_OWN: dict[str, Show] = {
    "L2 [mL^0.5]": _mean("l2_reference", 2),
    "Surf [mm]": _mean("surf_reference_mm", 2),
    "Roughness [% of EDV]": _mean("roughness_reference_percent", 2),
    "Inconsistent frames [%]": _mean("inconsistent_frames_reference_percent", 0),
}
"""What the dense truth itself shows."""

_CASE_COLUMNS: dict[str, Show] = {
    "Case": lambda row: str(row["case_id"]),
    "Frames": lambda row: str(row["num_frames"]),
    "EDV [mL]": lambda row: _number(row["edv_ml"], 1),
    "ESV [mL]": lambda row: _number(row["esv_ml"], 1),
    "EF [%]": lambda row: _number(row["ef_percent"], 1),
    "ED mass [g]": lambda row: _number(row["ed_mass_g"], 1),
    "ED frame": lambda row: str(row["ed_frame"]),
    "ES frame": lambda row: str(row["es_frame"]),
}
