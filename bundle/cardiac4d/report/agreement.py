# SPDX-License-Identifier: Apache-2.0
"""Ejection fractions of a cohort against their reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..conventions import REDUCED_EF_PERCENT
from .style import GUIDE_COLOUR, STRUCTURE_COLOURS, new_figure, quiet_axes

Values = npt.NDArray[np.float64]

LEAST_HALF_HEIGHT_POINTS = 1.0
"""Of the plot of differences: smaller ones mean nothing and must not fill it."""


def ef_agreement(predicted_percent: Sequence[float], reference_percent: Sequence[float], *, title: str = "") -> Figure:
    """Plot predicted against reference ejection fraction, and their differences (Bland and Altman 1986).

    The dotted lines of the first plot mark 55 %, below which an ejection fraction is called reduced: a point in the
    upper left or lower right field changes its class. The limits of agreement are bias +- 1.96 standard deviations
    (with n - 1), and are left out with fewer than three cases.

    Args:
        predicted_percent: one value per case; cases with NaN in either list are left out.
        reference_percent: in the same order.
        title: stands above.

    Returns:
        The figure, 9 x 4.5 inches; see :func:`cardiac4d.report.save_png`.

    Raises:
        ValueError: if the lists differ in length or no case has both values.
    """
    predicted, reference = np.asarray(predicted_percent, float), np.asarray(reference_percent, float)
    if predicted.shape != reference.shape or predicted.ndim != 1:
        raise ValueError(f"`reference_percent` must have one value per case {predicted.shape}, got {reference.shape}")
    known = np.isfinite(predicted) & np.isfinite(reference)
    if not known.any():
        raise ValueError("`predicted_percent` and `reference_percent` must share at least one case with both values")
    figure = new_figure(9.0, 4.5)
    scatter, differences = figure.subplots(1, 2)
    _scatter(scatter, predicted[known], reference[known])
    _differences(differences, predicted[known], reference[known])
    figure.suptitle(f"{title} (n = {known.sum()})".strip(), fontsize=11, fontweight="bold")
    return figure


def _scatter(axes: Axes, predicted: Values, reference: Values) -> None:
    quiet_axes(axes)
    low, high = min(predicted.min(), reference.min()) - 5, max(predicted.max(), reference.max()) + 5
    axes.plot([low, high], [low, high], color=GUIDE_COLOUR, linewidth=1, label="identity")
    axes.axvline(REDUCED_EF_PERCENT, color=GUIDE_COLOUR, linestyle=":")
    axes.axhline(REDUCED_EF_PERCENT, color=GUIDE_COLOUR, linestyle=":", label=f"{REDUCED_EF_PERCENT:.0f} %")
    axes.plot(reference, predicted, "o", color=STRUCTURE_COLOURS["LV"], label="case")
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", xlabel="Reference EF (%)", ylabel="Predicted EF (%)")
    axes.legend(loc="upper left", frameon=False, fontsize=9)


def _differences(axes: Axes, predicted: Values, reference: Values) -> None:
    quiet_axes(axes)
    difference = predicted - reference
    axes.plot((predicted + reference) / 2, difference, "o", color=STRUCTURE_COLOURS["LV"])
    bias = float(difference.mean())
    axes.axhline(bias, color=STRUCTURE_COLOURS["LVM"], label=f"bias {bias:+.1f}")
    if difference.size > 2:
        half = 1.96 * float(difference.std(ddof=1))
        label = f"limits {bias - half:+.1f} to {bias + half:+.1f}"
        axes.axhline(bias - half, color=STRUCTURE_COLOURS["LVM"], linestyle="--", label=label)
        axes.axhline(bias + half, color=STRUCTURE_COLOURS["LVM"], linestyle="--")
    axes.margins(y=0.3)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, bias - LEAST_HALF_HEIGHT_POINTS), max(high, bias + LEAST_HALF_HEIGHT_POINTS))
    axes.set(xlabel="Mean of both EF (%)", ylabel="Predicted - reference EF (percentage points)")
    axes.legend(loc="upper left", frameon=False, fontsize=9)
