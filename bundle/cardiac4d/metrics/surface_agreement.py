# SPDX-License-Identifier: Apache-2.0
"""How far the surface of a prediction lies from that of the label: HD95, mean surface distance, surface Dice."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..conventions import NOT_ANNOTATED, STRUCTURES
from ..measure.inputs import Array, LabelMap, as_affine, as_label_map, measured_frames, structure_id
from .averages import mean_of_defined
from .cumulative import CaseMetric, Reduction, affine_of, label_map_of, require
from .face_surface import Values, distances_mm, face_surface

SurfaceMeasure = Literal["hd95_mm", "assd_mm", "nsd"]
SURFACE_MEASURES: tuple[SurfaceMeasure, ...] = get_args(SurfaceMeasure)

NSD_TOLERANCE_MM = 2.0
"""Deviation that counts as none in the surface Dice: a slice of the paper's scans, within which a contour is free."""

_ROUNDING_MM = 1e-4
"""Affines come from files in float32: a distance of just the tolerance must not depend on their last digit."""

_NAN = float("nan")


def surface_agreement(
    pred: Array | Tensor,
    label: Array | Tensor,
    affine: Array | Tensor,
    structure: str,
    *,
    tolerance_mm: float = NSD_TOLERANCE_MM,
) -> dict[SurfaceMeasure, npt.NDArray[np.float64]]:
    """Compare the surfaces of a structure in every annotated frame, in millimetres of patient space.

    A surface is the voxel faces between inside and outside (:func:`~cardiac4d.metrics.face_surface.face_surface`). Its
    distance to another is that from each face's centre to the nearest centre of the other, weighted by area. Voxels
    labelled 255 belong to neither mask, and no surface is seen where a mask ends at one.

    Args:
        pred: ``(H, W, D, T)`` label map.
        label: ``(H, W, D, T)`` label map with 255 = not annotated.
        affine: ``(4, 4)``, voxel to millimetre.
        structure: ``"LV"`` or ``"LVM"`` (inner and outer surface together).
        tolerance_mm: of the surface Dice, above 0.

    Returns:
        ``(T,)`` each, NaN in frames without annotation:

        * ``hd95_mm``: the distance that 95 % of a surface's area keeps to the other, for the worse of the two (the
          Hausdorff distance without its outermost 5 %).
        * ``assd_mm``: mean distance over the area of both surfaces together.
        * ``nsd``: share of this area that lies within ``tolerance_mm`` of the other surface, 0 .. 1 (normalised surface
          Dice; Nikolov et al. 2021).

        Where one of the two lacks the structure there is no distance: ``hd95_mm`` and ``assd_mm`` are NaN and ``nsd``
        is 0. Where both lack it, NaN and 1, a right answer as for Dice.

    Raises:
        ValueError: if shapes differ, label maps, affine or structure are not as above, or the tolerance is not above 0.

    Example:
        >>> label = np.full((9, 3, 3, 2), 255)
        >>> label[..., 0] = np.arange(9)[:, None, None] == 2
        >>> pred = np.roll(label, 1, axis=0)  # a plate of 1.5 x 3 x 3 mm moves by its thickness
        >>> values = surface_agreement(pred, label, np.diag([1.5, 1.0, 1.0, 1.0]), "LV", tolerance_mm=1.0)
        >>> {name: frames.round(2).tolist() for name, frames in values.items()}
        {'hd95_mm': [1.5, nan], 'assd_mm': [0.83, nan], 'nsd': [0.75, nan]}
    """
    pred, label, matrix = as_label_map(pred, "pred"), as_label_map(label, "label"), as_affine(affine)
    if pred.shape != label.shape:
        raise ValueError(f"`pred` and `label` must have the same shape, got {pred.shape} and {label.shape}")
    if not tolerance_mm > 0:
        raise ValueError(f"`tolerance_mm` must be above 0, got {tolerance_mm}")
    wanted = structure_id(structure)
    values = {name: np.full(label.shape[-1], np.nan) for name in SURFACE_MEASURES}
    for t in np.flatnonzero(measured_frames(label)):
        for name, value in _compare(pred[..., t], label[..., t], matrix, wanted, tolerance_mm).items():
            values[name][t] = value
    return values


class SurfaceAgreement(CaseMetric):
    """One of the measures of :func:`surface_agreement`: columns LV and LVM, the mean of each over its annotated frames.

    The affine is read from the ``MetaTensor`` of the prediction; a plain tensor is refused unless ``affine`` is given.

    Args:
        measure: ``hd95_mm``, ``assd_mm`` or ``nsd``.
        tolerance_mm: of ``nsd``.
        affine: ``(4, 4)``, for predictions that are plain tensors.
        reduction: see :class:`CaseMetric`.

    Raises:
        ValueError: if ``measure`` is not one of the names above, or a case has no affine.

    Example:
        >>> import torch
        >>> metric = SurfaceAgreement("nsd", affine=np.eye(4))
        >>> ball = torch.ones(1, 1, 4, 4, 4, 3)
        >>> metric(ball, ball)
        tensor([[1., 1.]])
    """

    def __init__(
        self,
        measure: SurfaceMeasure = "hd95_mm",
        tolerance_mm: float = NSD_TOLERANCE_MM,
        affine: Array | Tensor | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        if measure not in SURFACE_MEASURES:
            raise ValueError(f"`measure` must be one of {SURFACE_MEASURES}, got {measure!r}")
        self.measure, self.tolerance_mm, self.affine = measure, tolerance_mm, affine

    def row(self, pred: Tensor, label: Tensor | None) -> list[float]:
        """See :meth:`CaseMetric.row`."""
        affine = affine_of(pred, self.affine, "SurfaceAgreement")
        maps = label_map_of(pred, "y_pred"), label_map_of(require(label, "SurfaceAgreement"), "y")
        by_structure = [surface_agreement(*maps, affine, name, tolerance_mm=self.tolerance_mm) for name in STRUCTURES]
        return [mean_of_defined(values[self.measure]) for values in by_structure]


def _compare(
    pred: LabelMap, label: LabelMap, affine: npt.NDArray[np.float64], wanted: int, tolerance_mm: float
) -> dict[SurfaceMeasure, float]:
    """One frame, ``(H, W, D)``."""
    unknown = label == NOT_ANNOTATED
    hidden = unknown if unknown.any() else None
    guess = (pred == wanted) & ~unknown
    a, b = face_surface(guess, affine, hidden), face_surface(label == wanted, affine, hidden)
    if not len(a) or not len(b):
        return {"hd95_mm": _NAN, "assd_mm": _NAN, "nsd": float(len(a) == len(b))}
    there, back = distances_mm(a, b), distances_mm(b, a)
    pooled, areas = np.concatenate([there, back]), np.concatenate([a.areas_mm2, b.areas_mm2])
    return {
        "hd95_mm": max(_percentile(there, a.areas_mm2, 95), _percentile(back, b.areas_mm2, 95)),
        "assd_mm": float(np.average(pooled, weights=areas)),
        "nsd": float(np.average(pooled <= tolerance_mm + _ROUNDING_MM, weights=areas)),
    }


def _percentile(values: Values, weights: Values, percent: float) -> float:
    """The smallest value that this share of the weight does not exceed."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, percent / 100 * reached[-1])])
