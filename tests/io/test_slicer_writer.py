# SPDX-License-Identifier: Apache-2.0
"""Sequences for 3D Slicer: what is written is what Slicer, ITK, pynrrd and this package read."""

from __future__ import annotations

from pathlib import Path

import itk
import nrrd
import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.geometry import TimeAxis
from cardiac4d.io import NrrdSequence, write_slicer_sequence
from tests.helpers.formats import LPS
from tests.helpers.sequences import AFFINES, ball_labels

SHAPE = (6, 5, 4, 3)
LABELS = ball_labels(SHAPE, (0, 1, 2))


def _write(folder: Path, affine: np.ndarray = AFFINES["oblique"], time: TimeAxis | None = None) -> Path:
    return write_slicer_sequence(folder / "a.seq.nrrd", LABELS, affine, time or TimeAxis.uniform(3, 0.04))


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_grid_and_voxels_come_back_exactly(tmp_path: Path, affine: np.ndarray) -> None:
    source = NrrdSequence(_write(tmp_path, affine))
    np.testing.assert_array_equal(source.grid.affine, affine)
    np.testing.assert_array_equal(np.stack(list(source.frames()), axis=-1), LABELS)
    np.testing.assert_allclose(source.time_axis().frame_times_ms, [0, 40, 80])


def test_the_header_is_that_of_a_sequence_of_label_maps(tmp_path: Path) -> None:
    voxels, header = nrrd.read(str(_write(tmp_path)))
    np.testing.assert_array_equal(voxels, LABELS)
    lines = (tmp_path / "a.seq.nrrd").read_bytes().split(b"\n\n")[0].decode().splitlines()
    for line in (
        "type: uint8",
        "space: left-posterior-superior",
        "kinds: domain domain domain list",
        'labels: "" "" "" "time"',
        'units: "" "" "" "ms"',
        "DataNodeClassName:=vtkMRMLLabelMapVolumeNode",
        "axis 3 index type:=numeric",
        "axis 3 index values:=0 40 80",
        "Segment0_ID:=LV",
        "Segment0_LabelValue:=1",
        "Segment0_Layer:=0",
        "Segment0_Extent:=0 5 0 4 0 3",
        "Segment1_Name:=LV myocardium",
        "Segment1_LabelValue:=2",
    ):
        assert line in lines
    assert next(line for line in lines if line.startswith("space directions")).endswith(" none")
    assert "SCT^49848007" in header["Segment1_Tags"]


def test_itk_sees_the_same_grid(tmp_path: Path) -> None:
    """Slicer reads by ITK, which takes the list for components of a vector."""
    header = itk.NrrdImageIO.New()
    header.SetFileName(str(_write(tmp_path)))
    header.ReadImageInformation()
    assert (header.GetNumberOfDimensions(), header.GetNumberOfComponents()) == (3, 3)
    lps = LPS @ AFFINES["oblique"]
    found = np.array([np.array(header.GetDirection(axis)) * header.GetSpacing(axis) for axis in range(3)]).T
    np.testing.assert_allclose(found, lps[:3, :3], atol=1e-9)
    np.testing.assert_allclose([header.GetOrigin(axis) for axis in range(3)], lps[:3, 3])


def test_frames_without_times_keep_their_numbers(tmp_path: Path) -> None:
    time = TimeAxis.uniform(9, 1.0, unit="unknown").select([4, 5, 7])
    header = nrrd.read_header(str(_write(tmp_path, time=time)))
    assert (header["labels"][3], header["units"][3], header["axis 3 index values"]) == ("frame", "", "4 5 7")


def test_uneven_times_come_back(tmp_path: Path) -> None:
    path = _write(tmp_path, time=TimeAxis.irregular([3.5, 50.25, 700]))
    np.testing.assert_allclose(NrrdSequence(path).time_axis().frame_times_ms, [3.5, 50.25, 700])


def test_an_existing_file_is_kept_unless_told(tmp_path: Path) -> None:
    before = _write(tmp_path).read_bytes()
    with pytest.raises(InputError, match=r"a\.seq\.nrrd: the file exists already"):
        _write(tmp_path, AFFINES["plain"])
    assert (tmp_path / "a.seq.nrrd").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "labels", "problem"),
    [
        ("a.nrrd", LABELS, r"`path` must end in \.seq\.nrrd"),
        ("a.seq.nrrd", LABELS[..., :2], r"`labels` must be integers \(H, W, D, 3\)"),
        ("a.seq.nrrd", LABELS.astype(np.float32), "`labels` must be integers"),
    ],
)
def test_what_is_no_label_map_is_refused(tmp_path: Path, name: str, labels: np.ndarray, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        write_slicer_sequence(tmp_path / name, labels, np.eye(4), TimeAxis.uniform(3, 0.04))
