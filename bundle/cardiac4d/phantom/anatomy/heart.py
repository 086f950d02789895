# SPDX-License-Identifier: Apache-2.0
"""What surrounds the left ventricle and moves with it: atria, right ventricle, great vessels, epicardial fat.

All shapes are given in the heart frame at end-diastole. :func:`reference_height` carries a chest point back to
end-diastole along the long axis, so that everything at the base follows its descent while apex and atrial roof stay;
the right ventricle contracts and the atria fill on top of that.

The left atrium and the aortic root carry the blood of the left ventricle up to its basal plane without a wall between:
the label ends at that plane, the contrast does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from .placement import Frame
from .shapes import Array, Ellipsoid, Point, Tube, tube
from .ventricle import Ventricle

Tissue = Literal["fat", "wall", "left_blood", "right_blood", "aorta"]
Part = tuple[Ellipsoid | Tube, Tissue]

_ROOF_MM: Final = 55.0
"""Height above the basal plane from which nothing moves any more."""
_UP: Final = (0.0, 0.0, 1.0)
_RIGHT: Final = (1.0, 0.0, 0.0)
_FRONT: Final = (0.0, 1.0, 0.0)


@dataclass(frozen=True)
class HeartPlan:
    """Measures of one heart at end-diastole, in millimetres, from which its chambers are laid out.

    Attributes:
        frame: heart frame in the patient.
        epi_radius_mm: epicardial short semi-axis of the left ventricle.
        endo_radius_mm: endocardial short semi-axis.
        base_mm: height of the basal plane.
        stroke: ejection fraction relative to a normal one, scales right-ventricular and atrial motion.
        fat_mm: thickness of the epicardial fat.
        left_atrium: relative size of the left atrium.
        right_ventricle: relative size of the right ventricle.
    """

    frame: Frame
    epi_radius_mm: float
    endo_radius_mm: float
    base_mm: float
    stroke: float
    fat_mm: float
    left_atrium: float
    right_ventricle: float

    @property
    def scale(self) -> float:
        """Size of this heart relative to one of 32 mm epicardial radius, damped: other chambers dilate less."""
        return float(np.sqrt(self.epi_radius_mm / 32.0))

    def toward(self, *steps: tuple[float, Point]) -> np.ndarray:
        """Sum of RAS directions times lengths, as a vector of the heart frame."""
        return sum((length * self.frame.direction(way) for length, way in steps), np.zeros(3))


def sample_heart(ventricle: Ventricle, frame: Frame, rng: np.random.Generator) -> HeartPlan:
    """Draw the heart around a left ventricle."""
    start = ventricle.end_diastole
    return HeartPlan(
        frame=frame,
        epi_radius_mm=start.a_mm + start.wall_mm,
        endo_radius_mm=start.a_mm,
        base_mm=start.base_mm,
        stroke=float(np.clip(ventricle.physiology.ef_percent / 62.0, 0.3, 1.2)),
        fat_mm=rng.uniform(2.5, 6.5),
        left_atrium=rng.normal(1.0, 0.07),
        right_ventricle=rng.normal(1.0, 0.06),
    )


def reference_height(z: Array, base_now_mm: float, base_ed_mm: float) -> Array:
    """Height at end-diastole of the tissue now at ``z``: linear from apex to base and from there to the roof."""
    roof = base_ed_mm + _ROOF_MM
    below = z * (base_ed_mm / base_now_mm)
    above = roof - (roof - z) * (_ROOF_MM / (roof - base_now_mm))
    return np.where(z < base_now_mm, below, np.maximum(above, z))


def right_ventricle(plan: HeartPlan, contraction: float) -> Ellipsoid:
    """Right-ventricular cavity; the left ventricle is painted over its septal half."""
    r, size, beat = plan.epi_radius_mm, plan.right_ventricle, contraction * plan.stroke
    shorter = (1 - 0.20 * beat, 1 - 0.10 * beat, 1 - 0.03 * beat)
    axes = (1.06 * r * size * shorter[0], 1.10 * r * size * shorter[1], 0.50 * plan.base_mm * shorter[2])
    return Ellipsoid((0.70 * r, -0.10 * r, 0.53 * plan.base_mm), axes)


def left_atrium(plan: HeartPlan, contraction: float) -> Ellipsoid:
    """Left-atrial cavity; it overlaps the left ventricle so that blood meets blood at the basal plane."""
    k = plan.scale * plan.left_atrium * (1 + 0.06 * contraction * plan.stroke)
    return Ellipsoid(
        (-0.20 * plan.epi_radius_mm, -0.10 * plan.epi_radius_mm, plan.base_mm + 15 * k), (25 * k, 28 * k, 20 * k)
    )


def right_atrium(plan: HeartPlan, contraction: float) -> Ellipsoid:
    """Right-atrial cavity, open to the right ventricle."""
    k = plan.scale * (1 + 0.06 * contraction * plan.stroke)
    center = (1.08 * plan.epi_radius_mm, -0.30 * plan.epi_radius_mm, plan.base_mm + 8 * k)
    return Ellipsoid(center, (25 * k, 29 * k, 25 * k))


def ascending_aorta(plan: HeartPlan) -> list[Tube]:
    """Outflow, sinuses and ascending aorta, from just below the basal plane out of the field of view."""
    k = plan.scale
    valve = np.array([0.36 * plan.endo_radius_mm + 3, 0.40 * plan.endo_radius_mm, plan.base_mm - 3])
    root = valve + plan.toward((13 * k, _UP), (7 * k, _RIGHT), (5 * k, _FRONT))
    ascending = root + plan.toward((18 * k, _UP), (6 * k, _RIGHT))
    top = ascending + plan.toward((90, _UP))
    return tube([_point(p) for p in (valve, root, ascending, top)], [10 * k, 15.5 * k, 14 * k, 13.5 * k])


def pulmonary_artery(plan: HeartPlan) -> list[Tube]:
    """Right-ventricular outflow tract and pulmonary trunk, in front and to the left of the aorta."""
    k = plan.scale
    outflow = np.array([0.75 * plan.epi_radius_mm, 0.80 * plan.epi_radius_mm, 0.72 * plan.base_mm])
    crossing = _corner(plan, 1) + plan.toward((26 * k, _FRONT), (-16 * k, _RIGHT), (-4 * k, _UP))
    trunk = crossing + plan.toward((26 * k, _UP), (-8 * k, _RIGHT), (-16 * k, _FRONT))
    end = trunk + plan.toward((14 * k, _UP), (-22 * k, _RIGHT), (-30 * k, _FRONT))
    return tube([_point(p) for p in (outflow, crossing, trunk, end)], [15 * k, 12.5 * k, 12.5 * k, 10 * k])


def pulmonary_veins(plan: HeartPlan) -> list[Tube]:
    """Four veins from the left atrium to the hila."""
    k = plan.scale
    center = np.array(left_atrium(plan, 0.0).center_mm)
    veins = []
    for side in (-1, 1):
        for up in (-5, 14):
            start = center + plan.toward((side * 15 * k, _RIGHT), (-13 * k, _FRONT), (up * 0.6 * k, _UP))
            end = start + plan.toward((side * 34 * k, _RIGHT), (-14 * k, _FRONT), (up * 1.2 * k, _UP))
            veins.append(Tube(_point(start), _point(end), 7.5 * k, 4.5 * k))
    return veins


def caval_vein(plan: HeartPlan) -> Tube:
    """Superior vena cava, right of the ascending aorta."""
    start = np.array(right_atrium(plan, 0.0).center_mm) + plan.toward((8, _UP))
    return Tube(_point(start), _point(start + plan.toward((110, _UP), (-8, _RIGHT))), 9.5, 9.0)


def coronary_arteries(plan: HeartPlan) -> Iterator[Tube]:
    """The anterior descending artery in its groove and the right artery in the atrioventricular groove."""
    r, base = plan.epi_radius_mm, plan.base_mm
    descending = [(0.30 * r, 1.00 * r, base), (0.45 * r, 1.03 * r, 0.75 * base), (0.42 * r, 0.95 * r, 0.45 * base)]
    yield from tube(descending, [2.0, 1.7, 1.2])
    right = [(0.75 * r, 0.75 * r, base + 4), (1.75 * r, 0.35 * r, base - 3), (1.70 * r, -0.55 * r, base - 3)]
    yield from tube(right, [1.9, 1.8, 1.4])


def surroundings(plan: HeartPlan, contraction: float) -> list[Part]:
    """Every part beside the left ventricle, in painting order: later parts cover earlier ones."""
    fat, r = plan.fat_mm, plan.epi_radius_mm
    rv, la, ra = (make(plan, contraction) for make in (right_ventricle, left_atrium, right_atrium))
    aorta, pulmonary, veins = ascending_aorta(plan), pulmonary_artery(plan), pulmonary_veins(plan)
    groove = Ellipsoid((0.45 * r, 0.05 * r, plan.base_mm + 4), (1.55 * r, 1.25 * r, 17 * plan.scale))
    annulus = Ellipsoid((0.0, 0.0, plan.base_mm), (plan.endo_radius_mm, plan.endo_radius_mm, 4.5))
    cava = caval_vein(plan)
    parts: list[Part] = [(groove, "fat"), (rv.grown(3 + fat), "fat"), (ra.grown(2 + fat), "fat"), (la.grown(4), "fat")]
    parts += [(piece.grown(5), "fat") for piece in (*aorta, *pulmonary, cava)]
    parts += [(piece.grown(2), "fat") for piece in veins]
    parts += [(rv.grown(3), "wall"), (ra.grown(2), "wall")]
    parts += [(piece.grown(1.5), "wall") for piece in (*pulmonary, *aorta)]
    parts += [(annulus, "wall"), (la.grown(1.8), "wall")]
    parts += [(rv, "right_blood"), (ra, "right_blood"), (cava, "right_blood")]
    parts += [(piece, "right_blood") for piece in pulmonary]
    parts += [(piece, "left_blood") for piece in veins]
    parts += [(la, "left_blood")]
    parts += [(piece.grown(1.5), "wall") for piece in aorta[1:]]
    parts += [(piece, "aorta") for piece in (*aorta, *coronary_arteries(plan))]
    return parts


def _corner(plan: HeartPlan, index: int) -> np.ndarray:
    """End of the ``index``-th piece of the ascending aorta."""
    return np.array(ascending_aorta(plan)[index].end_mm)


def _point(vector: np.ndarray) -> Point:
    x, y, z = (float(v) for v in vector)
    return x, y, z
