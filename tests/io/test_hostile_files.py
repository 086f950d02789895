# SPDX-License-Identifier: Apache-2.0
"""Whatever is in a file, a reader reads it or refuses it with the one documented exception, in time and in memory.

``CARDIAC4D_FUZZ=100 python -m pytest tests/io/test_hostile_files.py`` tries a hundred times as many examples.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import signal
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cardiac4d.errors import InputError
from cardiac4d.io import (
    LabelConvention,
    find_inputs,
    load_datalist,
    open_sequence,
    read_labels,
    read_prepared,
    write_acdc_datalist,
    write_mnms_datalist,
    write_prepared,
)
from tests.helpers.damage import Damage, damages
from tests.helpers.dicom_studies import Study, write_enhanced, write_images
from tests.helpers.formats import write_metaimage, write_slicer_sequence
from tests.helpers.sequences import AFFINES, noise, write_nifti

SHAPE = (4, 3, 2, 3)
SECONDS = 20
REAL = Path(__file__).resolve().parents[2] / "../shared/data"
TIMES = int(os.environ.get("CARDIAC4D_FUZZ", "1"))
IN_ONE_FOLDER = [HealthCheck.function_scoped_fixture]


def hostile(examples: int) -> settings:
    return settings(deadline=None, suppress_health_check=IN_ONE_FOLDER, max_examples=TIMES * examples)


def _nifti(suffix: str) -> Callable[[Path], Path]:
    return lambda folder: write_nifti(folder / f"study{suffix}", noise(SHAPE))


def _slicer(encoding: str, axis: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "study.seq.nrrd"
        return write_slicer_sequence(path, noise(SHAPE), AFFINES["oblique"], encoding=encoding, list_axis=axis)

    return write


def _meta(suffix: str, packed: bool) -> Callable[[Path], Path]:
    return lambda folder: write_metaimage(folder / f"study{suffix}", noise(SHAPE), AFFINES["plain"], packed=packed)


def _enhanced(folder: Path) -> Path:
    tags = lambda k, t: {"NominalPercentageOfCardiacPhase": float(30 * t)}  # noqa: E731
    study = Study(voxels=np.zeros(SHAPE, np.uint16))
    return write_enhanced(folder / "study.dcm", study, lambda k, t: {"FrameContentSequence": []} | tags(k, t))


FORMATS: dict[str, Callable[[Path], Path]] = {
    "nii": _nifti(".nii"),
    "nii.gz": _nifti(".nii.gz"),
    "nrrd raw": _slicer("raw", 3),
    "nrrd gzip": _slicer("gzip", 0),
    "mha": _meta(".mha", False),
    "mha packed": _meta(".mha", True),
    "mhd": _meta(".mhd", False),
}


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """A hang becomes a failure, where the platform has alarms."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def hang(*_: Any) -> None:
        raise AssertionError(f"no answer within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def exercise(place: Any) -> None:
    """Read a sequence, or have it refused; anything else is a failure."""
    with in_time(), contextlib.suppress(InputError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = open_sequence(place)
        assert len(source.time_axis()) == source.num_frames
        assert np.isfinite(source.grid.affine).all()
        source.header_meta()
        for frame in source.frames(range(min(source.num_frames, 3))):
            assert frame.shape == source.grid.shape
            assert np.isfinite(frame).all()
    with in_time(), contextlib.suppress(InputError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for labels in read_labels(open_sequence(place), LabelConvention()):
            assert set(np.unique(labels)) <= {0, 1, 2, 255}


@pytest.mark.parametrize("name", FORMATS)
@hostile(60)
@given(damage=damages)
def test_damaged_file_is_read_or_refused(name: str, damage: Damage, tmp_path: Path) -> None:
    path = FORMATS[name](tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    exercise(path)


@pytest.fixture(scope="module")
def dicom_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    study = Study(tags=lambda k, t: {"TriggerTime": 40.0 * t}, voxels=np.ones(SHAPE, np.uint16))
    write_images(folder, study)
    return folder


@hostile(25)
@given(damage=damages, which=st.integers(0, 5))
def test_damaged_dicom_image_is_read_or_refused(dicom_study: Path, damage: Damage, which: int, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(dicom_study, folder)
    file = sorted(folder.iterdir())[which]
    file.write_bytes(damage(file.read_bytes()))
    exercise(folder)


@hostile(25)
@given(damage=damages)
def test_damaged_prepared_study_is_read_or_refused(damage: Damage, tmp_path: Path) -> None:
    import torch
    from monai.data import MetaTensor

    path = write_prepared(tmp_path / "a.pt", {"image": MetaTensor(torch.zeros(1, 3, 3, 3, 2)), "id": "a"})
    path.write_bytes(damage(path.read_bytes()))
    with in_time(), contextlib.suppress(InputError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_prepared(path)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)
FIELDS = (
    *("id", "image", "label", "truth", "labeled_frames", "frames", "full_cycle", "ef_percent", "label_map"),
    *("empty_frames_are_unlabeled", "axis_order", "frame_times_ms", "rr_interval_ms", "phase_key", "series", "study"),
)


@hostile(120)
@given(field=st.sampled_from(FIELDS), value=values, at_top=st.booleans())
def test_any_value_in_a_data_list_is_taken_or_refused(field: str, value: Any, at_top: bool, tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", noise(SHAPE))
    write_nifti(tmp_path / "b.nii", np.ones(SHAPE, np.uint8))
    entry = {"id": "a", "image": "a.nii", "label": "b.nii"}
    document: dict[str, Any] = {"training": [entry], "validation": [], "test": []}
    (document if at_top else entry)[field] = value
    (tmp_path / "dataset.json").write_text(json.dumps(document), encoding="utf-8")
    with in_time(), contextlib.suppress(InputError):
        load_datalist(tmp_path / "dataset.json", "training")


@hostile(40)
@given(
    content=st.one_of(
        st.binary(max_size=60), st.text(max_size=60).map(str.encode), values.map(json.dumps).map(str.encode)
    )
)
def test_any_file_may_stand_where_a_table_or_list_is_expected(content: bytes, tmp_path: Path) -> None:
    patient = tmp_path / "patient001"
    patient.mkdir(exist_ok=True)
    (patient / "Info.cfg").write_bytes(content)
    (tmp_path / "table.csv").write_bytes(content)
    (tmp_path / "dataset.json").write_bytes(content)
    write_nifti(tmp_path / "A_sa.nii.gz", noise(SHAPE))
    for read in (
        lambda: load_datalist(tmp_path / "dataset.json", "training"),
        lambda: write_acdc_datalist(tmp_path, tmp_path / "out.json"),
        lambda: write_mnms_datalist(tmp_path, tmp_path / "table.csv", tmp_path / "out.json"),
    ):
        with in_time(), contextlib.suppress(InputError):
            read()


# Known tricks


def _header(path: Path, shape: tuple[int, ...], dtype: Any = np.int16) -> Path:
    """A NIfTI header that announces a shape, with a few voxels behind it."""
    image = nib.Nifti1Image(np.zeros((1, 1, 1, 1), dtype), np.eye(4))
    content = bytearray(image.to_bytes())
    content[40:56] = struct.pack("<8h", len(shape), *shape, *[1] * (7 - len(shape)))
    path.write_bytes(gzip.compress(bytes(content)) if path.suffix == ".gz" else bytes(content))
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("shape", [(32767, 32767, 32767, 32767), (0, 3, 3, 3), (-1, 3, 3, 3), (512, 512, 512, 1000)])
def test_absurd_dimensions_are_refused_before_memory_is_asked_for(
    tmp_path: Path, suffix: str, shape: tuple[int, ...]
) -> None:
    with in_time(), pytest.raises(InputError, match="study"):
        open_sequence(_header(tmp_path / f"study{suffix}", shape))


def test_bomb_that_unpacks_without_end_is_read_only_as_far_as_its_header_says(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "study.nii", noise(SHAPE))
    packed = tmp_path / "study.nii.gz"
    with gzip.open(packed, "wb", compresslevel=9) as file:
        file.write(path.read_bytes())
        for _ in range(64):
            file.write(bytes(1 << 22))  # 256 MB of nothing behind the voxels
    assert packed.stat().st_size < 1 << 20
    exercise(packed)


@pytest.mark.parametrize(
    "name", ["../../../../etc/passwd", "/etc/passwd", "~/study.nii", "a\x00b", "a" * 5000, ".", ""]
)
@pytest.mark.parametrize("field", ["id", "image", "label"])
def test_path_out_of_the_folder_or_of_the_system_is_no_study(tmp_path: Path, name: str, field: str) -> None:
    write_nifti(tmp_path / "a.nii", noise(SHAPE))
    write_nifti(tmp_path / "b.nii", np.ones(SHAPE, np.uint8))
    entry = {"id": "a", "image": "a.nii", "label": "b.nii", field: name}
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [entry]}), encoding="utf-8")
    if field == "id" and name == "":
        assert load_datalist(tmp_path / "dataset.json", "training")[0]["id"] == "a"
        return
    with in_time(), pytest.raises(InputError):
        load_datalist(tmp_path / "dataset.json", "training")


def test_link_in_a_circle_ends(tmp_path: Path) -> None:
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "back").symlink_to(tmp_path / "loop")
    with in_time(), pytest.raises(InputError):
        find_inputs(tmp_path / "loop")


# Real files


def real_files() -> list[Path]:
    files = [
        REAL / "acdc_layout" / "patient001" / "patient001_frame01.nii.gz",
        REAL / "acdc_cine" / "patient001_4d.nii.gz",
    ]
    return [*files, *sorted((REAL / "cine_dicom").rglob("*.dcm"))[:1]]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not here")
@hostile(15)
@given(damage=damages, which=st.integers(0, 2))
def test_damaged_real_file_is_read_or_refused(damage: Damage, which: int, tmp_path: Path) -> None:
    files = real_files()
    real = files[which % len(files)]
    path = tmp_path / real.name
    path.write_bytes(damage(real.read_bytes()))
    exercise(path)
