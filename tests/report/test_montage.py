# SPDX-License-Identifier: Apache-2.0
"""The montage: planes through the ventricle, contours where there are labels, and a file from a data list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.phantom import write_dataset
from cardiac4d.report import dataset_montage, sequence_montage
from cardiac4d.report.montage import ventricle_planes
from tests.phantom.hearts import TINY

AFFINE = np.diag([-2.0, -2.0, 2.0, 1.0])
TOWARD_APEX = np.array([-0.6, 0.6, -0.52915])


def cigar() -> np.ndarray:
    """Labels ``(40, 40, 40)``: an ellipsoid along a usual long axis."""
    points = np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij"), axis=-1) @ AFFINE[:3, :3].T - [-40, -40, 40]
    along = points @ TOWARD_APEX
    across = np.linalg.norm(points - along[..., None] * TOWARD_APEX, axis=-1)
    return np.where((along / 34) ** 2 + (across / 15) ** 2 < 1, 1, 0).astype(np.uint8)


def test_planes_follow_the_long_axis() -> None:
    center, planes = ventricle_planes(cigar(), AFFINE)
    assert center == pytest.approx([-40, -40, 40], abs=0.5)
    assert [plane.name for plane in planes] == ["axial", "coronal", "long axis", "short axis"]
    assert -planes[2].down @ TOWARD_APEX == pytest.approx(1.0, abs=1e-3)
    for plane in planes:
        assert np.linalg.norm([plane.right, plane.down], axis=1) == pytest.approx([1, 1])
        assert plane.right @ plane.down == pytest.approx(0, abs=1e-9)
    assert abs(planes[3].right @ TOWARD_APEX) < 0.03


def test_planes_need_a_ventricle() -> None:
    with pytest.raises(ValueError, match="left ventricle"):
        ventricle_planes(np.zeros((4, 4, 4), np.uint8), AFFINE)


def test_montage_shows_each_frame_in_each_plane() -> None:
    labels = np.stack([cigar(), np.full((40, 40, 40), 255, np.uint8)], axis=-1)
    figure = sequence_montage(labels.astype(np.int16) * 300, labels, AFFINE, {"first": 0, "second": 1})
    panels = figure.axes
    assert len(panels) == 8
    assert [len(axes.collections) > 0 for axes in panels] == [True, False] * 4
    assert [text.get_text() for axes in panels for text in axes.texts] == ["50 mm"] * 4
    assert panels[0].images[0].get_array().max() > 250


def test_montage_refuses_arrays_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="shapes"):
        sequence_montage(np.zeros((4, 4, 4, 2)), np.zeros((4, 4, 4, 3), np.uint8), AFFINE, {"first": 0})


def test_montage_of_a_data_list(tmp_path: Path) -> None:
    preset = replace(TINY, num_training=1, num_labeled_frames=7)
    datalist = write_dataset(tmp_path / "phantom", preset, progress=False)
    picture = dataset_montage(datalist, tmp_path / "montage.png", case_id="phantom_002")
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="no case 'phantom_999'"):
        dataset_montage(datalist, tmp_path / "other.png", case_id="phantom_999")
