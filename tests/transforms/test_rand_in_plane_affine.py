# SPDX-License-Identifier: Apache-2.0
"""Turning, scaling and shifting a sequence in the plane of its slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from cardiac4d.geometry import TimeAxis
from cardiac4d.transforms import InPlaneAffine, RandInPlaneAffined

SHAPE = (21, 17, 3, 4)


def _meta() -> dict[str, Any]:
    return TimeAxis.uniform(SHAPE[3], 50.0, unit="msec", full_cycle=True).to_meta()


def _blob(affine: np.ndarray | None = None) -> MetaTensor:
    """A smooth bump beside the centre, brighter in later frames."""
    h, w = np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij")
    bump = np.exp(-((h - 7) ** 2 + (w - 9) ** 2) / 5.0)
    frames = bump[:, :, None, None] * (1 + np.arange(SHAPE[3])) * np.ones((1, 1, SHAPE[2], 1))
    affine = np.eye(4) if affine is None else affine
    return MetaTensor(torch.from_numpy(frames[None].astype("float32")), affine=torch.tensor(affine), meta=_meta())


def _centre_of_mass_mm(img: MetaTensor, depth: int = 1, frame: int = 2) -> np.ndarray:
    plane = img.as_tensor()[0, :, :, depth, frame].double()
    h, w = torch.meshgrid(torch.arange(plane.shape[0]), torch.arange(plane.shape[1]), indexing="ij")
    index = torch.stack([(h * plane).sum(), (w * plane).sum(), depth * plane.sum(), plane.sum()]) / plane.sum()
    return (img.affine.double() @ index).numpy()[:3]


@pytest.mark.parametrize("change", [{"rotation_deg": 25.0}, {"scaling": 1.3}, {"shift": (2.5, -1.5)}])
def test_the_affine_says_where_the_voxels_lie(change: dict[str, Any]) -> None:
    affine = np.diag([1.5, 2.0, 8.0, 1.0])
    affine[:3, 3] = [10, -20, 5]
    image = _blob(affine)
    moved = InPlaneAffine()(image, **change)
    assert not torch.allclose(moved.as_tensor(), image.as_tensor(), atol=0.05)
    np.testing.assert_array_equal(image.affine.numpy(), affine)
    np.testing.assert_allclose(_centre_of_mass_mm(moved), _centre_of_mass_mm(image), atol=0.1)


def test_content_turns_from_the_first_axis_to_the_second_and_moves_by_whole_voxels_exactly() -> None:
    image = MetaTensor(torch.zeros(1, 5, 5, 1, 2), affine=torch.eye(4), meta=_meta())
    image[0, 4, 2] = 1.0
    turned = InPlaneAffine()(image, rotation_deg=90.0)
    np.testing.assert_allclose(turned.as_tensor()[0, 2, 4].numpy(), 1.0, atol=1e-6)
    shifted = InPlaneAffine()(image, shift=(-3.0, 1.0))
    np.testing.assert_allclose(shifted.as_tensor()[0, 1, 3].numpy(), 1.0, atol=1e-6)


def test_angles_are_true_where_pixels_are_not_square() -> None:
    affine = np.diag([1.0, 2.0, 8.0, 1.0])
    image = MetaTensor(torch.zeros(1, 9, 9, 1, 1), affine=torch.tensor(affine), meta=_meta())
    image[0, 8, 4] = 1.0  # 4 mm from the centre along H
    turned = InPlaneAffine()(image, rotation_deg=90.0)
    assert turned[0, 4, 6, 0, 0].item() == pytest.approx(1.0, abs=1e-5)  # 4 mm are 2 voxels along W


def test_every_slice_and_frame_moves_alike() -> None:
    image = _blob()
    moved = InPlaneAffine()(image, rotation_deg=10.0, scaling=1.1, shift=(1.0, 2.0)).as_tensor()[0]
    for frame in range(SHAPE[3]):
        for depth in range(SHAPE[2]):
            torch.testing.assert_close(moved[:, :, depth, frame], moved[:, :, 0, 0] * (frame + 1))


def test_labels_stay_labels_and_are_not_annotated_outside_the_field_of_view() -> None:
    label = torch.full((1, 8, 8, 2, 3), 255, dtype=torch.uint8)
    label[..., 1] = 0
    label[:, 2:5, 2:5, :, 1] = 2
    moved = InPlaneAffine()(MetaTensor(label, affine=torch.eye(4), meta=_meta()), shift=(3.0, 0.0)).as_tensor()
    assert moved.dtype == torch.uint8
    assert (moved[..., [0, 2]] == 255).all()
    assert (moved[:, :3, :, :, 1] == 255).all()
    assert (moved[:, 5:8, 2:5, :, 1] == 2).all()
    assert set(moved.unique().tolist()) == {0, 2, 255}


def test_all_keys_move_together_and_back() -> None:
    warp = RandInPlaneAffined(prob=1.0).set_random_state(1)
    image = _blob()
    label = MetaTensor((image > 0.5).to(torch.uint8), affine=image.affine, meta=_meta())
    moved = warp({"image": image, "label": label})
    assert not torch.equal(moved["label"].as_tensor(), label.as_tensor())
    restored = warp.inverse(moved)
    torch.testing.assert_close(restored["image"].affine, image.affine, check_dtype=False)
    agreement = (restored["label"].as_tensor() == label.as_tensor())[:, 4:-4, 4:-4].float().mean()
    assert agreement > 0.95  # nearest neighbours twice: voxels of the surface may flip
    assert (restored["image"].as_tensor() - image.as_tensor()).abs()[:, 4:-4, 4:-4].max() < 0.2 * image.max()


def test_draws_cover_their_ranges_and_no_more() -> None:
    warp = RandInPlaneAffined(rotation_deg=20.0, scaling=0.25, shift_fraction=0.1).set_random_state(0)
    drawn = []
    for _ in range(300):
        warp.randomize(torch.zeros(1, 40, 20, 2, 2))
        drawn.append([warp.drawn["rotation_deg"], warp.drawn["scaling"], *warp.drawn["shift"]])
    low, high = np.min(drawn, axis=0), np.max(drawn, axis=0)
    limits = np.array([20.0, 1.25, 4.0, 2.0])
    assert (high <= limits).all()
    assert (high > 0.9 * limits).all()
    assert (low >= [-20.0, 0.8, -4.0, -2.0]).all()
    assert (low < [-18.0, 0.82, -3.6, -1.8]).all()


def test_nothing_changes_at_probability_zero() -> None:
    warp = RandInPlaneAffined("image", prob=0.0).set_random_state(0)
    image = _blob()
    passed = warp({"image": image})
    assert torch.equal(passed["image"].as_tensor(), image.as_tensor())
    assert torch.equal(warp.inverse(passed)["image"].as_tensor(), image.as_tensor())


@pytest.mark.parametrize("name", ["rotation_deg", "scaling", "shift_fraction"])
def test_negative_ranges_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        RandInPlaneAffined(**{name: -0.1})


def test_a_factor_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="scaling"):
        InPlaneAffine()(_blob(), scaling=0.0)
