# SPDX-License-Identifier: Apache-2.0
"""Turning, scaling, shifting and bending a sequence in 3D."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, list_data_collate

from cardiac4d.geometry import TimeAxis
from cardiac4d.transforms import InPlaneAffine, RandSpatialWarpd, SpatialWarp
from cardiac4d.transforms.bending import bending_field, lattice_step_mm

SHAPE = (24, 20, 14, 4)
SPACING_MM = (1.5, 2.0, 3.0)


def _affine() -> np.ndarray:
    affine = np.diag([*SPACING_MM, 1.0])
    affine[:3, 3] = (10, -20, 5)
    return affine


def _wrapped(voxels: torch.Tensor) -> MetaTensor:
    time = TimeAxis.uniform(voxels.shape[-1], 50.0, unit="msec", full_cycle=True)
    return MetaTensor(voxels, affine=torch.from_numpy(_affine()), meta=time.to_meta())


def _blob(centre: tuple[float, float, float] = (9.0, 11.0, 6.0), width_mm: float = 4.0) -> MetaTensor:
    """A smooth ball beside the centre, brighter in later frames."""
    axes = np.meshgrid(*(np.arange(n) * mm for n, mm in zip(SHAPE, SPACING_MM, strict=False)), indexing="ij")
    distance = sum((a - c * mm) ** 2 for a, c, mm in zip(axes, centre, SPACING_MM, strict=True))
    ball = np.exp(-distance / (2 * width_mm**2))[..., None] * (1 + np.arange(SHAPE[3]))
    return _wrapped(torch.from_numpy(ball[None].astype("float32")))


def _centre_of_mass_mm(img: MetaTensor) -> np.ndarray:
    weights = img.as_tensor()[0, ..., 1].double()
    axes = torch.meshgrid(*(torch.arange(n) for n in weights.shape), indexing="ij")
    index = torch.stack([(axis * weights).sum() / weights.sum() for axis in axes] + [torch.tensor(1.0).double()])
    return (img.affine.double() @ index).numpy()[:3]


def _bend(amount: float = 1.0, seed: int = 0, lattice: tuple[int, ...] = (4, 5, 4)) -> torch.Tensor:
    """As much as may be, times ``amount``."""
    step = torch.tensor(lattice_step_mm(SHAPE[:3], SPACING_MM, lattice)).view(3, 1, 1, 1)
    return amount * 0.4 * step * (2 * torch.rand(3, *lattice, generator=torch.Generator().manual_seed(seed)) - 1)


@pytest.mark.parametrize(
    "change", [{"rotation_deg": (10.0, -15.0, 25.0)}, {"scaling": 1.2}, {"shift_mm": (3.0, -4.0, 2.0)}], ids=str
)
def test_the_affine_says_where_the_voxels_lie(change: dict[str, Any]) -> None:
    image = _blob()
    moved = SpatialWarp()(image, **change)
    assert not torch.allclose(moved.as_tensor(), image.as_tensor(), atol=0.05)
    np.testing.assert_array_equal(image.affine.numpy(), _affine())
    np.testing.assert_allclose(_centre_of_mass_mm(moved), _centre_of_mass_mm(image), atol=0.1)


def test_content_moves_by_millimetres_and_turns_about_the_third_axis_as_in_the_plane() -> None:
    image = _blob()
    moved = SpatialWarp()(image, shift_mm=(3.0, -4.0, 3.0)).as_tensor()
    torch.testing.assert_close(moved[:, 2:, :-2, 1:], image.as_tensor()[:, :-2, 2:, :-1], atol=1e-4, rtol=0)
    turned = SpatialWarp()(image, rotation_deg=(0.0, 0.0, 20.0), scaling=1.1).as_tensor()
    in_plane = InPlaneAffine()(image, 20.0, 1.1).as_tensor()
    torch.testing.assert_close(turned.sum(dim=3), in_plane.sum(dim=3) * 1.1, atol=0.3, rtol=0.01)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_quarter_turn_leads_the_next_axis_to_the_one_after_it(axis: int) -> None:
    image = MetaTensor(torch.zeros(1, 5, 5, 5, 2), affine=torch.eye(4))
    start, end = [2, 2, 2], [2, 2, 2]
    start[(axis + 1) % 3] = end[(axis + 2) % 3] = 4
    image[(0, *start)] = 1.0
    turned = SpatialWarp()(image, rotation_deg=[90.0 if a == axis else 0.0 for a in range(3)])
    np.testing.assert_allclose(turned.as_tensor()[(0, *end)].numpy(), 1.0, atol=1e-5)


def test_every_frame_moves_alike_and_none_is_mixed_with_another() -> None:
    moved = SpatialWarp()(_blob(), (5.0, 10.0, -10.0), 1.1, (1.0, 2.0, 3.0), _bend()).as_tensor()
    for frame in range(SHAPE[3]):
        torch.testing.assert_close(moved[..., frame], moved[..., 0] * (frame + 1))


def test_bending_moves_content_by_the_displacement_of_its_lattice() -> None:
    image, bend = _blob(), torch.zeros(3, 4, 4, 4)
    bend[0], bend[2] = 3.0, -3.0  # all of the lattice: a shift of where the voxels look
    moved = SpatialWarp()(image, bend_mm=bend).as_tensor()
    torch.testing.assert_close(moved[:, :-2, :, 1:], image.as_tensor()[:, 2:, :, :-1], atol=1e-4, rtol=0)


def test_bending_never_folds_and_never_exceeds_its_control_points() -> None:
    lattice = (7, 6, 5)
    for seed in range(20):
        bend = torch.sign(_bend(seed=seed, lattice=lattice)) * _bend(seed=seed, lattice=lattice).abs().amax(
            (1, 2, 3), True
        )
        field = bending_field(bend, SHAPE[:3])
        assert (field.abs().amax((1, 2, 3)) <= bend.abs().amax((1, 2, 3)) + 1e-5).all()
        slopes = torch.stack(
            [torch.stack(torch.gradient(f, spacing=SPACING_MM, dim=(0, 1, 2))) for f in field.unbind()]
        )
        jacobian = torch.linalg.det(slopes.permute(2, 3, 4, 0, 1) + torch.eye(3))
        assert jacobian.min() > 0


def test_labels_stay_labels_and_are_not_annotated_outside_the_field_of_view() -> None:
    label = torch.full((1, *SHAPE), 255, dtype=torch.uint8)
    label[..., 1] = 0
    label[:, 8:14, 8:14, 4:9, 1] = 2
    moved = SpatialWarp()(_wrapped(label), shift_mm=(4.5, 0.0, 0.0)).as_tensor()
    assert moved.dtype == torch.uint8
    assert (moved[..., [0, 2, 3]] == 255).all()
    assert (moved[:, :3, ..., 1] == 255).all()
    assert (moved[:, 11:17, 8:14, 4:9, 1] == 2).all()
    assert set(moved.unique().tolist()) == {0, 2, 255}


def test_image_and_label_move_together_and_back() -> None:
    warp = RandSpatialWarpd(prob=1.0, elastic_mm=8.0).set_random_state(3)
    image = _blob(width_mm=6.0)
    label = _wrapped((image.as_tensor() > 0.5).to(torch.uint8))
    moved = warp({"image": image, "label": label})
    assert ((moved["label"].as_tensor() == 1) != (label.as_tensor() == 1)).float().mean() > 0.02
    again = moved["image"].as_tensor() > 0.5
    inside = moved["label"].as_tensor() != 255
    assert ((moved["label"].as_tensor() == 1) == again)[inside].float().mean() > 0.98
    torch.testing.assert_close(moved["image"].affine, moved["label"].affine)
    restored = warp.inverse(moved)
    torch.testing.assert_close(restored["image"].affine, image.affine, check_dtype=False)
    centre = (slice(None), slice(4, -4), slice(4, -4), slice(3, -3))
    assert (restored["label"].as_tensor() == label.as_tensor())[centre].float().mean() > 0.96
    assert (restored["image"].as_tensor() - image.as_tensor())[centre].abs().max() < 0.1 * image.max()


def test_bending_is_undone_where_it_is_as_strong_as_may_be() -> None:
    warp, image = SpatialWarp(), _blob(width_mm=8.0)
    restored = warp.inverse(warp(image, bend_mm=_bend(0.9)))
    centre = (slice(None), slice(5, -5), slice(5, -5), slice(4, -4))
    assert (restored.as_tensor() - image.as_tensor())[centre].abs().max() < 0.06 * image.max()


def test_equal_seeds_draw_alike_and_a_batch_collates() -> None:
    warp = RandSpatialWarpd("image", prob=0.5)
    drawn = [warp.set_random_state(seed)({"image": _blob()}) for seed in (0, 0, 1, 2, 3)]
    assert torch.equal(drawn[0]["image"].as_tensor(), drawn[1]["image"].as_tensor())
    assert len({tuple(entry["image"].as_tensor()[0, 8, 10, :, 1].tolist()) for entry in drawn}) > 2
    assert list_data_collate(drawn)["image"].shape == (5, 1, *SHAPE)


def test_nothing_changes_at_probability_zero() -> None:
    warp, image = RandSpatialWarpd("image", prob=0.0), _blob()
    passed = warp({"image": image})
    assert torch.equal(passed["image"].as_tensor(), image.as_tensor())
    assert torch.equal(warp.inverse(passed)["image"].as_tensor(), image.as_tensor())


def test_draws_stay_in_their_ranges_and_thin_arrays_bend_less() -> None:
    warp = RandSpatialWarpd("image", 1.0, (0.0, 5.0, 30.0), 0.25, 6.0, elastic_mm=4.0).set_random_state(0)
    slab = MetaTensor(torch.zeros(1, 40, 40, 2, 1), affine=torch.eye(4))
    drawn = []
    for _ in range(200):
        warp.randomize(slab)
        bend = warp.drawn["bend_mm"].abs().amax((1, 2, 3)).tolist()
        drawn.append([*warp.drawn["rotation_deg"], warp.drawn["scaling"], *warp.drawn["shift_mm"], *bend])
    largest, limits = np.abs(drawn).max(axis=0), np.array([0, 5, 30, 1.25, 6, 6, 6, 4, 4, 0.8])
    assert (largest <= limits + 1e-9).all()
    assert (largest >= 0.9 * limits).all()
    assert np.min(drawn, axis=0)[3] >= 0.8


@pytest.mark.parametrize("name", ["rotation_deg", "scaling", "shift_mm", "elastic_mm"])
def test_negative_ranges_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        RandSpatialWarpd(**{name: -0.1})


def test_bending_that_could_fold_and_no_lattice_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`elastic_mm` must not exceed 8"):
        RandSpatialWarpd(elastic_mm=9.0, control_spacing_mm=20.0)
    with pytest.raises(ValueError, match="could fold"):
        SpatialWarp()(_blob(), bend_mm=_bend(1.2) * 2)
    with pytest.raises(ValueError, match="at least four points"):
        SpatialWarp()(_blob(), bend_mm=torch.zeros(3, 4, 3, 4))
    with pytest.raises(ValueError, match="scaling"):
        SpatialWarp()(_blob(), scaling=0.0)
