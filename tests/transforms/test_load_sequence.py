# SPDX-License-Identifier: Apache-2.0
"""Loading images: layout, metadata, choice of frames, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImage, Orientation, Spacing

from cardiac4d.errors import InputError
from cardiac4d.geometry import Grid, TimeAxis, plan_grid
from cardiac4d.transforms import LoadSequence, LoadSequenced
from tests.helpers.sequences import AFFINES, noise, write_nifti

SHAPE = (9, 8, 6, 5)
SPACING = (1.1, 1.2, 1.3)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_nifti(tmp_path / "study.nii.gz", noise(SHAPE), AFFINES["oblique_left_handed"], toffset=0.5)


def test_native_loading_gives_the_voxels_of_the_file_time_first(study: Path) -> None:
    image = LoadSequence(None, None)(study)
    assert (tuple(image.shape), image.dtype) == ((5, 9, 8, 6), torch.float32)
    np.testing.assert_array_equal(image.numpy(), np.moveaxis(noise(SHAPE), -1, 0))
    np.testing.assert_array_equal(image.affine.numpy(), AFFINES["oblique_left_handed"].astype(np.float32))


def test_each_frame_is_what_monai_makes_of_it_alone(tmp_path: Path) -> None:
    """Axis-aligned: MONAI centres the grid instead where an affine is oblique and rounded to float32."""
    study = write_nifti(tmp_path / "study.nii", noise(SHAPE), AFFINES["left_handed"])
    image = LoadSequence(SPACING, anti_aliasing=False)(study)
    for index in range(SHAPE[3]):
        path = write_nifti(tmp_path / f"{index}.nii", noise(SHAPE)[..., index], AFFINES["left_handed"])
        alone = Compose(
            [
                LoadImage(ensure_channel_first=True, image_only=True),
                Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
                Spacing(SPACING),
            ]
        )(path)
        torch.testing.assert_close(image[index].as_tensor(), alone[0].as_tensor(), atol=2e-2, rtol=0)
        torch.testing.assert_close(image.affine, alone.affine, atol=1e-5, rtol=0)


def test_metadata_holds_grid_and_time(study: Path) -> None:
    meta = LoadSequence(SPACING)(study, full_cycle=True).meta
    assert meta["filename_or_obj"] == str(study)
    assert meta["spatial_shape"].tolist() == [9, 8, 6]
    np.testing.assert_allclose(meta["original_affine"], AFFINES["oblique_left_handed"], atol=1e-6)
    np.testing.assert_allclose(meta["frame_times_ms"], 500 + 43.0 * np.arange(5), rtol=1e-6)
    assert meta["frame_duration_ms"] == pytest.approx(43)
    assert meta["cycle_length_ms"] == pytest.approx(215)
    assert meta["full_cycle"] is True


def test_chosen_frames_keep_their_times(study: Path) -> None:
    image = LoadSequenced("image", None, None)({"image": study, "frames": [1, 4]})["image"]
    np.testing.assert_array_equal(image.numpy(), np.moveaxis(noise(SHAPE), -1, 0)[[1, 4]])
    np.testing.assert_allclose(image.meta["frame_times_ms"], [543, 672], rtol=1e-6)
    assert image.meta["frame_indices"].tolist() == [1, 4]


def test_the_dictionary_twin_uses_the_entry_and_leaves_it_as_it_was(study: Path) -> None:
    entry = {"image": str(study), "frames": [0, 1], "full_cycle": True, "id": "x"}
    before = dict(entry)
    loaded = LoadSequenced()(entry)
    assert entry == before
    assert set(loaded) == {"image", "full_cycle", "id"}
    assert TimeAxis.from_meta(loaded["image"].meta).source_full_cycle


def test_a_frame_that_does_not_exist_is_refused(study: Path) -> None:
    with pytest.raises(InputError, match=r"study\.nii\.gz: frames: frame 5 of \[1, 5\].*subtract 1"):
        LoadSequence()(study, [1, 5])


def test_missing_keys_are_an_error_unless_allowed(study: Path) -> None:
    assert LoadSequenced("image", allow_missing_keys=True)({"id": "x"}) == {"id": "x"}
    with pytest.raises(KeyError, match="image"):
        LoadSequenced("image")({"id": "x"})


def test_big_endian_and_unsigned_voxels_are_loaded(tmp_path: Path) -> None:
    voxels = (noise(SHAPE) % 1000).astype(">u2")
    image = LoadSequence(None, None)(write_nifti(tmp_path / "a.nii", voxels))
    np.testing.assert_array_equal(image.numpy(), np.moveaxis(voxels.astype(np.float32), -1, 0))


@pytest.mark.parametrize("spacing", [(1, 1), (0, 1, 1)])
def test_bad_arguments_are_refused_before_anything_is_loaded(spacing: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`spacing_mm`"):
        LoadSequence(spacing)


def test_inverse_returns_a_ramp_to_the_native_grid(tmp_path: Path) -> None:
    """Up and down again is exact for a linear function, except where the border is clamped."""
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32)[:, None, None, None], (20, 12, 12, 2))
    path = write_nifti(tmp_path / "a.nii", ramp.copy(), AFFINES["flipped"])
    load = LoadSequence((0.5, 0.6, 0.7), anti_aliasing=False)
    back = load.inverse(load(path))
    np.testing.assert_allclose(back.numpy()[0, 1:-1], ramp[1:-1, ..., 0], atol=1e-4)


def test_inverse_takes_any_number_of_channels_and_keeps_integers(study: Path) -> None:
    load = LoadSequence(SPACING)
    image = load(study)
    soft = MetaTensor(torch.rand(15, *image.shape[1:]), meta=image.meta, applied_operations=image.applied_operations)
    hard = MetaTensor(
        torch.randint(0, 3, image.shape).byte(), meta=image.meta, applied_operations=image.applied_operations
    )
    assert load.inverse(soft).shape == (15, 9, 8, 6)
    restored = load.inverse(hard)
    assert (restored.dtype, restored.applied_operations) == (torch.uint8, [])


def test_inverse_of_something_else_is_refused(study: Path) -> None:
    load = LoadSequence(SPACING)
    image = load(study)
    with pytest.raises(TypeError, match="`data` must be a MetaTensor"):
        load.inverse(image.as_tensor())
    with pytest.raises(ValueError, match="`data` must have spatial shape"):
        load.inverse(image[:, 1:])


def test_the_grid_is_that_of_geometry(study: Path) -> None:
    image = LoadSequence(SPACING, "LPS")(study)
    target = plan_grid(Grid(SHAPE[:3], AFFINES["oblique_left_handed"].astype(np.float32)), SPACING, "LPS").target
    assert tuple(image.shape[1:]) == target.shape
    np.testing.assert_allclose(image.affine.numpy(), target.affine, atol=1e-6)
