# SPDX-License-Identifier: Apache-2.0
"""Writing sequences: header, atomicity, refusal to overwrite."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.geometry import TimeAxis
from cardiac4d.io import NiftiSequence, write_sequence
from tests.helpers.sequences import AFFINES, noise

SHAPE = (6, 5, 4, 3)
TIME = TimeAxis.uniform(3, 43.5, unit="msec", offset=7.0)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_header_holds_affine_time_and_units(tmp_path: Path, affine: np.ndarray) -> None:
    voxels = noise(SHAPE)
    image = nib.load(write_sequence(tmp_path / "new" / "a.nii.gz", voxels, affine, TIME, sform_code=2, qform_code=3))
    np.testing.assert_array_equal(np.asarray(image.dataobj), voxels)
    np.testing.assert_array_equal(image.affine, affine.astype(np.float32))
    np.testing.assert_allclose(image.get_qform(), affine, atol=1e-5)
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (2, 3)
    assert image.header.get_xyzt_units() == ("mm", "msec")
    assert float(image.header["pixdim"][4]) == 43.5
    assert float(image.header["toffset"]) == 7.0
    assert image.header.get_slope_inter() == (None, None)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_voxel_type_is_kept(tmp_path: Path, dtype: str) -> None:
    voxels = (noise(SHAPE) % 100).astype(dtype)
    image = nib.load(write_sequence(tmp_path / "a.nii", voxels, np.eye(4), TIME))
    assert image.get_data_dtype() == np.dtype(dtype)
    np.testing.assert_array_equal(np.asarray(image.dataobj), voxels)


def test_sheared_affine_is_exact_in_the_sform_and_has_no_qform(tmp_path: Path) -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.25
    image = nib.load(write_sequence(tmp_path / "a.nii", noise(SHAPE), sheared, TIME))
    np.testing.assert_array_equal(image.affine, sheared)
    assert int(image.header["qform_code"]) == 0
    np.testing.assert_array_equal(NiftiSequence(tmp_path / "a.nii").grid.affine, sheared)


def test_unknown_codes_become_scanner_space(tmp_path: Path) -> None:
    path = write_sequence(tmp_path / "a.nii", noise(SHAPE), AFFINES["flipped"], TIME, sform_code=0, qform_code=0)
    np.testing.assert_array_equal(nib.load(path).affine, AFFINES["flipped"].astype(np.float32))


def test_frames_that_are_not_equally_spaced_get_step_zero(tmp_path: Path) -> None:
    uneven = TimeAxis.uniform(9, 0.1).select([0, 3, 8])
    assert float(nib.load(write_sequence(tmp_path / "a.nii", noise(SHAPE), np.eye(4), uneven)).header["pixdim"][4]) == 0


def test_existing_file_is_kept_unless_told(tmp_path: Path) -> None:
    path = write_sequence(tmp_path / "a.nii", noise(SHAPE), np.eye(4), TIME)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"a\.nii: the file exists already"):
        write_sequence(path, noise(SHAPE, seed=1), np.eye(4), TIME)
    assert path.read_bytes() == before
    write_sequence(path, noise(SHAPE, seed=1), np.eye(4), TIME, overwrite=True)
    assert path.read_bytes() != before


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(image: nib.Nifti1Image, path: Path) -> None:
        path.write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(nib, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_sequence(tmp_path / "a.nii.gz", noise(SHAPE), np.eye(4), TIME)
    assert list(tmp_path.iterdir()) == []


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    first, second = (write_sequence(tmp_path / f"{n}.nii.gz", noise(SHAPE), np.eye(4), TIME) for n in "ab")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("name", "voxels", "message"),
    [
        ("a.nrrd", noise(SHAPE), "`path` must end in"),
        ("a.nii", noise((6, 5, 4)), r"`voxels` must be \(H, W, D, 3\)"),
        ("a.nii", noise((6, 5, 4, 2)), r"`voxels` must be \(H, W, D, 3\)"),
        ("a.nii", noise(SHAPE).astype(np.int64), "`voxels` must be one of uint8"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(tmp_path: Path, name: str, voxels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_sequence(tmp_path / name, voxels, np.eye(4), TIME)
