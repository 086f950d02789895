# SPDX-License-Identifier: Apache-2.0
"""The pictures of one case: two files, at the frames and with the numbers they claim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

from cardiac4d.measure import measure_left_ventricle
from cardiac4d.report import overlay, volume_curve, write_case_pictures
from cardiac4d.report.style import save_png
from tests.helpers.studies import AFFINE, beating_ball, sparse

TIMES_MS = [0.0, 150.0, 300.0, 450.0, 600.0, 750.0]
ED, ES = 0, 3
"""Phases of the reference; the prediction beats one frame later."""


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, prediction and dense reference."""
    image, labels = beating_ball()
    return image, np.roll(labels, 1, axis=-1), labels


def drawn(figure: Figure, folder: Path) -> bytes:
    return save_png(figure, folder / "expected.png").read_bytes()


def test_two_pictures_are_written_from_tensors(case, tmp_path: Path) -> None:
    image, pred, reference = (torch.from_numpy(array) for array in case)
    folder = tmp_path / "new"
    paths = write_case_pictures(folder, "c1", image, pred, torch.from_numpy(AFFINE), reference=reference)
    assert paths == (folder / "c1_volumes.png", folder / "c1_contours.png")
    assert imread(paths[0]).shape[:2] == (675, 1125)
    assert imread(paths[1]).shape[:2] == (990, 1350)


def test_pictures_compare_with_the_reference_at_its_own_phases(case, tmp_path: Path) -> None:
    image, pred, dense = case
    reference = sparse(dense, (ED, ES))
    volumes, contours = write_case_pictures(
        tmp_path, "c1", image, pred, AFFINE, frame_times_ms=TIMES_MS, reference=reference
    )
    function, expected = (measure_left_ventricle(labels, AFFINE, TIMES_MS) for labels in (pred, reference))
    assert (function.ed_frame, function.es_frame) == (ED + 1, ES + 1)
    curve = volume_curve(function, TIMES_MS, reference=expected, title="c1")
    assert volumes.read_bytes() == drawn(curve, tmp_path)
    frames = {"Reference ED": ED, "Reference ES": ES}
    assert contours.read_bytes() == drawn(
        overlay(image, pred, AFFINE, frames, reference=reference, title="c1"), tmp_path
    )


def test_without_reference_the_phases_are_those_of_the_prediction(case, tmp_path: Path) -> None:
    image, pred, _ = case
    _, contours = write_case_pictures(tmp_path, "c1", image, pred, AFFINE, window=None)
    frames = {"Predicted ED": ED + 1, "Predicted ES": ES + 1}
    assert contours.read_bytes() == drawn(overlay(image, pred, AFFINE, frames, window=None, title="c1"), tmp_path)


def test_a_reference_without_annotation_counts_as_none(case, tmp_path: Path) -> None:
    image, pred, _ = case
    unknown = np.full_like(pred, 255)
    with_unknown = write_case_pictures(tmp_path / "a", "c1", image, pred, AFFINE, reference=unknown)
    without = write_case_pictures(tmp_path / "b", "c1", image, pred, AFFINE)
    assert [path.read_bytes() for path in with_unknown] == [path.read_bytes() for path in without]


def test_shapes_that_disagree_are_refused_before_anything_is_written(case, tmp_path: Path) -> None:
    image, pred, reference = case
    with pytest.raises(ValueError, match="`reference` must be"):
        write_case_pictures(tmp_path, "c1", image, pred, AFFINE, reference=reference[:-1])
    assert list(tmp_path.iterdir()) == []
