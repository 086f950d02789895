# SPDX-License-Identifier: Apache-2.0
"""Measure a whole study: one label map in, every number with its unit and every doubt out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .cycle import Curve, SmoothCurve, peak_rates, smooth_curve
from .flags import (
    PLAUSIBLE_EDV_ML,
    PLAUSIBLE_EF_PERCENT,
    PLAUSIBLE_MASS_G,
    Flag,
    implausible_heart_rate,
    implausible_value,
    lost_cavity,
    mass_variation,
    missing_frames,
    no_muscle,
    phases_too_close,
    several_minima,
)
from .inputs import Array, LabelMap, as_affine, as_label_map, measured_frames
from .left_ventricle import LeftVentricleFunction, function_of_curves
from .long_axis import LongAxis, Vector, carried_over, find_long_axis
from .options import MeasureOptions
from .segments import RegionalThickness, across_axis, regional_thickness, septal_direction
from .shape_flags import (
    few_slices,
    holes_in_wall,
    labels_swapped,
    no_valve_plane,
    several_pieces,
    touches_field_of_view,
)
from .study_measures import PhaseRule, StudyMeasures
from .times import StudyTime, heart_rate_per_min
from .tissue import Body, largest_body
from .volumes import volumes_ml
from .wall_grid import has_wall
from .wall_thickness import thickness_map

_DEFAULTS = MeasureOptions()


def measure_study(
    labels: Array | torch.Tensor,
    affine: Array | torch.Tensor,
    frame_times_ms: Sequence[float] | Array | torch.Tensor | None = None,
    *,
    full_cycle: bool = False,
    cycle_length_ms: float | None = None,
    options: MeasureOptions = _DEFAULTS,
) -> StudyMeasures:
    """Measure volumes, mass, wall thickness and their change over the cycle, and say what speaks against them.

    Args:
        labels: ``(H, W, D, T)``; 0, 1 LV, 2 LVM, 255 = not annotated; on the study's own grid.
        affine: ``(4, 4)``, voxel to RAS millimetre.
        frame_times_ms: ``(T,)`` distinct time of each frame, if known; NaN throughout means not known.
        full_cycle: the frames cover one R-R interval, so that the last precedes the first.
        cycle_length_ms: R-R interval, if known; of a full cycle with evenly spaced times it is derived.
        options: choices, see :class:`~cardiac4d.measure.MeasureOptions`.

    Returns:
        The measurements; what is not defined is NaN or ``None``.

    Raises:
        ValueError: if no frame is annotated, or label map, affine, times or options contradict the above.
    """
    labels, matrix = as_label_map(labels), as_affine(affine)
    time = StudyTime.checked(labels.shape[-1], frame_times_ms, full_cycle, cycle_length_ms)
    lv_ml, lvm_ml = volumes_ml(labels, matrix, "LV"), volumes_ml(labels, matrix, "LVM")
    curve = smooth_curve(time.positions, lv_ml, time.period)
    function, rule = _function(lv_ml, lvm_ml, time, curve, options)
    bodies = _bodies(labels, matrix)
    axes = _axes(bodies, function, options.long_axis)
    septal = _septal(axes[function.ed_frame], options, matrix, function.ed_frame, labels.shape)
    walls = {t: _wall(bodies.get(t), axes[t], septal, options) for t in axes}
    ejection, filling = _rates_ml_per_s(curve, time)
    return StudyMeasures(
        function=function,
        phase_rule=rule,
        frame_times_ms=time.frame_times_ms,
        cycle_length_ms=time.cycle_length_ms,
        full_cycle=full_cycle,
        lv_smoothed_ml=None if curve is None else curve.values_ml,
        peak_ejection_rate_ml_per_s=ejection,
        peak_filling_rate_ml_per_s=filling,
        axis=axes[function.ed_frame],
        septal_direction=septal,
        wall_ed=walls[function.ed_frame],
        wall_es=walls[function.es_frame],
        flags=_flags(function, curve, time) + _shape_flags(bodies, axes),
    )


def _function(
    lv_ml: Curve, lvm_ml: Curve, time: StudyTime, curve: SmoothCurve | None, options: MeasureOptions
) -> tuple[LeftVentricleFunction, PhaseRule]:
    """The core numbers, and the rule by which their frames were chosen."""
    frames: tuple[int, int] | None = None
    rule: PhaseRule = "extrema"
    if options.ed_frame is not None and options.es_frame is not None:
        frames, rule = (options.ed_frame, options.es_frame), "given"
    elif options.phase_rule == "smoothed":
        if curve is None:
            raise ValueError("`phase_rule` 'smoothed' needs at least six annotated frames")
        values = np.where(np.isfinite(lv_ml), curve.values_ml, np.nan)
        frames, rule = (int(np.nanargmax(values)), int(np.nanargmin(values))), "smoothed"
    return function_of_curves(lv_ml, lvm_ml, time.frame_times_ms, frames), rule


def _rates_ml_per_s(curve: SmoothCurve | None, time: StudyTime) -> tuple[float, float]:
    """Peak ejection and filling rate; NaN without a curve, or without times."""
    if curve is None or time.frame_times_ms is None:
        return float("nan"), float("nan")
    ejection, filling = peak_rates(curve)
    return 1000 * ejection, 1000 * filling


def _bodies(labels: LabelMap, affine: Vector) -> dict[int, Body]:
    """The ventricle of every frame that has one."""
    found = {t: largest_body(labels[..., t], affine) for t in np.flatnonzero(measured_frames(labels)).tolist()}
    return {t: body for t, body in found.items() if body is not None}


def _axes(
    bodies: dict[int, Body], function: LeftVentricleFunction, given: LongAxis | None
) -> dict[int, LongAxis | None]:
    """Long axis at end-diastole and end-systole."""
    ed, es = function.ed_frame, function.es_frame
    found = {t: find_long_axis(bodies[t]) if t in bodies else None for t in (ed, es)}
    return found if given is None else {es: carried_over(given, found[es]), ed: given}


def _septal(
    axis: LongAxis | None, options: MeasureOptions, affine: Vector, ed_frame: int, shape: tuple[int, ...]
) -> Vector | None:
    """Septal direction across the axis, from either option."""
    if axis is None:
        return None
    if options.septal_direction is not None:
        return across_axis(np.asarray(options.septal_direction, dtype=np.float64), axis)
    if options.rv_mask is None:
        return None
    mask = np.asarray(torch.as_tensor(options.rv_mask).cpu())
    if mask.shape not in (shape, shape[:3]):
        raise ValueError(f"`rv_mask` must have the shape of the labels, {shape} or {shape[:3]}, got {mask.shape}")
    voxels = np.argwhere(mask if mask.ndim == 3 else mask[..., ed_frame])
    return septal_direction(voxels @ affine[:3, :3].T + affine[:3, 3], axis)


def _wall(
    body: Body | None, axis: LongAxis | None, septal: Vector | None, options: MeasureOptions
) -> RegionalThickness | None:
    if body is None or not options.wall_thickness or not has_wall(body):
        return None
    return regional_thickness(thickness_map(body, axis, options.thickness_spacing_mm), axis, septal)


def _flags(function: LeftVentricleFunction, curve: SmoothCurve | None, time: StudyTime) -> tuple[Flag, ...]:
    ed, es = function.ed_frame, function.es_frame
    lv_ml = function.lv_volumes_ml
    one_frame = np.isfinite(lv_ml).sum() < 2 or function.edv_ml == 0
    found = [
        lost_cavity(lv_ml),
        no_muscle(function.lvm_volumes_ml),
        missing_frames(lv_ml),
        None if one_frame else phases_too_close(ed, es, len(lv_ml), full_cycle=time.full_cycle),
        several_minima(curve, function.sv_ml),
        mass_variation(function.lvm_variation_percent),
        implausible_value("implausible_ef", "an ejection fraction", function.ef_percent, "%", PLAUSIBLE_EF_PERCENT),
        implausible_value("implausible_edv", "an end-diastolic volume", function.edv_ml, "ml", PLAUSIBLE_EDV_ML),
        implausible_heart_rate(heart_rate_per_min(time.cycle_length_ms)),
        implausible_value("implausible_mass", "a myocardial mass", function.ed_mass_g, "g", PLAUSIBLE_MASS_G),
    ]
    return tuple(flag for flag in found if flag is not None)


def _shape_flags(bodies: dict[int, Body], axes: dict[int, LongAxis | None]) -> tuple[Flag, ...]:
    found = [
        labels_swapped(bodies),
        few_slices(bodies),
        touches_field_of_view(bodies),
        several_pieces(bodies),
        holes_in_wall(bodies),
        no_valve_plane({t: axis for t, axis in axes.items() if t in bodies}),
    ]
    return tuple(flag for flag in found if flag is not None)
