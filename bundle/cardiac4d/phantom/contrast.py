# SPDX-License-Identifier: Apache-2.0
"""Hounsfield units of one contrast-enhanced study."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Contrast:
    """Mean attenuation of each tissue, in Hounsfield units.

    ``left_blood`` fills ventricle and atrium alike and ``aorta`` differs from it by at most 30, so that no threshold
    finds the valve plane. ``right_blood`` runs from a saline flush (as myocardium: the septum's right edge is nearly
    invisible) to full contrast, and changes by ``right_gradient`` from apex to base.
    """

    left_blood: float
    aorta: float
    right_blood: float
    right_gradient: float
    wall: float
    lateral_drop: float
    fat: float
    lung: float
    muscle: float
    liver: float
    spleen: float
    bone: float
    cortex: float
    disc: float = 90.0
    air: float = -1000.0

    def __getitem__(self, tissue: str) -> float:
        return float(getattr(self, tissue))


def sample_contrast(rng: np.random.Generator) -> Contrast:
    """Draw the contrast of one study; ``docs/phantom.md`` gives the sources."""
    left = float(np.clip(rng.normal(420.0, 60.0), 280.0, 560.0))
    right = float(rng.uniform(80.0, min(350.0, left - 20.0)))
    wall = float(np.clip(rng.normal(105.0, 15.0), 70.0, 140.0))
    return Contrast(
        left_blood=left,
        aorta=left + rng.uniform(-30.0, 30.0),
        right_blood=right,
        right_gradient=rng.uniform(0.0, 0.25) * right,
        wall=wall,
        lateral_drop=rng.uniform(5.0, 30.0),
        fat=rng.uniform(-110.0, -90.0),
        lung=rng.uniform(-880.0, -820.0),
        muscle=rng.uniform(45.0, 65.0),
        liver=rng.uniform(90.0, 110.0),
        spleen=rng.uniform(100.0, 130.0),
        bone=rng.uniform(150.0, 300.0),
        cortex=rng.uniform(450.0, 750.0),
    )
