# SPDX-License-Identifier: Apache-2.0
"""From the file through the network's grid and back into a file, with MONAI's data loader in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader, Dataset, MetaTensor, PersistentDataset, decollate_batch
from monai.transforms import Compose, Invertd, RandFlipd, ScaleIntensityRanged, ScaleIntensityRangePercentilesd

from cardiac4d.geometry import TimeAxis
from cardiac4d.transforms import (
    LoadSequenced,
    LoadSparseLabelsd,
    RandCyclicShiftd,
    RandSparseCropd,
    SaveSequenced,
    TimeLastd,
)
from tests.helpers.sequences import AFFINES, ball_labels, noise, write_nifti

SHAPE = (14, 13, 8, 6)
KEYS = ("image", "label")


def _entry(folder: Path, affine: np.ndarray, name: str = "study", **header: Any) -> dict[str, Any]:
    image = write_nifti(folder / f"{name}.nii.gz", noise(SHAPE), affine, **header)
    label = write_nifti(folder / f"{name}_label.nii.gz", ball_labels(SHAPE, (0, 3)), affine, **header)
    return {"id": name, "image": str(image), "label": str(label), "labeled_frames": [0, 3], "full_cycle": True}


def _segment(image: torch.Tensor) -> torch.Tensor:
    """A stand-in for network and argmax: labels 0, 1, 2 without any metadata."""
    return (image.as_tensor() > -0.5).byte() + (image.as_tensor() > 0.5).byte()


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize(("unit", "step"), [("msec", 43.5), ("unknown", 1.0)])
def test_a_prediction_returns_to_the_exact_header_of_the_study(
    tmp_path: Path, affine: np.ndarray, unit: str, step: float
) -> None:
    entry = _entry(tmp_path, affine, step=step, unit=unit, toffset=0.25)
    pre = Compose([LoadSequenced("image"), TimeLastd("image"), ScaleIntensityRanged("image", -1024, 1024, -1, 1)])
    data = pre(entry)
    data["pred"] = MetaTensor(_segment(data["image"]))
    post = Compose([Invertd("pred", pre, orig_keys="image"), SaveSequenced("pred", tmp_path / "out")])
    pred = post(data)["pred"]
    written, study = nib.load(pred.meta["saved_to"]), nib.load(entry["image"])
    assert written.shape == study.shape
    np.testing.assert_array_equal(written.affine, study.affine)
    for field in ("pixdim", "xyzt_units", "toffset", "sform_code", "qform_code"):
        np.testing.assert_allclose(written.header[field], study.header[field], rtol=1e-6, err_msg=field)
    assert set(np.unique(np.asarray(written.dataobj))) == {0, 1, 2}


def test_a_segmentation_survives_the_way_there_and_back(tmp_path: Path) -> None:
    """Through a grid twice as fine, nearest there and back, every voxel returns to its place and its frame."""
    labels = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.int16)
    path = write_nifti(tmp_path / "study.nii.gz", labels, AFFINES["permuted"])
    pre = Compose([LoadSequenced("image", (0.9, 0.3, 0.3)), TimeLastd("image")])
    data = pre({"id": "a", "image": str(path)})
    data["pred"] = MetaTensor(data["image"].as_tensor().round().byte())
    Compose([Invertd("pred", pre, orig_keys="image"), SaveSequenced("pred", tmp_path / "out")])(data)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "out/a_seg.nii.gz").dataobj), labels)


def test_chosen_frames_are_saved_with_their_own_times(tmp_path: Path) -> None:
    entry = {**_entry(tmp_path, AFFINES["oblique"], step=0.05, toffset=0.25), "frames": [1, 3, 5]}
    pre = Compose([LoadSequenced("image"), TimeLastd("image")])
    data = pre(entry)
    data["pred"] = MetaTensor(_segment(data["image"]))
    Compose([Invertd("pred", pre, orig_keys="image"), SaveSequenced("pred", tmp_path / "out")])(data)
    written = nib.load(tmp_path / "out/study_seg.nii.gz")
    assert written.shape == (*SHAPE[:3], 3)
    assert float(written.header["pixdim"][4]) == pytest.approx(0.1)
    assert float(written.header["toffset"]) == pytest.approx(0.3)


def test_soft_predictions_return_by_linear_interpolation(tmp_path: Path) -> None:
    pre = Compose([LoadSequenced("image", (1.1, 1.2, 1.3)), TimeLastd("image")])
    data = pre(_entry(tmp_path, AFFINES["flipped"]))
    data["pred"] = MetaTensor(torch.rand(3, *data["image"].shape[1:]))
    soft = Invertd("pred", pre, orig_keys="image", nearest_interp=False)(dict(data))["pred"]
    hard = Invertd("pred", pre, orig_keys="image", nearest_interp=True)(dict(data))["pred"]
    assert soft.shape == (18, *SHAPE[:3])
    assert set(hard.unique().tolist()) <= set(data["pred"].unique().tolist())
    assert not set(soft.unique().tolist()) <= set(data["pred"].unique().tolist())


def _training() -> Compose:
    grid = {"spacing_mm": (1.0, 1.0, 1.5)}
    return Compose(
        [
            LoadSequenced("image", **grid),
            LoadSparseLabelsd("label", **grid),
            TimeLastd(KEYS),
            ScaleIntensityRanged("image", -1024, 1024, -1, 1),
            RandCyclicShiftd(KEYS, prob=0.5),
            RandFlipd(KEYS, prob=0.5, spatial_axis=0),
            RandSparseCropd(KEYS, roi_size=(10, 16, 6, 8)),
        ]
    )


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_batches_collate_decollate_and_invert(tmp_path: Path, batch_size: int, num_workers: int) -> None:
    entries = [_entry(tmp_path, AFFINES["left_handed"], "a"), _entry(tmp_path, AFFINES["left_handed"], "b")]
    entries[1].update(labeled_frames=[0, 3], label_map={1: 1, 2: 2}, ef_percent=float("nan"))
    entries[0].update(ef_percent=60.0)
    pre = _training().set_random_state(0)
    names = []
    for batch in DataLoader(Dataset(entries, pre), batch_size=batch_size, num_workers=num_workers):
        assert batch["image"].shape == (batch_size, 1, 10, 16, 6, 8)
        assert batch["label"].shape == batch["image"].shape
        for item in decollate_batch(batch):
            names.append(item["id"])
            assert isinstance(item["image"].meta["full_cycle"], bool)
            assert TimeAxis.from_meta(item["image"].meta) == TimeAxis.from_meta(item["label"].meta)
            item["pred"] = MetaTensor(item["label"].as_tensor())
            restored = Invertd("pred", pre, orig_keys="image")(item)["pred"]
            assert restored.shape == (6, *SHAPE[:3])
            np.testing.assert_array_equal(restored.affine.numpy(), AFFINES["left_handed"])
            assert TimeAxis.from_meta(restored.meta).indices == tuple(range(6))
    assert names == ["a", "b"]


def test_cached_sequences_are_not_changed_by_random_transforms(tmp_path: Path) -> None:
    dataset = CacheDataset([_entry(tmp_path, AFFINES["plain"])], _training().set_random_state(0), progress=False)
    cached = dataset._cache[0]["image"]
    before = (cached.as_tensor().clone(), cached.affine.clone(), len(cached.applied_operations), dict(cached.meta))
    for _ in range(4):
        assert dataset[0]["image"].shape == (1, 10, 16, 6, 8)
    assert torch.equal(cached.as_tensor(), before[0])
    assert torch.equal(cached.affine, before[1])
    assert len(cached.applied_operations) == before[2]
    assert TimeAxis.from_meta(cached.meta) == TimeAxis.from_meta(before[3])


def test_sequences_persisted_on_disk_keep_grid_and_time(tmp_path: Path) -> None:
    steps = Compose([LoadSequenced("image"), TimeLastd("image")])
    entries = [_entry(tmp_path, AFFINES["oblique"])]
    # With weights_only=True MONAI cannot read back the record of any transform, and computes everything anew.
    dataset = PersistentDataset(entries, steps, tmp_path / "cache", track_meta=True, weights_only=False)
    first, second = dataset[0]["image"], dataset[0]["image"]
    assert TimeAxis.from_meta(second.meta) == TimeAxis.from_meta(first.meta)
    torch.testing.assert_close(second.affine, first.affine)
    assert torch.equal(second.as_tensor(), first.as_tensor())


@pytest.mark.parametrize("time_last", [False, True])
def test_monai_percentile_scaling_takes_all_frames_together_in_both_layouts(tmp_path: Path, time_last: bool) -> None:
    """What MR needs beside our transforms: one scale for the whole sequence, so that frames stay comparable."""
    load = [LoadSequenced("image", None, None), *([TimeLastd("image")] if time_last else [])]
    scale = ScaleIntensityRangePercentilesd("image", 1, 99, 0.0, 1.0, clip=True)
    scaled = Compose([*load, scale])(_entry(tmp_path, AFFINES["plain"]))["image"].as_tensor()
    low, high = np.percentile(noise(SHAPE), (1, 99))
    expected = np.clip((noise(SHAPE) - low) / (high - low), 0, 1)
    found = scaled[0].numpy() if time_last else np.moveaxis(scaled.numpy(), 0, -1)
    np.testing.assert_allclose(found, expected, atol=1e-3)
