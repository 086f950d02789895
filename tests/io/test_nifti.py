# SPDX-License-Identifier: Apache-2.0
"""Reading sequences frame by frame, and refusing what is not one."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.io import NiftiSequence, case_stem, nifti
from tests.helpers.sequences import AFFINES, noise, write_nifti

SHAPE = (6, 5, 4, 3)
ACDC = Path(__file__).resolve().parents[2] / "../shared/data/acdc_cine"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_frames_affine_and_time_come_as_they_are(tmp_path: Path, suffix: str) -> None:
    voxels = noise(SHAPE)
    path = write_nifti(tmp_path / f"a{suffix}", voxels, AFFINES["oblique"], step=43.5, unit="msec", toffset=7.0)
    source = NiftiSequence(path)
    np.testing.assert_array_equal(np.stack(list(source.frames()), axis=-1), voxels)
    np.testing.assert_array_equal(source.frame(1), voxels[..., 1])
    np.testing.assert_array_equal(source.grid.affine, nib.load(path).affine)
    np.testing.assert_allclose(source.time_axis().frame_times_ms, [7.0, 50.5, 94.0])
    assert source.frame(0).dtype == np.int16
    assert source.header_meta() == {"sform_code": 1, "qform_code": 1, "space_unit": "mm"}


def test_scaled_voxels_are_scaled(tmp_path: Path) -> None:
    image = nib.Nifti1Image(noise(SHAPE), AFFINES["plain"])
    image.header.set_slope_inter(2.0, -1024.0)
    nib.save(image, tmp_path / "a.nii")
    stored = nib.load(tmp_path / "a.nii").get_fdata()
    np.testing.assert_allclose(NiftiSequence(tmp_path / "a.nii").frame(2), stored[..., 2])


def test_compressed_file_is_decompressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = NiftiSequence(write_nifti(tmp_path / "a.nii.gz", noise((16, 16, 16, 8))))
    rewinds = []
    rewind = gzip._GzipReader._rewind  # type: ignore[attr-defined]
    monkeypatch.setattr(gzip._GzipReader, "_rewind", lambda self: rewinds.append(1) or rewind(self))  # type: ignore[attr-defined]
    assert len(list(source.frames())) == 8
    assert not rewinds
    source.frame(0)
    assert rewinds, "the test looks at the wrong function"


@pytest.mark.parametrize(("shape", "num_frames"), [((4, 5, 6, 3, 1), 3), ((4, 5, 6, 1, 3), 3), ((4, 5, 6, 1, 1), 1)])
def test_five_axes_with_a_singleton_are_a_sequence(tmp_path: Path, shape: tuple[int, ...], num_frames: int) -> None:
    voxels = noise(shape)
    source = NiftiSequence(write_nifti(tmp_path / "a.nii", voxels))
    assert (source.grid.shape, source.num_frames) == ((4, 5, 6), num_frames)
    expected = voxels.reshape(4, 5, 6, num_frames)
    np.testing.assert_array_equal(np.stack(list(source.frames()), axis=-1), expected)
    assert np.isnan(source.time_axis().frame_duration_ms) == (shape[4] == 3)


def test_one_frame_with_four_axes_is_a_sequence(tmp_path: Path) -> None:
    header = nib.Nifti1Image(noise((4, 5, 6, 1)), np.eye(4)).header
    assert header["dim"][0] == 4
    assert NiftiSequence(write_nifti(tmp_path / "a.nii", noise((4, 5, 6, 1)))).num_frames == 1


UNIT_SFORM = np.array([[-1.0, 0, 0, 100], [0, -1.0, 0, 50], [0, 0, 1.0, 7], [0, 0, 0, 1]])
OBLIQUE_UNIT_SFORM = AFFINES["oblique"] @ np.diag(1 / np.array([0.7, 0.7, 1.9, 1.0]))
ZOOMS = (1.5625, 1.5625, 10.0)


def _bad_sform(path: Path, sform: np.ndarray = UNIT_SFORM, qform: np.ndarray | None = None) -> Path:
    """A right pixdim beside an sform of unit scale, as in published cine-MR files."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(SHAPE)
    header.set_zooms((*ZOOMS, 1.0))
    if qform is not None:
        header.set_qform(qform, code=1)
    header.set_sform(sform, code=2)
    nib.save(nib.Nifti1Image(noise(SHAPE), None, header), path)
    return path


def test_sform_that_contradicts_pixdim_is_replaced_by_a_qform_that_is_in_use(tmp_path: Path) -> None:
    qform = np.array([[1.5625, 0, 0, -3], [0, -1.5625, 0, 4], [0, 0, -10.0, 5], [0, 0, 0, 1]])
    path = _bad_sform(tmp_path / "a.nii", qform=qform)
    np.testing.assert_array_equal(nib.load(path).affine, UNIT_SFORM)
    np.testing.assert_allclose(NiftiSequence(path).grid.affine, qform, atol=1e-5)


@pytest.mark.parametrize("sform", [UNIT_SFORM, OBLIQUE_UNIT_SFORM], ids=["straight", "oblique"])
def test_without_a_qform_the_sform_keeps_directions_and_origin_and_takes_the_spacing_of_pixdim(
    tmp_path: Path, sform: np.ndarray
) -> None:
    source = NiftiSequence(_bad_sform(tmp_path / "a.nii", sform))
    assert source.header_meta()["qform_code"] == 0
    np.testing.assert_allclose(source.grid.affine, sform @ np.diag([*ZOOMS, 1.0]), rtol=1e-6)


def test_a_qform_that_says_nothing_does_no_harm(tmp_path: Path) -> None:
    path = _bad_sform(tmp_path / "a.nii")
    header = nib.load(path).header
    header["quatern_b"] = header["quatern_c"] = 5.0  # no rotation, but nothing refers to it
    nib.save(nib.Nifti1Image(noise(SHAPE), None, header), path)
    np.testing.assert_allclose(NiftiSequence(path).grid.affine, UNIT_SFORM @ np.diag([*ZOOMS, 1.0]))


@pytest.mark.parametrize(
    ("qform", "remedy"), [(None, "scaled to pixdim"), (np.diag([*ZOOMS, 1.0]), "the qform, which agrees with pixdim")]
)
def test_the_repair_is_announced_once(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    qform: np.ndarray | None,
    remedy: str,
) -> None:
    monkeypatch.setattr(nifti, "_announced", set())
    with caplog.at_level(logging.WARNING):
        for name in ("a.nii", "b.nii"):
            NiftiSequence(_bad_sform(tmp_path / name, qform=qform))
    assert len(caplog.records) == 1
    assert "a.nii" in caplog.text
    assert remedy in caplog.text


@pytest.mark.parametrize("name", ["missing.nii.gz", "folder.nii", "notes.txt"])
def test_what_is_no_nifti_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(InputError, match=name):
        NiftiSequence(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"no header", bytes(400)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_that_only_looks_like_nifti_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"a{suffix}: the header cannot be read as NIfTI"):
        NiftiSequence(path)


def test_a_truncated_file_is_refused_at_once(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", noise((16, 16, 16, 6)))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        InputError, match=rf"a\.nii: it has {size - 1} bytes, but its header announces {size}.*truncated"
    ):
        NiftiSequence(path)


def test_a_file_may_be_longer_than_its_header_announces(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", noise((4, 4, 4, 6)))
    path.write_bytes(path.read_bytes() + b"end")
    assert len(list(NiftiSequence(path).frames())) == 6


def test_a_truncated_compressed_file_is_refused_by_name_and_frame(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", noise((16, 16, 16, 6)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    source = NiftiSequence(path)
    source.frame(0)
    with pytest.raises(InputError, match=r"a\.nii\.gz: frame \d of 6 cannot be read, the file is truncated"):
        list(source.frames())


def test_a_damaged_gzip_stream_is_refused(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", noise((16, 16, 16, 6)) // 500)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = b"\xff" * 200
    path.write_bytes(content)
    with pytest.raises(InputError, match="truncated or damaged"):
        list(NiftiSequence(path).frames())


def test_a_3d_file_is_refused_with_the_way_to_4d(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a 3D image \(6, 5, 4\), but a 4D sequence .*pattern such as"):
        NiftiSequence(write_nifti(tmp_path / "a.nii", noise((6, 5, 4))))


@pytest.mark.parametrize("shape", [(4, 5, 6, 3, 2), (4, 5, 6, 1, 3, 2)])
def test_axes_beyond_space_and_time_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="space and time axes only"):
        NiftiSequence(write_nifti(tmp_path / "a.nii", noise(shape)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_refused_by_frame(tmp_path: Path, value: float) -> None:
    voxels = noise(SHAPE).astype(np.float32)
    voxels[1, 2, 3, 2] = value
    source = NiftiSequence(write_nifti(tmp_path / "a.nii.gz", voxels))
    source.frame(1)
    with pytest.raises(InputError, match=r"a\.nii\.gz: frame 2 holds 1 NaN or infinite"):
        source.frame(2)


@pytest.mark.parametrize(("unit", "message"), [("hz", "not time"), ("ppm", "not time")])
def test_a_fourth_axis_that_is_not_time_is_refused(tmp_path: Path, unit: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        NiftiSequence(write_nifti(tmp_path / "a.nii", noise(SHAPE), unit=unit))


@pytest.mark.parametrize("unit", ["meter", "micron"])
def test_space_in_other_units_is_refused(tmp_path: Path, unit: str) -> None:
    image = nib.Nifti1Image(noise(SHAPE), np.eye(4))
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(InputError, match=f"space is in {unit}"):
        NiftiSequence(tmp_path / "a.nii")


def test_complex_voxels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="complex64"):
        NiftiSequence(write_nifti(tmp_path / "a.nii", np.zeros(SHAPE, dtype=np.complex64)))


def test_a_singular_affine_is_refused(tmp_path: Path) -> None:
    header = nib.load(write_nifti(tmp_path / "a.nii", noise(SHAPE))).header
    header["srow_y"], header["srow_x"] = (0, 0, 0, 0), (0.8, 0.8, 0, 0)
    nib.save(nib.Nifti1Image(noise(SHAPE), None, header), tmp_path / "a.nii")
    with pytest.raises(InputError, match="affine is singular"):
        NiftiSequence(tmp_path / "a.nii")


def test_an_sform_without_extent_is_refused_not_scaled(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="affine is singular"):
        NiftiSequence(_bad_sform(tmp_path / "a.nii", np.diag([1.0, 0.0, 1.0, 1.0])))


def test_frame_index_outside_is_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`index` must lie in 0\.\.2"):
        NiftiSequence(write_nifti(tmp_path / "a.nii", noise(SHAPE))).frame(3)


@pytest.mark.skipif(not ACDC.is_dir(), reason="real cine data are not here")
def test_real_cine_with_a_bad_sform_gets_its_spacing_and_keeps_its_directions() -> None:
    path = ACDC / "patient001_4d.nii.gz"
    scaled = nib.load(path).affine @ np.diag([*ZOOMS, 1.0])
    np.testing.assert_allclose(NiftiSequence(path).grid.affine, scaled)


@pytest.mark.parametrize(
    ("name", "stem"),
    {
        "deep/a.nii": "a",
        "a.nii.gz": "a",
        "a.NII.GZ": "a",
        "a.nii_x.nii.gz": "a.nii_x",
        "a.nii.nii.gz": "a.nii",
        "a.gz": "a.gz",
    }.items(),
)
def test_a_stem_loses_the_suffix_at_the_end_of_the_name_only(name: str, stem: str) -> None:
    assert case_stem(name) == case_stem(Path(name)) == stem


def test_an_sform_beside_another_qform_is_used_and_announced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nifti, "_announced", set())
    image = nib.load(write_nifti(tmp_path / "a.nii", noise(SHAPE), AFFINES["oblique"]))
    image.set_qform(AFFINES["oblique"] + np.eye(4, k=3) * 9.0, code=1)
    nib.save(image, tmp_path / "b.nii")
    with caplog.at_level(logging.WARNING):
        NiftiSequence(tmp_path / "a.nii")
        assert caplog.records == []
        np.testing.assert_array_equal(NiftiSequence(tmp_path / "b.nii").grid.affine, image.affine)
    assert "b.nii: sform and qform place voxels up to 9 mm apart; the sform is used." in caplog.text


def test_a_qform_that_is_no_rotation_is_refused(tmp_path: Path) -> None:
    header = nib.load(write_nifti(tmp_path / "a.nii", noise(SHAPE))).header
    header["quatern_b"] = 5.0
    nib.save(nib.Nifti1Image(noise(SHAPE), None, header), tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"a\.nii: qform: the qform is no rotation"):
        NiftiSequence(tmp_path / "a.nii")


def test_absurd_dimensions_of_a_compressed_file_are_refused_at_once(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((900, 900, 900, 20))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(1000)))
    with pytest.raises(InputError, match=r"a\.nii\.gz: its header announces 29160000000 bytes.*cannot hold"):
        NiftiSequence(tmp_path / "a.nii.gz")
