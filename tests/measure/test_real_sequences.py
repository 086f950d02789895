# SPDX-License-Identifier: Apache-2.0
"""Ejection fractions of real patients, from sparse labels, against the diagnosis of their cardiologists."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cardiac4d.measure import measure_left_ventricle

CINE = Path(__file__).resolve().parents[2] / "../shared/data/acdc_cine"
pytestmark = pytest.mark.skipif(not CINE.is_dir(), reason="the real sequences are not on this machine")


def ef_percent(case: str) -> float:
    image = nib.load(CINE / f"{case}_4d_sparse_gt.nii.gz")
    voxels = np.asarray(image.dataobj)
    cavity, muscle, missing = voxels == 3, voxels == 2, voxels == 255  # ACDC's label ids
    return measure_left_ventricle(np.select([cavity, muscle, missing], [1, 2, 255], 0), image.affine).ef_percent


# ACDC's own inclusion criteria, Bernard et al. 2018, table I: above 50 % and below 40 %.
@pytest.mark.parametrize(("group", "lowest", "highest"), [("NOR", 50, 80), ("DCM", 5, 40)])
def test_ejection_fraction_agrees_with_the_diagnosis(group: str, lowest: float, highest: float) -> None:
    with (CINE / "index.csv").open(newline="") as index:
        cases = [row["id"] for row in csv.DictReader(index) if row["group"] == group]
    values = [ef_percent(case) for case in cases]
    assert len(values) >= 10
    assert all(lowest < value < highest for value in values), values
