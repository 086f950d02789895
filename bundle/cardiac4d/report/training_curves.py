# SPDX-License-Identifier: Apache-2.0
"""How a training went, epoch by epoch: loss terms, validation Dice, error of the ejection fraction, learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import GUIDE_COLOUR, STRUCTURE_COLOURS, new_figure, quiet_axes

History: TypeAlias = "Sequence[Mapping[str, float]]"
"""A mapping per epoch with the key ``epoch``; keys that it lacks were not measured then."""

_MIXED = "#009E73"
_LOG_FROM = 30
"""Largest over smallest value from which losses are drawn by their logarithm: else the smallest lies on the axis."""

_LOSSES = {
    "train_loss": ("loss", GUIDE_COLOUR, "-"),
    "train_dice_loss": ("Dice term", STRUCTURE_COLOURS["LV"], "-"),
    "train_smoothness_loss": ("smoothness term", STRUCTURE_COLOURS["LVM"], "--"),
}
_DICE = {
    "val_dice_lv": ("LV", STRUCTURE_COLOURS["LV"], "-"),
    "val_dice_lvm": ("LVM", STRUCTURE_COLOURS["LVM"], "--"),
    "val_mean_dice": ("mean", GUIDE_COLOUR, ":"),
}
_EF = {
    "val_ef_mae_points": ("mean absolute error", STRUCTURE_COLOURS["LV"], "-"),
    "val_ef_bias_points": ("bias", STRUCTURE_COLOURS["LVM"], "--"),
}
_RATE = {"learning_rate": ("learning rate", _MIXED, "-")}


def training_curves(history: History, *, title: str = "") -> Figure:
    """Plot a training in four fields; what was never measured leaves its field with a note.

    Args:
        history: see :data:`History`, ascending.
        title: stands above.

    Returns:
        The figure, 10 x 6.5 inches.

    Raises:
        ValueError: if there is no epoch.
    """
    figure = new_figure(10.0, 6.5)
    draw_curves(figure.subplots(2, 2).ravel().tolist(), history)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure


def draw_curves(fields: Sequence[Axes], history: History) -> None:
    """Draw the four fields of :func:`training_curves` into given axes.

    Raises:
        ValueError: if there is no epoch.
    """
    if not history:
        raise ValueError("`history` must hold at least one epoch")
    losses, dice, ef, rate = fields
    _draw(losses, history, _LOSSES, "Training loss, mean per epoch")
    _draw(dice, history, _DICE, "Validation Dice, annotated frames")
    _draw(ef, history, _EF, "Validation EF, predicted - reference (points)")
    _draw(rate, history, _RATE, "Learning rate")
    _logarithmic_if_needed(losses)
    if dice.lines:
        dice.set_ylim(0, 1)
    if ef.lines:
        ef.axhline(0, color=GUIDE_COLOUR, linewidth=0.8)


def _logarithmic_if_needed(axes: Axes) -> None:
    values = np.array([value for line in axes.lines for value in np.asarray(line.get_ydata()).tolist()])
    if len(values) and values.min() > 0 and values.max() > _LOG_FROM * values.min():
        axes.set_yscale("log")


def _draw(axes: Axes, history: History, curves: Mapping[str, tuple[str, str, str]], title: str) -> None:
    quiet_axes(axes)
    axes.set_title(title, loc="left", fontsize=10)
    for name, (label, colour, style) in curves.items():
        points = [(row["epoch"], row[name]) for row in history if np.isfinite(row.get(name, np.nan))]
        if points:
            (line,) = axes.plot(*zip(*points, strict=True), label=label, color=colour, linestyle=style, markersize=3)
            line.set(marker="o" if len(points) < 30 else "", linewidth=3.5 if name == "train_loss" else 1.5)
    if not axes.lines:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=GUIDE_COLOUR)
        return
    axes.set_xlabel("Epoch", fontsize=9)
    axes.set_xlim(0, history[-1]["epoch"] * 1.02 + 0.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(axes.lines) > 1:
        axes.legend(frameon=False, fontsize=9)
