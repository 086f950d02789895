# SPDX-License-Identifier: Apache-2.0
"""A study to report on: its measures as a document, its voxels, and a sequence that hands out its frames."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from cardiac4d.measure import StudyMeasures, measure_study
from tests.helpers.studies import AFFINE, beating_ball

TIMES_MS = [0.0, 150.0, 300.0, 450.0, 600.0, 750.0]
PROVENANCE = {"input": "c1.nii.gz", "version": "0.1.0", "created": "2026-01-02T03:04:05+00:00"}


class Sequence:
    """Frames of an array, one at a time."""

    def __init__(self, voxels: np.ndarray) -> None:
        self.voxels = voxels

    def frames(self) -> Iterator[np.ndarray]:
        """The frames."""
        return iter(np.moveaxis(self.voxels, -1, 0))


def study(case_id: str = "c1", *, seed: int = 0) -> tuple[dict[str, Any], Sequence, np.ndarray]:
    """Measures, image and labels of a beating ball on the grid ``AFFINE``; frames 0 and 3 are ED and ES."""
    image, labels = beating_ball(seed=seed)
    return _measured(seed).to_document(case_id, PROVENANCE), Sequence(image), labels


@cache
def _measured(seed: int) -> StudyMeasures:
    _, labels = beating_ball(seed=seed)
    return measure_study(labels, AFFINE, TIMES_MS, full_cycle=True, cycle_length_ms=900.0)


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The document with everything that a study can have: axis, segments, intervals, reference, every severity."""
    segments = [6.0 + 0.1 * k for k in range(17)]
    rings = {"basal": 7.0, "mid": 6.5, "apical": 5.5}
    wall = {"mean_mm": 6.81, "rings_mm": rings, "segments_mm": segments}
    thicker = {"mean": 50.0, "rings": rings, "segments": [*segments[:16], None]}
    names = ("edv_ml", "esv_ml", "sv_ml", "ef_percent", "ed_mass_g")
    values = {**document["volumes"], **document["mass"]}
    pair = {"lv": 0.9, "lvm": None}
    reference = {"source": "annotated_frames", "frames": [0, 3], "dice_all": dict.fromkeys(pair), "hd95_mm": pair}
    reference |= {"dice": {"lv": 0.9123, "lvm": 0.8}, "assd_mm": pair, "ef_error_points": -2.5, "ef_percent": 60.0}
    reference |= {"edv_ml": 30.0, "esv_ml": 10.0, "ed_mass_g": None, "ed_thickness_mm": 7.0}
    reference |= {"ed_error_frames": 0.0, "es_error_frames": 1.0}
    axis = {"apex_mm": [-5.0, 20.0, -5.0], "base_mm": [8.0, -4.0, 20.0], "length_mm": 37.0}
    severities = ("info", "warning", "error")
    return document | {
        "wall_thickness": {"ed": wall, "es": wall, "thickening_percent": thicker},
        "axis": axis | {"valve_normal": [0.4, -0.6, 0.7], "septal_direction": [1.0, 0.5, 0.0], "source": "given"},
        "intervals": {"level": 0.9, "method": "by hand", "ed_thickness_mm": None, "num_studies": None}
        | {name: [0.9 * values[name], 1.1 * values[name]] for name in names},
        "reference": reference,
        "flags": [
            {"code": f"a_{s}", "severity": s, "frames": [2, 4], "reason": f"{s} <b>of</b> it"} for s in severities
        ],
    }
