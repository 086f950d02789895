# SPDX-License-Identifier: Apache-2.0
"""The package's readers inside MONAI's ``LoadImage``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from monai.transforms import LoadImaged

from cardiac4d.geometry import TimeAxis
from cardiac4d.io import SequenceReader
from tests.helpers.dicom_studies import Study, write_images
from tests.helpers.sequences import AFFINES, noise, write_nifti


def test_a_dicom_study_loads_with_time_first(tmp_path: Path) -> None:
    study = Study(lambda k, t: {"TriggerTime": 40 * t, "NominalInterval": 120, "InstanceNumber": 100 - t})
    write_images(tmp_path / "p1", study)
    load = LoadImaged("image", reader="cardiac4d.io.SequenceReader", ensure_channel_first=True, full_cycle=True)
    image = load({"image": str(tmp_path / "p1")})["image"]
    np.testing.assert_array_equal(image.numpy(), np.moveaxis(study.voxels.astype(np.float32) - 1024, -1, 0))
    np.testing.assert_allclose(image.affine.numpy(), study.affine())
    time = TimeAxis.from_meta(image.meta)
    assert time.full_cycle
    assert (time.frame_times_ms.tolist(), time.cycle_length_ms) == ([0, 40, 80], 120)


def test_options_choose_within_the_study(tmp_path: Path) -> None:
    study = Study(lambda k, t: {"TriggerTime": 40 * t, "EchoNumbers": 9 - t})
    write_images(tmp_path / "p1", study)
    load = LoadImaged("image", reader=SequenceReader(phase_key="EchoNumbers"))
    first = load({"image": str(tmp_path / "p1")})["image"][..., 0]
    np.testing.assert_array_equal(first.numpy(), study.voxels[..., 2].astype(np.float32) - 1024)


def test_the_time_step_of_nifti_is_kept(tmp_path: Path) -> None:
    voxels = noise((4, 5, 3, 2))
    path = write_nifti(tmp_path / "a.nii.gz", voxels, AFFINES["oblique"], step=0.043)
    image = LoadImaged("image", reader="cardiac4d.io.SequenceReader")({"image": str(path)})["image"]
    np.testing.assert_array_equal(image.numpy(), voxels.astype(np.float32))
    np.testing.assert_allclose(image.affine.numpy(), AFFINES["oblique"], atol=1e-6)
    np.testing.assert_allclose(image.meta["frame_times_ms"], [0, 43], atol=1e-4)


def test_suffixes_tell_what_is_read(tmp_path: Path) -> None:
    write_images(tmp_path / "p1", Study(lambda k, t: {"TriggerTime": t}))
    (tmp_path / "notes.txt").write_text("notes")
    reader = SequenceReader()
    assert reader.verify_suffix(str(write_nifti(tmp_path / "a.nii.gz", noise((4, 5, 3, 2)))))
    assert reader.verify_suffix((str(tmp_path / "p1"),))
    assert not reader.verify_suffix(str(tmp_path / "notes.txt"))
