# SPDX-License-Identifier: Apache-2.0
"""Saving: layouts, names, voxel types, refusals."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from cardiac4d.errors import InputError
from cardiac4d.transforms import LoadSequence, SaveSequence, SaveSequenced, TimeLast
from tests.helpers.sequences import AFFINES, noise, write_nifti

SHAPE = (5, 4, 3, 6)


@pytest.fixture
def image(tmp_path: Path) -> MetaTensor:
    path = write_nifti(tmp_path / "study.01.nii.gz", noise(SHAPE), AFFINES["oblique"], step=43.5, unit="msec")
    return LoadSequence(None, None)(path)


def _labels(image: MetaTensor) -> MetaTensor:
    labels = MetaTensor(torch.arange(float(image.numel())).view(image.shape) % 3, meta=image.meta)
    return labels


@pytest.mark.parametrize("time_last", [False, True])
def test_both_layouts_give_the_same_file(image: MetaTensor, tmp_path: Path, time_last: bool) -> None:
    labels = _labels(image)
    saved = SaveSequence(tmp_path / "out")(TimeLast()(labels) if time_last else labels)
    written = nib.load(tmp_path / "out/study.01_seg.nii.gz")
    assert saved.meta["saved_to"] == str(tmp_path / "out/study.01_seg.nii.gz")
    assert (written.shape, written.get_data_dtype()) == (SHAPE, np.uint8)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.moveaxis(labels.numpy(), 0, -1))
    assert written.header.get_xyzt_units() == ("mm", "msec")
    assert float(written.header["pixdim"][4]) == 43.5
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "study.01.nii.gz").affine)


def test_the_id_of_the_entry_names_the_file(image: MetaTensor, tmp_path: Path) -> None:
    SaveSequenced("pred", tmp_path, postfix="", extension=".nii")({"id": "case7", "pred": _labels(image)})
    assert (tmp_path / "case7.nii").is_file()


def test_soft_values_are_saved_as_float_and_never_rounded(image: MetaTensor, tmp_path: Path) -> None:
    soft = MetaTensor(torch.rand(image.shape), meta=image.meta)
    with pytest.raises(ValueError, match="values that uint8 cannot"):
        SaveSequence(tmp_path)(soft)
    SaveSequence(tmp_path, output_dtype="float32")(soft)
    saved = np.asarray(nib.load(tmp_path / "study.01_seg.nii.gz").dataobj)
    np.testing.assert_array_equal(saved, np.moveaxis(soft.numpy(), 0, -1))


@pytest.mark.parametrize("value", [-1.0, 256.0])
def test_values_outside_the_type_are_refused(image: MetaTensor, tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="values that uint8 cannot"):
        SaveSequence(tmp_path)(MetaTensor(torch.full(image.shape, value), meta=image.meta))


def test_an_existing_result_is_kept_unless_told(image: MetaTensor, tmp_path: Path) -> None:
    SaveSequence(tmp_path)(_labels(image))
    with pytest.raises(InputError, match=r"study\.01_seg\.nii\.gz: the file exists already"):
        SaveSequence(tmp_path)(_labels(image))
    SaveSequence(tmp_path, overwrite=True)(_labels(image))


@pytest.mark.parametrize("shape", [(3, 5, 4, 3, 6), (5, 4, 3)])
def test_several_channels_and_single_volumes_are_refused(
    image: MetaTensor, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="`img` must be"):
        SaveSequence(tmp_path)(MetaTensor(torch.zeros(shape), meta=image.meta))


def test_a_name_that_leaves_the_folder_is_refused(image: MetaTensor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`name` must be a plain file name"):
        SaveSequence(tmp_path / "out")(_labels(image), "../study")
