# SPDX-License-Identifier: Apache-2.0
"""All the numbers of one segmented sequence, as one flat row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from torch import Tensor

from ..conventions import REFERENCE_EF_KEY, REFERENCE_EF_RANGE_PERCENT, STRUCTURES
from ..errors import InputError
from ..measure import LeftVentricleFunction, measure_left_ventricle, measure_study, volumes_ml
from ..measure.inputs import Array, LabelMap, as_affine, as_label_map, measured_frames
from .averages import mean_of_defined
from .consistency import temporal_consistency
from .cropping import crop_to_structures
from .dice import dice_per_frame
from .smoothness import temporal_l2
from .surface import temporal_surface_distance
from .surface_agreement import SURFACE_MEASURES, surface_agreement
from .volume_curve import phase_error_frames, roughness_percent

Row: TypeAlias = "dict[str, str | int | float]"

_NAN = float("nan")


def evaluate_case(
    case_id: str,
    pred: Array | Tensor,
    label: Array | Tensor | None = None,
    truth: Array | Tensor | None = None,
    *,
    affine: Array | Tensor,
    frame_times_ms: Sequence[float] | Array | Tensor | None = None,
    reference_ef_percent: float | None = None,
    full_cycle: bool = False,
    wall_thickness: bool = False,
) -> Row:
    """Measure one prediction against whatever reference there is.

    Everything is taken on the grid of the arrays passed, best the study's own. Undefined numbers are NaN; the columns
    are always the same.

    Args:
        case_id: name of the sequence.
        pred: ``(H, W, D, T)`` predicted label map, every frame.
        label: ``(H, W, D, T)`` sparse label map, 255 = not annotated.
        truth: ``(H, W, D, T)`` dense label map of every frame, where one exists (the phantom's).
        affine: ``(4, 4)``, voxel to millimetre.
        frame_times_ms: ``(T,)``, if known.
        reference_ef_percent: ejection fraction from elsewhere (a clinical report), in percent; NaN means none.
        full_cycle: the frames cover one whole R-R cycle, so the last is also compared with the first.
        wall_thickness: measure it too, where there is a reference to compare it with; a second or two per frame.

    Returns:
        In this order: ``case_id``; ``num_frames``, ``num_annotated_frames``; ``dice_lv``, ``dice_lvm`` (annotated
        frames); ``dice_all_lv``, ``dice_all_lvm`` (every frame, against ``truth``); ``hd95_lv_mm``, ``assd_lv_mm``,
        ``nsd_lv`` (annotated frames), ``num_unmatched_frames_lv`` (annotated frames in which only one of the two holds
        the structure, so that they have no distance) and the same of ``lvm``; ``l2``, ``l2_lv``, ``l2_lvm``
        (mL^0.5), ``surf_mm``, ``surf_lv_mm``, ``surf_lvm_mm`` and ``l2_reference``, ``surf_reference_mm`` (the same of
        ``truth``); ``roughness_percent``, ``inconsistent_frames_percent``, ``consistency_ratio``, and each of
        ``truth`` (``roughness_reference_percent``, ...); ``num_empty_frames_lv``, ``num_empty_frames_lvm``;
        ``edv_ml``, ``esv_ml``, ``sv_ml``, ``ef_percent``, ``ed_mass_g``, ``lvm_variation_percent``, ``ed_frame``,
        ``es_frame``, ``ed_time_ms``, ``es_time_ms``; ``edv_reference_ml``, ``esv_reference_ml``,
        ``ed_mass_reference_g``, ``ef_reference_percent``, ``ef_reference_source``, ``ef_error_points`` (predicted minus
        reference), ``ed_error_frames``, ``es_error_frames`` (distance of the phases from those of ``truth``, else of
        the annotated frames); ``ed_thickness_mm``, ``ed_thickness_reference_mm`` (mean wall thickness, each at its own
        end-diastole; NaN unless ``wall_thickness``).

        The reference ejection fraction is, by ``ef_reference_source``: ``given``; else from ``truth``; else from the
        ``annotated_frames``, largest and smallest cavity volume, which needs two of them and is right only if
        end-diastole and end-systole are annotated; else ``none``.

    Raises:
        InputError: if the arrays differ in shape, or the given ejection fraction is not a percentage.
        ValueError: if a label is unknown, or the affine is not one.
    """
    pred = as_label_map(pred, "pred")
    references = {"label": label, "truth": truth}
    maps = {name: None if array is None else as_label_map(array, name) for name, array in references.items()}
    _check(case_id, pred, maps, reference_ef_percent)
    given = {name: array for name, array in maps.items() if array is not None}
    (pred, *cropped), affine = crop_to_structures([pred, *given.values()], as_affine(affine))
    maps |= dict(zip(given, map(_by_frames, cropped), strict=True))
    pred = _by_frames(pred)
    row: Row = {
        "case_id": case_id,
        "num_frames": pred.shape[-1],
        "num_annotated_frames": 0 if maps["label"] is None else int(measured_frames(maps["label"]).sum()),
    }
    row |= _dice("dice", pred, maps["label"]) | _dice("dice_all", pred, maps["truth"])
    row |= _surfaces(pred, maps["label"], affine)
    row |= _smoothness(pred, maps["truth"], affine, full_cycle)
    row |= _motion(pred, "", affine, full_cycle) | _motion(maps["truth"], "_reference", affine, full_cycle)
    row |= _empty_frames(pred)
    function = measure_left_ventricle(pred, affine, frame_times_ms)
    row |= _function(function)
    reference, source = _reference(maps)
    true = None if reference is None else measure_left_ventricle(reference, affine)
    row |= _compared(function, true, source, reference_ef_percent, full_cycle)
    row["ed_thickness_mm"] = row["ed_thickness_reference_mm"] = _NAN
    if wall_thickness and reference is not None and true is not None:
        row["ed_thickness_mm"] = _wall_mm(pred, function.ed_frame, affine)
        row["ed_thickness_reference_mm"] = _wall_mm(reference, true.ed_frame, affine)
    return row


def _by_frames(labels: LabelMap) -> LabelMap:
    """Store frame by frame: every measurement walks over frames."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(labels, -1, 0)), 0, -1)


def _check(case_id: str, pred: LabelMap, maps: dict[str, LabelMap | None], ef_percent: float | None) -> None:
    for name, array in maps.items():
        if array is not None and array.shape != pred.shape:
            problem = f"the prediction has shape {pred.shape}, the {name} {array.shape}"
            raise InputError(case_id, problem, "bring both to the same grid and the same frames")
    low, high = REFERENCE_EF_RANGE_PERCENT
    if ef_percent is not None and not np.isnan(ef_percent) and not low < ef_percent <= high:
        problem = f"the reference ejection fraction is {ef_percent}"
        fix = f"give it in percent, above {low:g} and at most {high:g}"
        raise InputError(case_id, problem, fix, field=REFERENCE_EF_KEY)


def _dice(prefix: str, pred: LabelMap, reference: LabelMap | None) -> Row:
    names = [f"{prefix}_{name.lower()}" for name in STRUCTURES]
    if reference is None:
        return dict.fromkeys(names, _NAN)
    return {name: mean_of_defined(scores) for name, scores in zip(names, dice_per_frame(pred, reference), strict=True)}


def _surfaces(pred: LabelMap, label: LabelMap | None, affine: Array | Tensor) -> Row:
    row: Row = {}
    for name in STRUCTURES:
        values = None if label is None else surface_agreement(pred, label, affine, name)
        for measure in SURFACE_MEASURES:
            quantity, *unit = measure.split("_")
            column = "_".join([quantity, name.lower(), *unit])
            row[column] = _NAN if values is None else mean_of_defined(values[measure])
        # A structure that only one of the two shows has a surface Dice of 0 and no distance.
        unmatched = 0 if values is None else int((np.isnan(values["assd_mm"]) & (values["nsd"] == 0)).sum())
        row[f"num_unmatched_frames_{name.lower()}"] = unmatched
    return row


def _smoothness(pred: LabelMap, truth: LabelMap | None, affine: Array | Tensor, cyclic: bool) -> Row:
    l2, surface = temporal_l2(pred, affine, cyclic=cyclic), temporal_surface_distance(pred, affine, cyclic=cyclic)
    row: Row = {"l2": l2["mean"], **{f"l2_{name.lower()}": l2[name] for name in STRUCTURES}}
    row |= {"surf_mm": surface["mean"], **{f"surf_{name.lower()}_mm": surface[name] for name in STRUCTURES}}
    return row | {
        "l2_reference": _NAN if truth is None else temporal_l2(truth, affine, cyclic=cyclic)["mean"],
        "surf_reference_mm": _NAN if truth is None else temporal_surface_distance(truth, affine, cyclic=cyclic)["mean"],
    }


def _motion(labels: LabelMap | None, whose: str, affine: Array | Tensor, cyclic: bool) -> Row:
    names = f"roughness{whose}_percent", f"inconsistent_frames{whose}_percent", f"consistency_ratio{whose}"
    if labels is None:
        return dict.fromkeys(names, _NAN)
    roughness = roughness_percent(volumes_ml(labels, affine, "LV"), cyclic=cyclic)
    motion = temporal_consistency(labels, affine, cyclic=cyclic)
    return dict(zip(names, (roughness, motion.inconsistent_percent, motion.mean_ratio), strict=True))


def _empty_frames(pred: LabelMap) -> Row:
    present = {name: (pred == value).any(axis=(0, 1, 2)) for name, value in STRUCTURES.items()}
    return {f"num_empty_frames_{name.lower()}": int((~frames).sum()) for name, frames in present.items()}


def _function(function: LeftVentricleFunction) -> Row:
    volumes = ("edv_ml", "esv_ml", "sv_ml", "ef_percent", "ed_mass_g", "lvm_variation_percent")
    phases = ("ed_frame", "es_frame", "ed_time_ms", "es_time_ms")
    return {name: getattr(function, name) for name in (*volumes, *phases)}


def _reference(maps: dict[str, LabelMap | None]) -> tuple[LabelMap | None, str]:
    """The best reference with at least two frames, and its name."""
    for labels, name in ((maps["truth"], "truth"), (maps["label"], "annotated_frames")):
        if labels is not None and measured_frames(labels).sum() > 1:
            return labels, name
    return None, "none"


def _compared(
    predicted: LeftVentricleFunction,
    true: LeftVentricleFunction | None,
    source: str,
    given_percent: float | None,
    cyclic: bool,
) -> Row:
    edv_ml = esv_ml = mass_g = percent = ed_error = es_error = _NAN
    if true is not None:
        edv_ml, esv_ml, mass_g, percent = true.edv_ml, true.esv_ml, true.ed_mass_g, true.ef_percent
        num_frames = len(predicted.lv_volumes_ml)
        pairs = (predicted.ed_frame, true.ed_frame), (predicted.es_frame, true.es_frame)
        ed_error, es_error = (float(phase_error_frames(*pair, num_frames, cyclic=cyclic)) for pair in pairs)
    if given_percent is not None and not np.isnan(given_percent):
        percent, source = float(given_percent), "given"
    return {
        "edv_reference_ml": edv_ml,
        "esv_reference_ml": esv_ml,
        "ed_mass_reference_g": mass_g,
        "ef_reference_percent": percent,
        "ef_reference_source": source,
        "ef_error_points": predicted.ef_percent - percent,
        "ed_error_frames": ed_error,
        "es_error_frames": es_error,
    }


def _wall_mm(labels: LabelMap, ed_frame: int, affine: Array | Tensor) -> float:
    wall = measure_study(labels[..., [ed_frame]], affine).wall_ed
    return _NAN if wall is None else float(wall.mean_mm)
