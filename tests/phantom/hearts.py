# SPDX-License-Identifier: Apache-2.0
"""Hearts and data sets small enough for tests."""

from __future__ import annotations

import numpy as np

from cardiac4d.phantom import Preset
from cardiac4d.phantom.anatomy.ventricle import Outline, Ventricle
from cardiac4d.phantom.physiology import Physiology

TINY = Preset(
    name="tiny",
    num_training=3,
    num_validation=1,
    num_test=1,
    num_labeled_frames=13,
    random_split=False,
    matrix=24,
    pixel_mm=(6.0, 6.5),
    slice_mm=(8.0,),
    depth_mm=(100.0, 120.0),
    num_frames=8,
    stair_step_probability=0.5,
)
OUTLINE = Outline(septal_excess=0.05, lobes=(0.05, 0.03), lobe_angles_rad=(0.7, 2.0), bend_mm=(3.0, -2.0))


def physiology(
    edv_ml: float = 130.0,
    esv_ml: float = 47.0,
    wall_ed_mm: float = 6.6,
    length_ed_mm: float = 90.0,
    mapse_mm: float = 15.0,
) -> Physiology:
    """The normal male heart of the reference table, 20 frames, end-systole at frame 7."""
    return Physiology(
        group="normal",
        heart_rate_bpm=60.0,
        edv_ml=edv_ml,
        esv_ml=esv_ml,
        wall_ed_mm=wall_ed_mm,
        length_ed_mm=length_ed_mm,
        mapse_mm=mapse_mm,
        twist_apex_deg=10.0,
        twist_base_deg=-3.0,
        num_frames=20,
        es_frame=7,
    )


def irregular_ventricle() -> Ventricle:
    """A ventricle with lobes, bend, twist and a thicker septum."""
    return Ventricle(physiology(), OUTLINE)


def lattice(low: tuple[float, ...], high: tuple[float, ...], step_mm: float) -> list[np.ndarray]:
    """Open coordinate grids of a box."""
    return list(np.ix_(*(np.arange(a, b, step_mm) for a, b in zip(low, high, strict=True))))
