# SPDX-License-Identifier: Apache-2.0
"""The three ways in which MONAI 1.6 spoils 4D data silently: we do not, and it still does.

A test that says "still" fails when upstream has mended its side: then drop it, and reconsider our own code beside it.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage, SaveImage, Spacing

from cardiac4d.transforms import LoadSequence, SaveSequence, TimeLast
from tests.helpers.sequences import noise, write_nifti

FRAME_VALUES = np.arange(5, dtype=np.int16)
AFFINE = np.array([[0.5, 0, 0, 50], [0, 0.5, 0, 60], [0, 0, 2, 30], [0, 0, 0, 1.0]])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Frame t is t everywhere."""
    voxels = np.broadcast_to(FRAME_VALUES, (16, 16, 6, 5)).copy()
    return write_nifti(tmp_path / "study.nii.gz", voxels, AFFINE, step=0.043, toffset=0.1)


def test_resampling_keeps_frames_apart(study: Path) -> None:
    loaded = TimeLast()(LoadSequence((1.0, 1.0, 1.0))(study))
    for frame in FRAME_VALUES:
        torch.testing.assert_close(loaded[..., frame].unique().mean().item(), float(frame))
        assert loaded[..., frame].std() < 1e-6


def test_monai_spacing_still_scrambles_sequences_with_time_last() -> None:
    x = torch.arange(5.0).view(1, 1, 1, 1, 5).expand(1, 16, 16, 16, 5).contiguous()
    resampled = Spacing((2.0, 2.0, 2.0), mode="bilinear")(MetaTensor(x, affine=torch.eye(4)))
    assert len(torch.unique(resampled[..., 0].as_tensor())) > 1, "mended upstream: frame 0 holds 0 alone"


def test_loading_keeps_the_time_step(study: Path) -> None:
    meta = LoadSequence()(study).meta
    assert meta["frame_duration_ms"] == pytest.approx(43.0)
    assert meta["time_step"] == pytest.approx(0.043)


def test_monai_reader_still_destroys_the_time_step(study: Path) -> None:
    pixdim = LoadImage(image_only=True)(study).meta["pixdim"]
    assert float(pixdim[4]) == pytest.approx(np.linalg.norm([50, 60, 30, 1]), rel=1e-3), "mended upstream"


@pytest.mark.parametrize("time_last", [True, False])
def test_saving_writes_every_frame_with_its_step(study: Path, tmp_path: Path, time_last: bool) -> None:
    image = LoadSequence(None, None)(study)
    SaveSequence(tmp_path / "out")(TimeLast()(image) if time_last else image)
    saved = nib.load(tmp_path / "out/study_seg.nii.gz")
    np.testing.assert_array_equal(np.asarray(saved.dataobj)[3, 3, 3], FRAME_VALUES)
    assert saved.header.get_zooms()[3] == pytest.approx(0.043)
    assert saved.header.get_xyzt_units() == ("mm", "sec")
    assert float(saved.header["toffset"]) == pytest.approx(0.1)


def test_monai_saver_still_drops_all_frames_but_the_first(tmp_path: Path) -> None:
    pred = MetaTensor(torch.from_numpy(noise((4, 4, 4, 3)))[None], meta={"filename_or_obj": "pred.nii.gz"})
    SaveImage(output_dir=tmp_path, resample=False, separate_folder=False, print_log=False)(pred)
    (path,) = tmp_path.glob("*.nii.gz")
    assert nib.load(path).shape == (4, 4, 4), "mended upstream: the file holds 3 frames"
