# SPDX-License-Identifier: Apache-2.0
"""Surface distance between frames, against MONAI, SciPy's distance transform and shapes worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance
from scipy.ndimage import binary_erosion, distance_transform_edt

from cardiac4d.metrics import surface_distances_mm, temporal_surface_distance


def moving_box(*starts: int) -> np.ndarray:
    """A box of 4 x 4 x 4 LV voxels that moves along the first axis."""
    labels = np.zeros((16, 8, 8, len(starts)), np.uint8)
    for t, start in enumerate(starts):
        labels[start : start + 4, 2:6, 2:6, t] = 1
    return labels


def transform_distance_mm(a: np.ndarray, b: np.ndarray, spacing: np.ndarray) -> float:
    """The same definition by distance transforms of the whole volume."""
    edges = [mask & ~binary_erosion(mask) for mask in (a, b)]
    to_edge = [distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    return float(np.concatenate([to_edge[1][edges[0]], to_edge[0][edges[1]]]).mean())


# MONAI 1.6.1 warns about an argument that it passes to itself.
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize(("value", "structure"), [(1, "LV"), (2, "LVM")])
def test_equals_distance_transform_and_monai(truth, affine, value: int, structure: str) -> None:
    spacing = np.diag(affine)[:3]
    distances = surface_distances_mm(truth, affine, structure)
    expected = [transform_distance_mm(truth[..., t] == value, truth[..., t + 1] == value, spacing) for t in range(4)]
    np.testing.assert_allclose(distances, expected, rtol=1e-9)
    masks = torch.from_numpy(truth == value).movedim(-1, 0)[:, None].float()  # time into the batch
    monai = compute_average_surface_distance(
        masks[:-1], masks[1:], include_background=True, symmetric=True, spacing=spacing.tolist()
    )
    np.testing.assert_allclose(distances, monai[:, 0], rtol=1e-5)


def test_single_voxels_give_their_distance_in_patient_space() -> None:
    labels = np.zeros((6, 6, 6, 2), np.uint8)
    labels[1, 1, 1, 0] = labels[3, 2, 1, 1] = 2
    sheared = np.array([[1.0, 0.5, 0, 9], [0, 2.0, 0, 9], [0, 0, 3.0, 9], [0, 0, 0, 1]])
    assert surface_distances_mm(labels, sheared, "LVM") == pytest.approx([math.hypot(2 + 0.5, 2)])


def test_spacing_scales_the_distance_and_time_is_no_axis() -> None:
    labels = moving_box(2, 3, 5)
    once = surface_distances_mm(labels, np.eye(4), "LV")
    np.testing.assert_allclose(surface_distances_mm(labels, np.diag([3.0, 3, 3, 1]), "LV"), 3 * once)
    slow = labels.repeat(2, axis=-1)  # every frame twice: the same steps with pauses between
    np.testing.assert_allclose(surface_distances_mm(slow, np.eye(4), "LV"), [0, once[0], 0, once[1], 0])


def test_cyclic_adds_the_way_back() -> None:
    labels = moving_box(2, 3, 5)
    wrapped = surface_distances_mm(labels, np.eye(4), "LV", cyclic=True)
    np.testing.assert_allclose(wrapped[:2], surface_distances_mm(labels, np.eye(4), "LV"))
    np.testing.assert_allclose(wrapped[2], surface_distances_mm(labels[..., [2, 0]], np.eye(4), "LV")[0])
    assert temporal_surface_distance(labels, np.eye(4), cyclic=True)["LV"] == pytest.approx(wrapped.mean())


def test_position_in_the_array_does_not_matter() -> None:
    labels = moving_box(2, 3, 5)
    padded = np.pad(labels, [(5, 1), (0, 3), (2, 0), (0, 0)])
    expected = surface_distances_mm(labels, np.eye(4), "LV")
    np.testing.assert_allclose(surface_distances_mm(padded, np.eye(4), "LV"), expected)
    cut = labels[2:, 2:, 2:]  # the box now touches three faces of the array
    np.testing.assert_allclose(surface_distances_mm(cut, np.eye(4), "LV"), expected)


def test_absent_structure_is_left_out_and_counted_nowhere() -> None:
    labels = moving_box(2, 3, 3, 5)
    labels[..., 1] = 0
    labels[..., 2][labels[..., 2] == 0] = 255  # annotated in part: still a surface
    assert np.isnan(surface_distances_mm(labels, np.eye(4), "LV")).tolist() == [True, True, False]
    only = surface_distances_mm(moving_box(3, 5), np.eye(4), "LV")[0]
    result = temporal_surface_distance(labels, np.eye(4))
    assert result["LV"] == pytest.approx(only)
    assert math.isnan(result["LVM"])
    assert math.isnan(result["mean"])


def test_static_mask_scores_zero_and_single_frame_is_undefined() -> None:
    assert temporal_surface_distance(moving_box(2, 2), np.eye(4))["LV"] == 0
    assert math.isnan(temporal_surface_distance(moving_box(2), np.eye(4), cyclic=True)["LV"])
