# SPDX-License-Identifier: Apache-2.0
"""Surfaces of prediction and label: by hand, and against distance transforms, MONAI, DeepMind and analytic shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.metrics import compute_surface_dice
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from cardiac4d.metrics import SurfaceAgreement, surface_agreement
from cardiac4d.metrics.face_surface import face_surface


def box(shape: tuple[int, int, int], low: int, high: int) -> np.ndarray:
    labels = np.zeros((*shape, 1), np.uint8)
    labels[(slice(low, high),) * 3] = 1
    return labels


def only(pred: np.ndarray, label: np.ndarray, affine: np.ndarray, **options: float) -> dict[str, float]:
    return {name: values[0] for name, values in surface_agreement(pred, label, affine, "LV", **options).items()}


def test_faces_of_a_block_have_its_area_on_a_sheared_grid() -> None:
    sheared = np.array([[1.0, 0.5, 0, 9], [0, 2.0, 0, 9], [0, 0, 3.0, 9], [0, 0, 0, 1]])
    surface = face_surface(box((9, 9, 9), 2, 5)[..., 0] > 0, sheared)
    a, b, c = 3 * sheared[:3, :3].T
    faces = [np.linalg.norm(np.cross(*pair)) for pair in ((a, b), (b, c), (c, a))]
    assert surface.areas_mm2.sum() == pytest.approx(2 * sum(faces))
    assert surface.centres_mm.mean(axis=0) == pytest.approx(sheared[:3, :3] @ [3, 3, 3])


def test_cubes_one_inside_the_other_by_hand() -> None:
    """10 mm within 14 mm: each inner face looks at its outer one, 2 mm away; the outer's rims look at edges."""
    values = only(box((20, 20, 20), 3, 17), box((20, 20, 20), 5, 15), np.eye(4))
    straight, edges, corners = 6 * 10 * 10, 24 * 10 * 2, 24 * 2 * 2  # of the outer surface
    assert values["nsd"] == pytest.approx((600 + straight) / (600 + straight + edges + corners))
    assert 2 < values["assd_mm"] < math.sqrt(12)
    assert 2 < values["hd95_mm"] <= math.sqrt(12)


def test_equals_distance_transform_on_a_grid_of_half_voxels(pred, label, affine) -> None:
    """An independent way to the same definition: faces are points of a grid twice as fine."""
    values = surface_agreement(pred, label, affine, "LVM", tolerance_mm=1.0)
    spacing = np.diag(affine)[:3]
    for t in (0, 2):
        areas = [fine_faces(array[..., t] == 2, spacing) for array in (pred, label)]
        to_face = [distance_transform_edt(area == 0, sampling=spacing / 2) for area in areas]
        there, back = to_face[1][areas[0] > 0], to_face[0][areas[1] > 0]
        weights = [area[area > 0] for area in areas]
        pooled, shares = np.concatenate([there, back]), np.concatenate(weights)
        assert values["assd_mm"][t] == pytest.approx((pooled * shares).sum() / shares.sum())
        assert values["nsd"][t] == pytest.approx(shares[pooled <= 1.0].sum() / shares.sum())
        both = [reached(d, w) for d, w in zip((there, back), weights, strict=True)]
        assert values["hd95_mm"][t] == pytest.approx(max(both))
    assert np.isnan(values["assd_mm"]).tolist() == [False, True, False, True, True]


def fine_faces(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Areas of the faces of a mask at the points of a grid of half voxels, 0 where there is none."""
    areas = np.zeros([2 * n + 1 for n in mask.shape])
    for axis in range(3):
        change = np.diff(
            np.pad(mask, 1)[tuple(slice(None) if a == axis else slice(1, -1) for a in range(3))], axis=axis
        )
        at = tuple(slice(0, None, 2) if a == axis else slice(1, None, 2) for a in range(3))
        areas[at] = change * spacing.prod() / spacing[axis]
    return areas


def reached(distances: np.ndarray, weights: np.ndarray) -> float:
    """The distance within which 95 % of the area lies, by trying each."""
    return min(d for d in np.unique(distances) if weights[distances <= d].sum() >= 0.95 * weights.sum() - 1e-9)


@pytest.mark.parametrize(
    ("second", "assd_mm", "hd95_mm", "nsd"),
    [
        # DeepMind's surface-distance 0.1 on the same masks: surface elements of 2 x 2 x 2 voxels, weighted by area.
        (((41.5, 42, 62), (21, 16, 37)), 0.974, 2.828, 0.874),
        (((43, 44, 63), (16, 15, 30)), 3.282, 7.419, 0.367),
    ],
)
def test_ellipsoids_are_nearer_to_the_truth_than_surface_elements(second, assd_mm, hd95_mm, nsd) -> None:
    spacing, first = np.array([1.0, 1.2, 2.0]), ((40, 42, 60), (20, 18, 35))
    label, pred = (ellipsoid(*shape, spacing) for shape in (first, second))
    values = only(pred, label, np.diag([*spacing, 1]))
    a, b = (ellipsoid_points(*shape) for shape in (first, second))
    there, back = KDTree(b[0]).query(a[0])[0], KDTree(a[0]).query(b[0])[0]
    pooled, areas = np.concatenate([there, back]), np.concatenate([a[1], b[1]])
    true_assd, true_nsd = np.average(pooled, weights=areas), np.average(pooled <= 2, weights=areas)
    true_hd95 = max(within(0.95, there, a[1]), within(0.95, back, b[1]))
    assert values["assd_mm"] == pytest.approx(true_assd, rel=0.06)
    assert values["hd95_mm"] == pytest.approx(true_hd95, rel=0.06)
    assert values["nsd"] == pytest.approx(true_nsd, abs=0.03)
    assert abs(values["assd_mm"] - true_assd) < abs(assd_mm - true_assd)
    assert abs(values["nsd"] - true_nsd) < abs(nsd - true_nsd)
    assert values["hd95_mm"] == pytest.approx(hd95_mm, rel=0.1)


def within(share: float, distances: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(distances)
    return distances[order][np.searchsorted(np.cumsum(weights[order]), share * weights.sum())]


def ellipsoid(centre, radii, spacing) -> np.ndarray:
    shape = np.ceil(np.array([85, 85, 120]) / spacing).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij"), -1)
    return ((((grid - centre) / radii) ** 2).sum(-1) < 1).astype(np.uint8)[..., None]


def ellipsoid_points(centre, radii) -> tuple[np.ndarray, np.ndarray]:
    """Points of an ellipsoid's surface, evenly spread by a Fibonacci spiral, and the area that each stands for."""
    count = np.arange(40000)
    z, turn = 1 - (2 * count + 1) / len(count), math.pi * (3 - math.sqrt(5)) * count
    unit = np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=1)
    return unit * radii + centre, np.linalg.norm(unit / radii, axis=1)


def test_rotated_grid_gives_the_same(pred, label, affine) -> None:
    angle = 0.4
    turn = np.eye(4)
    turn[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    turned = surface_agreement(pred, label, turn @ affine, "LVM")
    for name, values in surface_agreement(pred, label, affine, "LVM").items():
        np.testing.assert_allclose(turned[name], values)


# MONAI 1.6.1 warns about an argument that it passes to itself.
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_surface_dice_is_near_that_of_monai(pred, label, affine) -> None:
    """MONAI counts voxels of the edge; on a grid this coarse both are estimates."""
    masks = [torch.from_numpy(array[..., 0] == 1)[None, None].float() for array in (pred, label)]
    monai = compute_surface_dice(*masks, [2.0], include_background=True, spacing=np.diag(affine)[:3].tolist())
    assert surface_agreement(pred, label, affine, "LV")["nsd"][0] == pytest.approx(monai.item(), abs=0.1)


def test_missing_structures_have_their_values() -> None:
    full, empty = box((8, 8, 8), 2, 6), np.zeros((8, 8, 8, 1), np.uint8)
    for pair in ((full, empty), (empty, full)):
        values = only(*pair, np.eye(4))
        assert values["nsd"] == 0
        assert math.isnan(values["hd95_mm"])
        assert math.isnan(values["assd_mm"])
    both = only(empty, empty, np.eye(4))
    assert both["nsd"] == 1
    assert math.isnan(both["assd_mm"])
    assert list(only(full, full, np.eye(4)).values()) == [0, 0, 1]


def test_frame_annotated_in_part_shows_no_surface_where_knowledge_ends() -> None:
    pred, label = box((12, 12, 12), 2, 9), box((12, 12, 12), 2, 7)
    label[7:] = label[:, 7:] = label[:, :, 7:] = 255  # the reader stopped where the label's box happens to end
    assert list(only(pred, label, np.eye(4)).values()) == [0, 0, 1]
    cube, beyond = box((12, 12, 12), 2, 7)[..., 0] > 0, np.arange(12)[:, None, None] >= np.full((12, 12, 12), 7)
    assert face_surface(cube, np.eye(4), beyond).areas_mm2.sum() == 5 * 25, "five of six sides"


def test_arguments_are_checked(pred, label, affine) -> None:
    with pytest.raises(ValueError, match="`pred` and `label` must have the same shape"):
        surface_agreement(pred[..., :2], label, affine, "LV")
    with pytest.raises(ValueError, match="`tolerance_mm` must be above 0, got 0"):
        surface_agreement(pred, label, affine, "LV", tolerance_mm=0)
    with pytest.raises(ValueError, match=r"`measure` must be one of \('hd95_mm', 'assd_mm', 'nsd'\), got 'hd'"):
        SurfaceAgreement("hd")


@pytest.mark.parametrize("measure", ["hd95_mm", "assd_mm", "nsd"])
def test_metric_reads_the_affine_of_each_case(measure, pred, label, affine) -> None:
    cases = [
        MetaTensor(torch.from_numpy(pred)[None], affine=scale @ affine) for scale in (np.eye(4), np.diag([2, 2, 2, 1]))
    ]
    metric = SurfaceAgreement(measure, reduction="none")
    metric(cases, [torch.from_numpy(label)[None]] * 2)
    for row, case in zip(metric.aggregate(), cases, strict=True):
        expected = [np.nanmean(surface_agreement(pred, label, case.affine, name)[measure]) for name in ("LV", "LVM")]
        assert row.tolist() == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="SurfaceAgreement needs a MetaTensor"):
        SurfaceAgreement()([torch.from_numpy(pred)[None]], [torch.from_numpy(label)[None]])
