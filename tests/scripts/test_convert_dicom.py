# SPDX-License-Identifier: Apache-2.0
"""The script that converts a DICOM study."""

from __future__ import annotations

import runpy
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cardiac4d.errors import InputError
from tests.helpers.dicom_studies import Study, write_images

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "convert_dicom.py"
convert_dicom = runpy.run_path(str(SCRIPT))["convert_dicom"]


def test_a_study_becomes_one_file_on_its_own_grid(tmp_path: Path) -> None:
    study = Study(
        lambda k, t: {"SeriesNumber": 3, "SeriesDescription": "cine", "TriggerTime": 40 * t},
        row=(0.8, 0.6, 0.0),
        column=(0.36, -0.48, 0.8),
    )
    write_images(tmp_path / "p1", study)
    said = convert_dicom(str(tmp_path / "p1"), str(tmp_path / "p1.nii.gz"))
    image = nib.load(tmp_path / "p1.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), study.voxels.astype(np.int16) - 1024)
    np.testing.assert_allclose(image.affine, study.affine(), atol=1e-5)
    assert (float(image.header["pixdim"][4]), image.header.get_xyzt_units()) == (40, ("mm", "msec"))
    assert "3 phases of 4 slices of 6 x 5 voxels, series 3 'cine' (12 images)" in said
    assert "phases by TriggerTime (0018,1060): 0, 40, 80" in said
    assert f"written: {tmp_path / 'p1.nii.gz'}" in said


def test_nothing_is_replaced(tmp_path: Path) -> None:
    write_images(tmp_path / "p1", Study(lambda k, t: {"TriggerTime": 40 * t}))
    (tmp_path / "p1.nii").write_text("mine")
    with pytest.raises(InputError, match=r"p1\.nii: the file exists already. Fix: name another file"):
        convert_dicom(str(tmp_path / "p1"), str(tmp_path / "p1.nii"))
    assert (tmp_path / "p1.nii").read_text() == "mine"


def test_a_target_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"p1\.mha: only NIfTI is written. Fix: end its name in \.nii"):
        convert_dicom(str(tmp_path / "nowhere"), str(tmp_path / "p1.mha"))


def test_a_folder_that_takes_no_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    write_images(tmp_path / "p1", Study(lambda k, t: {"TriggerTime": 40 * t}))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"p1\.nii: it cannot be written \(.*Fix: name a file in a folder"):
        convert_dicom(str(tmp_path / "p1"), str(tmp_path / "file" / "p1.nii"))
