# SPDX-License-Identifier: Apache-2.0
"""The data list of a cine-MR folder: split, labels, reference ejection fraction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.io import (
    LabelConvention,
    ListOptions,
    NiftiSequence,
    annotated_frames,
    load_datalist,
    write_cine_datalist,
)
from tests.helpers.sequences import noise, write_nifti

SHAPE = (6, 6, 3, 5)
ACDC = Path(__file__).resolve().parents[2] / "../shared/data/acdc_cine"
GROUPS = {"DCM": 10, "NOR": 5}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows = ["id,group,num_frames,ed_frame,es_frame,spacing_known"]
    for group, count in GROUPS.items():
        for index in range(count):
            case = f"{group}{index}"
            rows.append(f"{case},{group},5,0,3,{index % 2}")
            labels = np.full(SHAPE, 255, np.uint8)
            labels[..., [0, 3]] = 1
            labels[:4, 0, 0, 0], labels[:1, 0, 0, 3] = 3, 3
            write_nifti(tmp_path / f"cine/{case}_4d.nii.gz", noise(SHAPE))
            write_nifti(tmp_path / f"cine/{case}_4d_sparse_gt.nii.gz", labels)
    (tmp_path / "cine/index.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "cine"


def _ids(path: Path, section: str) -> list[str]:
    return [entry["id"] for entry in load_datalist(path, section)]


def test_the_split_is_by_patient_stratified_and_reproducible(source: Path, tmp_path: Path) -> None:
    path = write_cine_datalist(source, tmp_path / "out/dataset.json", options=ListOptions(seed=3))
    training, validation = _ids(path, "training"), _ids(path, "validation")
    assert sorted(training + validation) == sorted(f"{g}{i}" for g, n in GROUPS.items() for i in range(n))
    assert [sum(case.startswith(group) for case in validation) for group in GROUPS] == [2, 1]
    again = write_cine_datalist(source, tmp_path / "again.json", options=ListOptions(seed=3))
    assert path.read_bytes() == again.read_bytes()
    other = write_cine_datalist(source, tmp_path / "other.json", options=ListOptions(seed=4))
    assert _ids(other, "validation") != validation


def test_entries_read_as_sparse_labels_of_a_full_cycle(source: Path, tmp_path: Path) -> None:
    entry = load_datalist(write_cine_datalist(source, tmp_path / "dataset.json"), "validation")[0]
    assert (entry["full_cycle"], entry["labeled_frames"], entry["ef_percent"]) == (True, [0, 3], 75.0)
    assert entry["label_map"] == {3: 1, 2: 2, 1: 0}
    assert Path(entry["image"]).parent == source.resolve()


def test_an_ejection_fraction_that_is_none_is_left_out(source: Path, tmp_path: Path) -> None:
    """Phases confused in the index: the cavity is larger at end-systole."""
    index = source / "index.csv"
    index.write_text(index.read_text().replace("NOR0,NOR,5,0,3", "NOR0,NOR,5,3,0"))
    path = write_cine_datalist(source, tmp_path / "dataset.json")
    entries = {e["id"]: e for section in ("training", "validation") for e in json.loads(path.read_text())[section]}
    assert [case for case, entry in entries.items() if "ef_percent" not in entry] == ["NOR0"]
    assert {len(load_datalist(path, section)) for section in ("training", "validation")} == {12, 3}


def test_a_folder_without_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"index\.csv: the table of the data set does not exist"):
        write_cine_datalist(tmp_path, tmp_path / "dataset.json")


def test_an_index_without_the_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("id,group\na,DCM\n")
    with pytest.raises(InputError, match=r"columns or rows are missing.*es_frame"):
        write_cine_datalist(tmp_path, tmp_path / "dataset.json")


def test_a_label_without_cavity_at_end_diastole_is_refused(source: Path, tmp_path: Path) -> None:
    write_nifti(source / "NOR0_4d_sparse_gt.nii.gz", np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match=r"NOR0_4d_sparse_gt\.nii\.gz: ed_frame: no cavity"):
        write_cine_datalist(source, tmp_path / "dataset.json")


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5])
def test_a_fraction_outside_0_and_1_is_refused(source: Path, tmp_path: Path, fraction: float) -> None:
    with pytest.raises(ValueError, match="`validation_fraction`"):
        write_cine_datalist(source, tmp_path / "dataset.json", ListOptions(validation_fraction=fraction))


@pytest.mark.skipif(not ACDC.is_dir(), reason="real cine data are not here")
def test_real_cine_data_have_the_documented_groups_and_ejection_fractions(tmp_path: Path) -> None:
    path = write_cine_datalist(ACDC, tmp_path / "dataset.json")
    entries = load_datalist(path, "training") + load_datalist(path, "validation")
    assert (len(entries), len(load_datalist(path, "validation"))) == (72, 15)
    for group, expected in {"NOR": 60, "HCM": 64, "RV": 54, "MINF": 30, "DCM": 17}.items():
        assert np.mean([e["ef_percent"] for e in entries if e["group"] == group]) == pytest.approx(expected, abs=1.0)
    assert sum(e["ef_percent"] < 55 for e in entries) == 38
    found = annotated_frames(NiftiSequence(entries[0]["label"]), LabelConvention(entries[0]["label_map"]))
    assert found == entries[0]["labeled_frames"]
    assert json.loads(path.read_text())["labels"]["255"] == "not annotated"
