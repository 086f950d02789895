# SPDX-License-Identifier: Apache-2.0
"""NRRD: both axis orders of 3D Slicer, spaces, times, and refusing what is no sequence or cannot be there."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import nrrd
import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.io import NrrdSequence
from cardiac4d.io.voxel_stream import VoxelStream
from tests.helpers.formats import write_slicer_sequence
from tests.helpers.sequences import AFFINES, noise

SHAPE = (6, 5, 4, 3)


def _read(path: Path) -> np.ndarray:
    return np.stack(list(NrrdSequence(path).frames()), axis=-1)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
@pytest.mark.parametrize("list_axis", [0, 2, 3])
def test_every_axis_order_and_packing_gives_the_same_voxels(tmp_path: Path, list_axis: int, encoding: str) -> None:
    voxels = noise(SHAPE)
    path = write_slicer_sequence(
        tmp_path / "a.seq.nrrd", voxels, AFFINES["oblique"], list_axis=list_axis, encoding=encoding
    )
    np.testing.assert_array_equal(np.moveaxis(nrrd.read(str(path))[0], list_axis, 3), voxels)
    np.testing.assert_array_equal(_read(path), voxels)
    np.testing.assert_array_equal(NrrdSequence(path).frame(1), voxels[..., 1])


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior", "LAS"])
def test_every_space_gives_the_same_affine(tmp_path: Path, affine: np.ndarray, space: str) -> None:
    path = write_slicer_sequence(tmp_path / "a.seq.nrrd", noise(SHAPE), affine, space=space)
    np.testing.assert_array_equal(NrrdSequence(path).grid.affine, affine)


@pytest.mark.parametrize("list_axis", [0, 3])
def test_big_endian_voxels_come_in_the_order_of_this_machine(tmp_path: Path, list_axis: int) -> None:
    voxels = noise(SHAPE)
    path = write_slicer_sequence(tmp_path / "a.nrrd", voxels, np.eye(4), endian="big", list_axis=list_axis)
    np.testing.assert_array_equal(_read(path), voxels)
    assert NrrdSequence(path).frame(0).dtype == np.dtype("=i2")


@pytest.mark.parametrize(
    ("unit", "values", "expected"),
    [
        ("ms", [0, 40, 95], [0, 40, 95]),
        ("s", [0.5, 0.55, 0.6], [500, 550, 600]),
        ("us", [0, 1000, 2000], [0, 1, 2]),
        ("", [0, 1, 2], [np.nan] * 3),
        ("%", [0, 10, 20], [np.nan] * 3),
    ],
)
def test_index_values_are_times_if_their_unit_says_so(
    tmp_path: Path, unit: str, values: list[float], expected: list[float]
) -> None:
    path = write_slicer_sequence(tmp_path / "a.seq.nrrd", noise(SHAPE), np.eye(4), unit=unit, values=values)
    np.testing.assert_allclose(NrrdSequence(path).time_axis().frame_times_ms, expected)


@pytest.mark.parametrize(
    ("values", "problem"), [([0, 5], "2 values for 3"), ([0, 5, "x"], "not numbers"), ([9, 5, 0], "ascend")]
)
def test_an_index_that_cannot_be_times_is_refused(tmp_path: Path, values: list[float], problem: str) -> None:
    path = write_slicer_sequence(tmp_path / "a.seq.nrrd", noise(SHAPE), np.eye(4), unit="ms", values=values)
    with pytest.raises(InputError, match=rf"a\.seq\.nrrd: axis 3 index values: .*{problem}"):
        NrrdSequence(path).time_axis()


def test_four_spatial_axes_as_itk_writes_them_end_in_time(tmp_path: Path) -> None:
    voxels = noise(SHAPE)
    header = {
        "space dimension": 4,
        "space directions": np.diag([0.7, 0.8, 2.0, 40.0]),
        "space origin": np.array([1.0, 2.0, 3.0, 7.0]),
        "space units": ["mm", "mm", "mm", "ms"],
        "kinds": ["domain"] * 4,
    }
    nrrd.write(str(tmp_path / "a.nrrd"), voxels, header)
    source = NrrdSequence(tmp_path / "a.nrrd")
    np.testing.assert_allclose(source.grid.affine[:3, 3], [-1, -2, 3])
    np.testing.assert_allclose(np.diag(source.grid.affine), [-0.7, -0.8, 2.0, 1.0])
    np.testing.assert_allclose(source.time_axis().frame_times_ms, [7, 47, 87])
    np.testing.assert_array_equal(_read(tmp_path / "a.nrrd"), voxels)


def test_spacings_alone_lie_along_the_axes_of_space(tmp_path: Path) -> None:
    nrrd.write(
        str(tmp_path / "a.nrrd"), noise(SHAPE), {"spacings": [0.7, 0.8, 2.0, 50.0], "units": ["mm"] * 3 + ["ms"]}
    )
    source = NrrdSequence(tmp_path / "a.nrrd")
    np.testing.assert_allclose(np.diag(source.grid.affine), [-0.7, -0.8, 2.0, 1.0])
    np.testing.assert_allclose(source.time_axis().frame_times_ms, [0, 50, 100])


def test_a_detached_header_names_the_voxels_beside_it(tmp_path: Path) -> None:
    voxels = noise(SHAPE)
    directions = np.vstack([np.eye(3), np.full(3, np.nan)])
    header = {"space": "LPS", "space directions": directions, "space origin": np.zeros(3), "encoding": "gzip"}
    nrrd.write(str(tmp_path / "a.nhdr"), voxels, header)
    np.testing.assert_array_equal(_read(tmp_path / "a.nhdr"), voxels)
    (tmp_path / "a.raw.gz").rename(tmp_path / "b.raw.gz")
    with pytest.raises(InputError, match=r"a\.nhdr: data file: its voxels 'a\.raw\.gz' are not there"):
        NrrdSequence(tmp_path / "a.nhdr")


@pytest.mark.parametrize("name", ["../a.raw", "/etc/passwd", "LIST", "slice%03d.raw 1 10 1"])
def test_a_header_that_leads_elsewhere_is_not_followed(tmp_path: Path, name: str) -> None:
    path = write_slicer_sequence(tmp_path / "a.nhdr", noise(SHAPE), np.eye(4), encoding="raw")
    text = path.read_bytes().split(b"DataNode")[0]
    path.write_bytes(text + f"data file: {name}\n\n".encode())
    with pytest.raises(InputError, match=r"a\.nhdr: data file: .*not in one file beside it"):
        NrrdSequence(path)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("space: left-posterior-superior", "space: scanner-xyz", "space: space 'scanner-xyz' has no known anatomy"),
        ("domain list", "domain RGB-color", "kinds: its fourth axis is of kind RGB-color"),
        ("encoding: gzip", "encoding: hex", "encoding: voxels are encoded as 'hex'"),
        ("type: short", "type: block", "type: voxels are of type 'block'"),
        ("dimension: 4", "dimension: 5", r"sizes: sizes \(6, 5, 4, 3\) and dimension 5"),
        (" none", " (0,0,0)", "4 axes, of which 4 are in space|singular"),
        ("endian: little", "endian: middle", "endian: it does not say the order of bytes"),
        ("endian: little", "endian: little\nbyte skip: 100", r"byte skip: byte skip 100 is not supported"),
        ("NRRD0004", "NRRD0009", "the header cannot be read as NRRD"),
        ("sizes: 6", "sizes: x", "the header cannot be read as NRRD"),
        ("NRRD0004", "hello", "does not begin with an NRRD header"),
        ("space origin: (", "space origin: (nan,", "space direction|singular|header cannot"),
        ('units: "" "" ""', 'units: "m" "" ""', "units: space is in m"),
        (
            "DataNodeClassName:=vtkMRMLScalarVolumeNode\naxis 3",
            "Segment0_ID:=LV\naxis 9",
            "layers of overlapping segments",
        ),
    ],
)
def test_what_is_no_sequence_in_known_space_is_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = write_slicer_sequence(tmp_path / "a.nrrd", noise(SHAPE), np.eye(4))
    head, rest = path.read_bytes().split(b"\n\n", 1)
    assert old.encode() in head
    path.write_bytes(head.replace(old.encode(), new.encode()) + b"\n\n" + rest)
    with pytest.raises(InputError, match=rf"a\.nrrd: .*({problem})"):
        NrrdSequence(path)


def test_a_3d_file_is_one_phase_only_where_phases_are_wanted(tmp_path: Path) -> None:
    nrrd.write(str(tmp_path / "a.nrrd"), noise(SHAPE)[..., 0], {"spacings": [1.0, 1.0, 2.0]})
    with pytest.raises(InputError, match=r"a 3D image \(6, 5, 4\).*one per phase"):
        NrrdSequence(tmp_path / "a.nrrd")
    source = NrrdSequence(tmp_path / "a.nrrd", one_frame=True)
    np.testing.assert_array_equal(source.frame(0), noise(SHAPE)[..., 0])


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
@pytest.mark.parametrize("list_axis", [0, 3])
def test_a_truncated_file_is_refused(tmp_path: Path, encoding: str, list_axis: int) -> None:
    path = write_slicer_sequence(tmp_path / "a.nrrd", noise(SHAPE), np.eye(4), encoding=encoding, list_axis=list_axis)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"a\.nrrd: .*truncated"):
        _read(path)


def test_a_damaged_stream_is_refused_by_its_checksum(tmp_path: Path) -> None:
    path = write_slicer_sequence(tmp_path / "a.nrrd", noise(SHAPE), np.eye(4))
    content = bytearray(path.read_bytes())
    content[-6] ^= 255
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.nrrd: .*CRC check failed"):
        _read(path)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
@pytest.mark.parametrize("size", ["60000000", "900"])
def test_absurd_dimensions_ask_for_no_memory(tmp_path: Path, encoding: str, size: str) -> None:
    path = write_slicer_sequence(tmp_path / "a.nrrd", noise(SHAPE), np.eye(4), encoding=encoding)
    path.write_bytes(path.read_bytes().replace(b"sizes: 6 5 4", f"sizes: {size} {size} {size}".encode()))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"a\.nrrd: .*(announces|ends)"):
            _read(path)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()


def test_a_packed_file_is_unpacked_once_if_read_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_slicer_sequence(tmp_path / "a.nrrd", noise(SHAPE), np.eye(4))
    opened = []
    start = VoxelStream._open
    monkeypatch.setattr(VoxelStream, "_open", lambda self: opened.append(1) or start(self))
    source = NrrdSequence(path)
    assert len(list(source.frames())) == 3
    assert len(opened) == 1
    source.frame(0)
    assert len(opened) == 2


def test_voxels_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    voxels = noise(SHAPE).astype(np.float32)
    voxels[1, 1, 1, 2] = np.nan
    source = NrrdSequence(write_slicer_sequence(tmp_path / "a.nrrd", voxels, np.eye(4)))
    source.frame(1)
    with pytest.raises(InputError, match="frame 2 holds 1 NaN"):
        source.frame(2)


def test_without_pynrrd_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nrrd", None)
    path = write_slicer_sequence(tmp_path / "a.nrrd", noise(SHAPE), np.eye(4))
    with pytest.raises(InputError, match=r"pip install 'cardiac4d\[itk\]'"):
        NrrdSequence(path)
