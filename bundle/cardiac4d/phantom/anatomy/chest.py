# SPDX-License-Identifier: Apache-2.0
"""What stands still around the heart, in RAS: lungs and their vessels, spine, ribs, sternum, liver, great vessels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from .heart import HeartPlan, left_atrium, right_ventricle
from .shapes import Array, Ellipsoid, Point, Solid, Tube

ChestTissue = Literal[
    "fat", "muscle", "bone", "cortex", "disc", "liver", "spleen", "aorta", "left_blood", "right_blood", "air"
]
ChestPart = tuple[Solid, ChestTissue]

_TALL: Final = 400.0
"""Half height of structures that pass through the whole field of view."""
_HALF_WIDTH_MM: Final = 128.0
_RIB_STEP_MM: Final = 30.0
_VERTEBRA_MM: Final = 25.0
_NUM_LUNG_VESSELS: Final = 220


@dataclass(frozen=True)
class ChestPlan:
    """Landmarks in RAS millimetres.

    Attributes:
        midline_mm: left-right position of spine and sternum.
        spine_front_mm: front of the vertebral bodies.
        sternum_back_mm: back of the sternum.
        diaphragm_mm: height of the diaphragm under the heart.
        hilum_mm: height of the lung roots.
    """

    midline_mm: float
    spine_front_mm: float
    sternum_back_mm: float
    diaphragm_mm: float
    hilum_mm: float

    @property
    def center_mm(self) -> tuple[float, float]:
        """Centre of the rib cage in the axial plane."""
        return self.midline_mm, (self.sternum_back_mm + self.spine_front_mm - 45) / 2

    @property
    def half_depth_mm(self) -> float:
        """Half the front-to-back extent of the rib cage."""
        return (self.sternum_back_mm - self.spine_front_mm + 45) / 2


@dataclass(frozen=True)
class EllipticShell:
    """What lies outside an upright elliptic cylinder: the body wall and its layers."""

    center_mm: tuple[float, float]
    semi_axes_mm: tuple[float, float]

    def field(self, x: Array, y: Array, z: Array) -> Array:
        """Negative outside the cylinder."""
        (cx, cy), (ax, ay) = self.center_mm, self.semi_axes_mm
        return 1 - ((x - cx) / ax) ** 2 - ((y - cy) / ay) ** 2 + 0 * z

    def bounds(self, rotation: Array) -> tuple[Array, Array]:
        """Everywhere."""
        return np.zeros(3), np.full(3, 1e4)


@dataclass(frozen=True)
class Ribs:
    """Oblique rings around the chest, one every :data:`_RIB_STEP_MM`."""

    center_mm: tuple[float, float]
    semi_axes_mm: tuple[float, float]
    radius_mm: float
    offset_mm: float

    def field(self, x: Array, y: Array, z: Array) -> Array:
        """Distance to the nearest ring minus its radius, in millimetres (approximate)."""
        (cx, cy), (ax, ay) = self.center_mm, self.semi_axes_mm
        radial = (np.sqrt(((x - cx) / ax) ** 2 + ((y - cy) / ay) ** 2) - 1) * ay
        height = np.mod(z + 0.45 * (y - cy) - self.offset_mm, _RIB_STEP_MM) - _RIB_STEP_MM / 2
        return np.sqrt((radial * 1.5) ** 2 + height**2) - self.radius_mm

    def bounds(self, rotation: Array) -> tuple[Array, Array]:
        """Everywhere."""
        return np.zeros(3), np.full(3, 1e4)


def plan_chest(heart: HeartPlan) -> ChestPlan:
    """Lay the chest around a heart: spine behind the left atrium, sternum before the right ventricle, liver below."""
    atrium, ventricle = left_atrium(heart, 0.0), right_ventricle(heart, 0.0)
    la_low, _ = _extent(heart, atrium)
    rv_low, rv_high = _extent(heart, ventricle)
    lv_low, lv_high = _extent(heart, _left_ventricle(heart))
    center = heart.frame.to_ras(atrium.center_mm)
    return ChestPlan(
        midline_mm=float(center[0]) + 2.0,
        spine_front_mm=float(la_low[1]) - 13.0,
        sternum_back_mm=float(max(rv_high[1], lv_high[1])) + 12.0,
        diaphragm_mm=float(min(rv_low[2], lv_low[2])) - 3.0,
        hilum_mm=float(center[2]) + 12.0,
    )


def chest_parts(chest: ChestPlan, rng: np.random.Generator) -> list[ChestPart]:
    """Every still structure over air-filled lung, in painting order."""
    return [*_lung_vessels(chest, rng), *_mediastinum(chest), *_abdomen(chest, rng), *_wall(chest, rng), *_spine(chest)]


def _mediastinum(chest: ChestPlan) -> list[ChestPart]:
    x, front, back = chest.midline_mm, chest.sternum_back_mm, chest.spine_front_mm
    anterior = Ellipsoid((x - 8, front - 4, chest.hilum_mm), (34, 16, _TALL))
    posterior = Ellipsoid((x - 6, back + 2, chest.hilum_mm), (34, 17, _TALL))
    esophagus = Tube((x - 7, back + 9, -_TALL), (x - 7, back + 9, _TALL), 7, 7)
    aorta_x, aorta_y = x - 26, back - 2
    wall = Tube((aorta_x, aorta_y, -_TALL), (aorta_x, aorta_y, _TALL), 13.5, 13.5)
    lumen = Tube(wall.start_mm, wall.end_mm, 12, 12)
    parts: list[ChestPart] = [(anterior, "fat"), (posterior, "fat"), (esophagus, "muscle"), (wall, "muscle")]
    return [*parts, (lumen, "aorta")]


def _abdomen(chest: ChestPlan, rng: np.random.Generator) -> list[ChestPart]:
    x, y = chest.midline_mm, chest.center_mm[1]
    top = chest.diaphragm_mm
    dome = rng.uniform(12.0, 24.0)
    liver = Ellipsoid((x + 52, y + 8, top + dome - 75), (84, 82, 75))
    left_lobe = Ellipsoid((x - 25, y + 28, top - 62), (75, 52, 62))
    spleen = Ellipsoid((x - 85, y - 40, top - 58 + 0.3 * dome), (48, 55, 58))
    under = Ellipsoid((x - 30, y + 25, top - 30), (70, 60, 34))
    return [(under, "fat"), (spleen, "spleen"), (left_lobe, "liver"), (liver.grown(2.0), "muscle"), (liver, "liver")]


def _wall(chest: ChestPlan, rng: np.random.Generator) -> list[ChestPart]:
    center, half = chest.center_mm, (_HALF_WIDTH_MM, chest.half_depth_mm)

    def layer(margin: float) -> EllipticShell:
        return EllipticShell(center, (half[0] + margin, half[1] + margin))

    ring, offset = (half[0] + 7, half[1] + 7), rng.uniform(0.0, _RIB_STEP_MM)
    x, y = chest.midline_mm, chest.sternum_back_mm + 6
    sternum = Ellipsoid((x, y, chest.hilum_mm), (19, 7, _TALL))
    wall: list[ChestPart] = [(layer(0), "muscle"), (layer(17), "fat"), (layer(45), "air")]
    ribs: list[ChestPart] = [(Ribs(center, ring, 6.5, offset), "cortex"), (Ribs(center, ring, 4.0, offset), "bone")]
    return [*wall, *ribs, (sternum, "cortex"), (sternum.grown(-1.8), "bone")]


def _spine(chest: ChestPlan) -> list[ChestPart]:
    x, front = chest.midline_mm, chest.spine_front_mm
    body = Ellipsoid((x, front - 15, chest.hilum_mm), (18, 15, _TALL))
    back_muscle = Ellipsoid((x, front - 48, chest.hilum_mm), (48, 24, _TALL))
    arch = Ellipsoid((x, front - 38, chest.hilum_mm), (27, 11, _TALL))
    canal = Ellipsoid((x, front - 37, chest.hilum_mm), (10, 8, _TALL))
    parts: list[ChestPart] = [(back_muscle, "muscle"), (arch, "bone"), (canal, "muscle")]
    discs = [Ellipsoid((x, front - 15, chest.hilum_mm + i * _VERTEBRA_MM), (20, 17, 3)) for i in range(-6, 7)]
    return [*parts, (body, "cortex"), (body.grown(-1.5), "bone"), *((disc, "disc") for disc in discs)]


def _lung_vessels(chest: ChestPlan, rng: np.random.Generator) -> list[ChestPart]:
    """Tapering branches that leave the lung roots in random directions."""
    parts: list[ChestPart] = []
    for _ in range(_NUM_LUNG_VESSELS):
        side = rng.choice([-1.0, 1.0])
        way = rng.normal(0.0, 1.0, 3) * [0.8, 1.0, 1.0] + [side * 1.1, -0.2, -0.3]
        way /= np.linalg.norm(way)
        hilum = np.array([chest.midline_mm + side * 48, chest.spine_front_mm + 22, chest.hilum_mm])
        distance, length = rng.uniform(0.0, 70.0), rng.uniform(20.0, 50.0)
        radius = (0.9 + 3.6 * (1 - distance / 75) ** 2) * rng.uniform(0.6, 1.2)
        begin = hilum + rng.normal(0.0, 8.0, 3) + way * distance
        vessel = Tube(_point(begin), _point(begin + way * length), radius, 0.5 * radius)
        parts.append((vessel, "left_blood" if rng.random() < 0.5 else "right_blood"))
    return parts


def _left_ventricle(heart: HeartPlan) -> Ellipsoid:
    half = heart.base_mm / 2
    return Ellipsoid((0.0, 0.0, half), (heart.epi_radius_mm, heart.epi_radius_mm, half))


def _extent(heart: HeartPlan, solid: Ellipsoid) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest RAS coordinates of an ellipsoid of the heart frame."""
    center, reach = solid.bounds(heart.frame.rotation)
    center = heart.frame.to_ras(center)
    return center - reach, center + reach


def _point(vector: np.ndarray) -> Point:
    x, y, z = (float(v) for v in vector)
    return x, y, z
