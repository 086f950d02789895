# SPDX-License-Identifier: Apache-2.0
"""Label conventions as they occur on disk, and labels that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.io import LabelConvention, NiftiSequence, annotated_frames, read_labels
from tests.helpers.sequences import write_nifti

SHAPE = (3, 2, 2, 4)
ACDC_MAP = {3: 1, 2: 2, 1: 0}


def _labels(fill: int, frames: dict[int, list[int]], dtype: str = "uint8") -> np.ndarray:
    """Frames full of ``fill``, but for ``frames``, whose first voxels hold the values given, the others 0."""
    voxels = np.full(SHAPE, fill, dtype=dtype)
    for frame, values in frames.items():
        flat = np.zeros(12, dtype=dtype)
        flat[: len(values)] = values
        voxels[..., frame] = flat.reshape(SHAPE[:3])
    return voxels


def _read(tmp_path: Path, voxels: np.ndarray, **convention: Any) -> np.ndarray:
    source = NiftiSequence(write_nifti(tmp_path / "label.nii.gz", voxels))
    frames = list(read_labels(source, LabelConvention(**convention)))
    assert all(frame.dtype == np.uint8 for frame in frames)
    return np.stack([frame.ravel()[:4] for frame in frames])


@pytest.mark.parametrize(("fill", "dtype"), [(255, "uint8"), (255, "int16"), (-1, "int8"), (255, "float32")])
def test_255_and_minus_1_are_not_annotated(tmp_path: Path, fill: int, dtype: str) -> None:
    found = _read(tmp_path, _labels(fill, {1: [1, 2]}, dtype))
    assert found.tolist() == [[255] * 4, [1, 2, 0, 0], [255] * 4, [255] * 4]


def test_listed_frames_make_others_not_annotated_though_they_are_zero(tmp_path: Path) -> None:
    found = _read(tmp_path, _labels(0, {1: [1, 2]}), labeled_frames=[1, 2])
    assert found.tolist() == [[255] * 4, [1, 2, 0, 0], [0] * 4, [255] * 4]


def test_an_empty_frame_is_annotated_unless_told(tmp_path: Path) -> None:
    voxels = _labels(0, {1: [1]})
    assert (_read(tmp_path, voxels) != 255).all()
    found = _read(tmp_path, voxels, empty_frames_are_unlabeled=True)
    assert found.tolist() == [[255] * 4, [1, 0, 0, 0], [255] * 4, [255] * 4]


def test_label_map_renames_and_joins(tmp_path: Path) -> None:
    found = _read(tmp_path, _labels(255, {0: [3, 2, 1, 0]}), label_map=ACDC_MAP)
    assert found[0].tolist() == [1, 2, 0, 0]


def test_label_map_takes_large_values(tmp_path: Path) -> None:
    found = _read(tmp_path, _labels(0, {0: [500, 205]}, "int16"), label_map={500: 1, 205: 2})
    assert found[0].tolist() == [1, 2, 0, 0]


def test_single_voxels_may_be_not_annotated(tmp_path: Path) -> None:
    assert _read(tmp_path, _labels(255, {0: [1, 255]}), labeled_frames=[0])[0].tolist() == [1, 255, 0, 0]


@pytest.mark.parametrize("value", [3, 254, 300, -2])
def test_values_outside_the_map_are_refused_by_file_frame_and_value(tmp_path: Path, value: int) -> None:
    with pytest.raises(
        InputError, match=rf"label\.nii\.gz: frame 2 holds label {value}, known are \[-1, 0, 1, 2, 255\]"
    ):
        _read(tmp_path, _labels(255, {0: [1], 2: [value]}, "int16"))


def test_non_integer_labels_are_refused(tmp_path: Path) -> None:
    voxels = _labels(255, {1: [1]}, "float32")
    voxels[0, 0, 0, 1] = 0.5
    with pytest.raises(InputError, match=r"label\.nii\.gz: frame 1 holds the non-integer label 0\.5"):
        _read(tmp_path, voxels)


@pytest.mark.parametrize("convention", [{}, {"empty_frames_are_unlabeled": True}])
def test_a_file_without_annotated_frame_is_refused(tmp_path: Path, convention: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"label\.nii\.gz: no annotated frame"):
        _read(tmp_path, _labels(0 if convention else 255, {}), **convention)


def test_an_explicitly_empty_list_is_accepted(tmp_path: Path) -> None:
    assert (_read(tmp_path, _labels(0, {}), labeled_frames=[]) == 255).all()


def test_a_structure_in_a_frame_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="frame 3 holds a structure, but is not listed"):
        _read(tmp_path, _labels(0, {0: [1], 3: [2]}), labeled_frames=[0])


def test_a_listed_frame_that_the_file_marks_as_not_annotated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="frame 2 is listed as annotated, but the file marks it as not annotated"):
        _read(tmp_path, _labels(255, {0: [1]}), labeled_frames=[0, 2])


@pytest.mark.parametrize(("frames", "fix"), [([1, 4], "subtract 1"), ([0, 4], "correct the list"), ([9], "correct")])
def test_a_listed_frame_out_of_range_is_refused_and_one_based_lists_are_recognised(
    tmp_path: Path, frames: list[int], fix: str
) -> None:
    with pytest.raises(InputError, match=rf"labeled_frames: frame {frames[-1]} of .* frames 0\.\.3.*{fix}"):
        _read(tmp_path, _labels(0, {0: [1]}), labeled_frames=frames)


def test_only_the_frames_asked_for_are_read(tmp_path: Path) -> None:
    source = NiftiSequence(write_nifti(tmp_path / "label.nii", _labels(255, {0: [1], 2: [2], 3: [9]})))
    frames = list(read_labels(source, LabelConvention(), [2, 0]))
    assert [int(frame.flat[0]) for frame in frames] == [2, 1]
    with pytest.raises(InputError, match=r"no annotated frame among \[1\]"):
        list(read_labels(source, LabelConvention(), [1]))


def test_annotated_frames_are_found_or_taken_from_the_list(tmp_path: Path) -> None:
    source = NiftiSequence(write_nifti(tmp_path / "label.nii", _labels(255, {0: [1], 2: [2]})))
    assert annotated_frames(source, LabelConvention()) == [0, 2]
    zeros = NiftiSequence(write_nifti(tmp_path / "zeros.nii", _labels(0, {2: [2]})))
    assert annotated_frames(zeros, LabelConvention(labeled_frames=[2, 1])) == [1, 2]
    assert annotated_frames(NiftiSequence(write_nifti(tmp_path / "no.nii", _labels(255, {}))), LabelConvention()) == []


@pytest.mark.parametrize("listed", [[2], [0, 1, 2], []])
def test_a_list_that_contradicts_the_file_gives_no_annotated_frames(tmp_path: Path, listed: list[int]) -> None:
    source = NiftiSequence(write_nifti(tmp_path / "label.nii", _labels(255, {0: [1], 2: [2]})))
    with pytest.raises(InputError, match=r"label\.nii: labeled_frames: frame \d"):
        annotated_frames(source, LabelConvention(labeled_frames=listed))


@pytest.mark.parametrize("label_map", [{1: 3}, {70000: 1}, {-2: 1}])
def test_an_impossible_label_map_is_refused(label_map: dict[int, int]) -> None:
    with pytest.raises(ValueError, match="`label_map` must map"):
        LabelConvention(label_map)
