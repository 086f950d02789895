# SPDX-License-Identifier: Apache-2.0
"""One 3D file per phase: order, equal grids, times; and every kind of place that a data list or command may name."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.io import find_inputs, listed_files, load_datalist, open_sequence, reopen
from cardiac4d.transforms import LoadSequence
from tests.helpers.formats import write_metaimage, write_slicer_sequence
from tests.helpers.sequences import AFFINES, ball_labels, noise, write_nifti

SHAPE = (6, 5, 4, 12)
NIBABEL_4D = Path(nib.__file__).parent / "tests/data/example4d.nii.gz"


@pytest.fixture
def phases(tmp_path: Path) -> Path:
    """``heart/tf0 .. tf11``, of which tf2 comes before tf10, in three formats."""
    voxels = noise(SHAPE)
    folder = tmp_path / "heart"
    folder.mkdir()
    for t in range(12):
        name, volume = folder / f"tf{t}", voxels[..., t]
        if t % 3 == 0:
            write_metaimage(name.with_suffix(".mha"), volume, AFFINES["oblique"], packed=t == 6)
        else:
            write_nifti(name.with_suffix(".nii" if t % 3 == 1 else ".nii.gz"), volume, AFFINES["oblique"])
    (folder / "notes.txt").write_text("notes")
    (folder / ".tf99.nii").write_bytes(b"half a file")
    return folder


def _read(place: Any) -> np.ndarray:
    return np.stack(list(open_sequence(place).frames()), axis=-1)


def test_a_folder_a_pattern_and_a_list_are_the_same_sequence(phases: Path) -> None:
    files = [next(phases.glob(f"tf{t}.*")) for t in range(12)]
    for place in (phases, str(phases / "tf*"), files, {"files": [str(file) for file in files]}):
        np.testing.assert_array_equal(_read(place), noise(SHAPE))
        assert listed_files(place) == files
    source = open_sequence(phases)
    assert (source.path, source.num_frames, source.grid.shape) == (phases, 12, SHAPE[:3])
    np.testing.assert_allclose(source.grid.affine, AFFINES["oblique"], atol=1e-5)
    assert np.isnan(source.time_axis().frame_times_ms).all()


def test_a_list_keeps_its_order_and_says_so(phases: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = sorted(phases.glob("tf*"), key=str)
    with caplog.at_level(logging.WARNING):
        source = open_sequence(files)
    np.testing.assert_array_equal(source.frame(2), noise(SHAPE)[..., 10])
    assert "tf11.nii.gz comes before tf2.nii.gz" in caplog.text


def test_a_file_on_another_grid_is_named(phases: Path) -> None:
    write_nifti(phases / "tf4.nii", noise((6, 5, 3)), AFFINES["oblique"])
    with pytest.raises(InputError, match=r"tf4\.nii: its shape \(6, 5, 3\) differs from \(6, 5, 4\) of tf0\.mha"):
        open_sequence(phases)
    write_nifti(phases / "tf4.nii", noise(SHAPE[:3]), AFFINES["flipped"])
    with pytest.raises(InputError, match=r"tf4\.nii: its affine places voxels up to .* mm from those of tf0\.mha"):
        open_sequence(phases)


def test_a_sequence_among_phases_is_named(phases: Path) -> None:
    write_nifti(phases / "tf4.nii", noise(SHAPE), AFFINES["oblique"])
    with pytest.raises(InputError, match=r"tf4\.nii: it holds 12 frames, but is one of 12 files"):
        open_sequence(phases)


def test_the_same_phase_in_two_formats_is_refused(phases: Path) -> None:
    write_nifti(phases / "tf4.nii.gz", noise(SHAPE[:3]), AFFINES["oblique"])
    with pytest.raises(InputError, match=r"heart: tf4\.nii(\.gz)? and tf4\.nii(\.gz)? would be one phase"):
        open_sequence(phases)


@pytest.mark.parametrize(
    ("place", "problem"),
    [("none/*.nii", "no image file matches"), ([], "an empty list"), ("tf1.dcm", "does not exist")],
)
def test_a_place_without_files_is_refused(place: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        open_sequence(place)


def test_a_damaged_phase_is_named(phases: Path) -> None:
    (phases / "tf5.nii.gz").write_bytes((phases / "tf5.nii.gz").read_bytes()[:150])
    with pytest.raises(InputError, match=r"tf5\.nii\.gz: .*cannot be read"):
        _read(phases)


def test_times_come_from_the_list_if_told(phases: Path) -> None:
    times = [10.0 * t**1.5 for t in range(12)]
    np.testing.assert_allclose(
        open_sequence({"files": phases, "frame_times_ms": times}).time_axis().frame_times_ms, times
    )
    for wrong, problem in (([1, 2], "2 times for 12 frames"), (times[::-1], "ascend"), ("soon", "soon|could not")):
        with pytest.raises(InputError, match=rf"heart: frame_times_ms: .*({problem})"):
            open_sequence({"files": phases, "frame_times_ms": wrong})


def test_times_come_from_percentages_in_names_if_told(tmp_path: Path) -> None:
    for percent in (0, 5, 10, 37.5):
        write_nifti(tmp_path / f"s1_ct_{percent}pct.nii", noise(SHAPE[:3]))
    axis = open_sequence({"files": tmp_path, "rr_interval_ms": 800}).time_axis(full_cycle=True)
    np.testing.assert_allclose(axis.frame_times_ms, [0, 40, 80, 300])
    assert axis.cycle_length_ms == 800
    write_nifti(tmp_path / "s1_ct_99.nii", noise(SHAPE[:3]))
    with pytest.raises(InputError, match=r"s1_ct_99\.nii: rr_interval_ms: its name holds no percentages"):
        open_sequence({"files": tmp_path, "rr_interval_ms": 800})
    with pytest.raises(InputError, match="'fast' is not a length of time"):
        open_sequence({"files": tmp_path, "rr_interval_ms": "fast"})


def test_an_entry_of_a_data_list_names_any_place(phases: Path, tmp_path: Path) -> None:
    label = write_slicer_sequence(tmp_path / "l.seq.nrrd", ball_labels(SHAPE, (0, 3)), AFFINES["oblique"], list_axis=0)
    times = list(range(0, 480, 40))
    images = ["heart", "heart/tf*", [f"heart/{file.name}" for file in listed_files(phases)]]
    for image in images:
        entry = {"image": image, "label": label.name, "labeled_frames": [0, 3], "frame_times_ms": times}
        (tmp_path / "d.json").write_text(json.dumps({"training": [entry]}))
        (loaded,) = load_datalist(tmp_path / "d.json", "training")
        assert loaded["id"] == "heart"
        assert "frame_times_ms" not in loaded
        np.testing.assert_array_equal(_read(loaded["image"]), noise(SHAPE))
        np.testing.assert_allclose(open_sequence(loaded["image"]).time_axis().frame_times_ms, times)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"image": "heart/x*"}, r"training\[0\]\.image: heart/x\*: no image file matches"),
        ({"image": ["heart/tf1.nii", "heart/tf2.nii"]}, "heart/tf2.nii does not exist"),
        ({"image": "heart", "label": "heart/tf*"}, "is the image itself"),
        ({"image": "heart", "rr_interval_ms": 800, "frame_times_ms": [0]}, "both give times"),
        ({"image": "heart", "label": "l", "axis_order": "xytz"}, "axis_order: several files"),
        ({"image": "heart/tf0.mha", "label": "l", "axis_order": "xytz"}, "axis_order: only NIfTI files"),
    ],
)
def test_an_entry_that_names_no_sequence_is_refused(phases: Path, entry: dict[str, Any], problem: str) -> None:
    path = phases.parent / "d.json"
    (phases.parent / "l").mkdir()
    path.write_text(json.dumps({"training": [entry]}))
    with pytest.raises(InputError, match=problem):
        load_datalist(path, "training")


def test_a_phase_that_is_trained_on_and_held_out_is_found(phases: Path, tmp_path: Path) -> None:
    document = {"training": ["heart"], "validation": [{"image": ["heart/tf3.mha", "heart/tf4.nii"]}]}
    (tmp_path / "d.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"training\[0\]\.image: .*tf3\.mha is in validation\[0\] too"):
        load_datalist(tmp_path / "d.json", "training")


def test_a_pattern_on_the_command_line_is_one_sequence_of_3d_files(phases: Path) -> None:
    (entry,) = find_inputs(str(phases / "*"), full_cycle=True)
    assert entry["id"] == "heart"
    np.testing.assert_array_equal(_read(entry["image"]), noise(SHAPE))


def test_a_pattern_on_the_command_line_is_each_of_its_4d_files(tmp_path: Path) -> None:
    for name in ("b_4d.nii.gz", "a_4d.nii"):
        write_nifti(tmp_path / name, noise((4, 4, 3, 2)))
    write_slicer_sequence(tmp_path / "c_4d.seq.nrrd", noise((4, 4, 3, 2)), np.eye(4))
    write_nifti(tmp_path / "label.nii", noise((4, 4, 3, 2)))
    assert [entry["id"] for entry in find_inputs(tmp_path / "*_4d*")] == ["a_4d", "b_4d", "c_4d"]
    for name in ("d_4d.nii", "e_4d.nii"):
        write_nifti(tmp_path / name, noise((4, 4, 3)))
    with pytest.raises(InputError, match=r"d_4d\.nii holds one frame, a_4d\.nii several"):
        find_inputs(tmp_path / "*_4d*")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_whose_third_axis_is_time_is_read_if_told(tmp_path: Path, suffix: str) -> None:
    voxels = noise((6, 5, 4, 3))
    image = nib.Nifti1Image(np.moveaxis(voxels, 3, 2), AFFINES["oblique"] @ np.diag([1, 1, 30 / 1.9, 1]))
    image.header["pixdim"][4] = 1.9
    image.header.set_xyzt_units("mm", "msec")
    nib.save(image, tmp_path / f"a{suffix}")
    place = {"files": tmp_path / f"a{suffix}", "axis_order": "xytz"}
    np.testing.assert_array_equal(_read(place), voxels)
    source = open_sequence(place)
    np.testing.assert_allclose(source.grid.affine, AFFINES["oblique"], atol=1e-5)
    np.testing.assert_allclose(source.time_axis().frame_times_ms, [0, 30, 60], rtol=1e-6)
    assert open_sequence(tmp_path / f"a{suffix}").grid.shape == (6, 5, 3), "the order is never guessed"


@pytest.mark.parametrize(("order", "problem"), [("tzyx", "'tzyx' is not one of"), ("xytz", r"pixdim\[4\].* is 0")])
def test_an_order_of_axes_that_cannot_be_is_refused(tmp_path: Path, order: str, problem: str) -> None:
    path = write_nifti(tmp_path / "a.nii", noise((6, 5, 4, 3)), step=0.0)
    with pytest.raises(InputError, match=problem):
        open_sequence({"files": path, "axis_order": order})


def test_a_real_sequence_is_read_as_nibabel_reads_it() -> None:
    image = nib.load(NIBABEL_4D)
    np.testing.assert_allclose(_read(NIBABEL_4D), image.get_fdata())
    np.testing.assert_array_equal(open_sequence(NIBABEL_4D).grid.affine, image.affine)
    assert open_sequence(NIBABEL_4D).time_axis().frame_duration_ms == 2000e3, (
        "a repetition time in the wrong unit, as it stands"
    )


def test_loaded_sequence_can_be_opened_again_with_its_options(tmp_path: Path) -> None:
    files = [write_nifti(tmp_path / f"tf{t}_{50 * t}%.nii.gz", np.full((3, 3, 3), t, np.int16)) for t in range(2)]
    place = {"files": [str(file) for file in files], "rr_interval_ms": 800.0}
    image = LoadSequence(spacing_mm=None, orientation=None)(place)
    again = reopen(image.meta)
    assert [int(frame[0, 0, 0]) for frame in again.frames()] == [0, 1]
    assert again.time_axis().frame_times_ms.tolist() == [0.0, 400.0]
