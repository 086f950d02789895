# SPDX-License-Identifier: Apache-2.0
"""Loading labels: the 255 convention after resampling, dense truth, agreement with the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose

from cardiac4d.errors import InputError
from cardiac4d.io import LabelConvention
from cardiac4d.transforms import LoadSequenced, LoadSparseLabels, LoadSparseLabelsd
from tests.helpers.sequences import AFFINES, ball_labels, noise, write_nifti

SHAPE = (10, 10, 6, 4)
AFFINE = AFFINES["left_handed"]


@pytest.fixture
def entry(tmp_path: Path) -> dict[str, Any]:
    truth = ball_labels(SHAPE, (0, 1, 2, 3))
    return {
        "id": "case",
        "image": str(write_nifti(tmp_path / "image.nii.gz", noise(SHAPE), AFFINE)),
        "label": str(write_nifti(tmp_path / "label.nii.gz", ball_labels(SHAPE, (1, 3)), AFFINE)),
        "truth": str(write_nifti(tmp_path / "truth.nii.gz", truth, AFFINE)),
        "labeled_frames": [1, 3],
        "label_map": {1: 1, 2: 2},
        "empty_frames_are_unlabeled": False,
    }


def test_labels_on_the_study_grid_are_those_of_the_file(entry: dict[str, Any]) -> None:
    label = LoadSparseLabelsd("label", spacing_mm=None, orientation=None)(entry)["label"]
    assert label.dtype == torch.uint8
    np.testing.assert_array_equal(label.numpy(), np.moveaxis(ball_labels(SHAPE, (1, 3)), -1, 0))


def test_resampled_labels_lie_on_the_grid_of_the_image_and_keep_the_convention(entry: dict[str, Any]) -> None:
    grid = {"spacing_mm": (1.0, 0.7, 1.5), "orientation": "RAS"}
    loaded = Compose([LoadSequenced("image", **grid), LoadSparseLabelsd(("label", "truth"), **grid)])(entry)
    assert loaded["label"].shape == loaded["image"].shape == loaded["truth"].shape
    torch.testing.assert_close(loaded["label"].affine, loaded["image"].affine)
    for frame, values in enumerate([{255}, {0, 1, 2}, {255}, {0, 1, 2}]):
        assert set(loaded["label"][frame].unique().tolist()) == values
    assert (loaded["truth"] != 255).all()
    assert set(loaded) == {"id", "image", "label", "truth"}


def test_labeled_frames_do_not_apply_to_dense_truth_but_the_map_does(entry: dict[str, Any], tmp_path: Path) -> None:
    acdc = np.array([1, 3, 2], np.uint8)[ball_labels(SHAPE, (0, 1, 2, 3))]
    sparse = np.full_like(acdc, 255)
    sparse[..., [1, 3]] = acdc[..., [1, 3]]
    entry["truth"] = str(write_nifti(tmp_path / "acdc.nii", acdc, AFFINE))
    entry["label"] = str(write_nifti(tmp_path / "sparse.nii", sparse, AFFINE))
    entry["label_map"] = {3: 1, 2: 2, 1: 0}
    loaded = LoadSparseLabelsd(("label", "truth"), spacing_mm=None, orientation=None)(entry)
    np.testing.assert_array_equal(loaded["truth"].numpy(), np.moveaxis(ball_labels(SHAPE, (0, 1, 2, 3)), -1, 0))
    np.testing.assert_array_equal(loaded["label"].numpy(), np.moveaxis(ball_labels(SHAPE, (1, 3)), -1, 0))


@pytest.mark.parametrize("image_first", [True, False])
def test_the_frames_of_the_image_are_loaded(entry: dict[str, Any], image_first: bool) -> None:
    steps = [LoadSequenced("image"), LoadSparseLabelsd("label")]
    entry["frames"] = [3]
    loaded = Compose(steps)(entry) if image_first else steps[1](entry)
    assert len(loaded["label"]) == 1
    assert set(loaded["label"].unique().tolist()) == {0, 1, 2}
    assert "frames" not in loaded


def test_a_sequence_said_to_be_unlabelled_is_all_255(entry: dict[str, Any], tmp_path: Path) -> None:
    entry["label"] = str(write_nifti(tmp_path / "zeros.nii", np.zeros(SHAPE, np.uint8), AFFINE))
    entry["labeled_frames"] = []
    assert (LoadSparseLabelsd("label")(entry)["label"] == 255).all()


def test_a_label_without_annotated_frame_is_refused(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "label.nii", ball_labels(SHAPE, ()))
    with pytest.raises(InputError, match=r"label\.nii: no annotated frame.*labeled_frames"):
        LoadSparseLabels()(path)


@pytest.mark.parametrize("image_loaded", [True, False])
@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((10, 10, 6, 3), AFFINE, r"its shape \(10, 10, 6, 3\) differs from \(10, 10, 6, 4\)"),
        ((10, 9, 6, 4), AFFINE, r"its shape \(10, 9, 6, 4\) differs"),
        (SHAPE, AFFINES["flipped"], r"its affine places voxels up to \S+ mm"),
    ],
)
def test_labels_that_do_not_fit_the_image_are_refused_by_both_names(
    entry: dict[str, Any], tmp_path: Path, image_loaded: bool, shape: Any, affine: np.ndarray, message: str
) -> None:
    entry["label"] = str(write_nifti(tmp_path / "other.nii", ball_labels(shape, (1,)), affine))
    entry["labeled_frames"] = [1]
    data = LoadSequenced("image")(entry) if image_loaded else entry
    with pytest.raises(InputError, match=rf"other\.nii: {message}.*image\.nii\.gz"):
        LoadSparseLabelsd("label")(data)


def test_bad_labels_are_refused_while_loading(entry: dict[str, Any], tmp_path: Path) -> None:
    labels = ball_labels(SHAPE, (1, 3)).astype(np.float32)
    labels[0, 0, 0, 3] = 1.5
    path = write_nifti(tmp_path / "soft.nii", labels, AFFINE)
    with pytest.raises(InputError, match=r"soft\.nii: frame 3 holds the non-integer label 1\.5"):
        LoadSparseLabels()(path, LabelConvention())


def test_the_inverse_returns_labels_to_the_study_grid(entry: dict[str, Any]) -> None:
    """Twice as fine and back is exact with nearest neighbour."""
    load = LoadSparseLabelsd("label", spacing_mm=(0.25, 0.25, 1.0))
    restored = load.inverse(load(entry))["label"]
    np.testing.assert_array_equal(restored.numpy(), np.moveaxis(ball_labels(SHAPE, (1, 3)), -1, 0))
    np.testing.assert_array_equal(restored.affine.numpy(), AFFINE)
