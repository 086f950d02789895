# SPDX-License-Identifier: Apache-2.0
"""Reports of label maps that are there already: files that pair, references, and names that mean harm."""

from __future__ import annotations

import json
import logging
import runpy
from pathlib import Path

import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.geometry import TimeAxis
from cardiac4d.io import write_sequence
from cardiac4d.workflows import report_label_maps
from tests.helpers.studies import AFFINE, FRAME_DURATION_S, beating_ball, sparse

EVIL = "<img src=x onerror=alert(1)>"


def measures(folder: Path, case_id: str) -> dict:
    return json.loads((folder / f"{case_id}_measures.json").read_text())


def write_map(path: Path, voxels: np.ndarray) -> Path:
    return write_sequence(path, voxels, AFFINE, TimeAxis.uniform(voxels.shape[3], FRAME_DURATION_S))


def test_folders_of_images_and_label_maps_are_paired_by_name(two_studies: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    _, voxels = beating_ball()
    write_map(labels / "a_seg.nii.gz", voxels)
    page = report_label_maps(two_studies / "image", labels, tmp_path / "out", full_cycle=True, model_name="by hand")
    assert page == tmp_path / "out" / "a_report.html"
    assert measures(tmp_path / "out", "a")["provenance"]["model"] == "by hand"
    with pytest.raises(InputError, match="already holds results"):
        report_label_maps(two_studies / "image", labels, tmp_path / "out")
    with pytest.raises(InputError, match="no label map is named like"):
        report_label_maps(two_studies / "image", tmp_path / "out", tmp_path / "new")
    with pytest.raises(InputError, match="belong to one study"):
        report_label_maps(two_studies / "image", two_studies / "truth", tmp_path / "new", sex="male")


def test_label_map_of_another_grid_is_refused(two_studies: Path, tmp_path: Path) -> None:
    labels = tmp_path / "a.nii.gz"
    write_sequence(labels, np.zeros((18, 16, 10, 6), np.uint8), 2 * AFFINE, TimeAxis.uniform(6, 0.1))
    with pytest.raises(InputError, match="its affine places voxels"):
        report_label_maps(two_studies / "image" / "a.nii.gz", labels, tmp_path / "out")


def test_references_are_compared_and_missing_files_named(
    two_studies: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, voxels = beating_ball()
    images, maps, references = (tmp_path / name for name in ("images", "maps", "references"))
    for name in (EVIL, "=cmd()"):
        write_map(images / f"{name}.nii.gz", voxels.astype(np.int16))
        write_map(maps / f"{name}_seg.nii.gz", voxels)
    write_map(images / "alone.nii.gz", voxels)
    write_map(references / "=cmd().nii.gz", sparse(voxels, [0, 3]))
    write_map(references / f"{EVIL}_seg.nii.gz", voxels)
    with caplog.at_level(logging.WARNING):
        page = report_label_maps(images, maps, tmp_path / "out", reference=references, full_cycle=True)
    assert page.name == "index.html"
    assert "1 studies have no label map and are left out: alone" in caplog.text
    found = measures(tmp_path / "out", "=cmd()")["reference"]
    assert (found["source"], found["frames"], found["dice"]) == ("annotated_frames", [0, 3], {"lv": 1.0, "lvm": 1.0})
    dense = measures(tmp_path / "out", EVIL)["reference"]
    assert (dense["source"], dense["dice_all"], dense["ef_error_points"]) == ("truth", {"lv": 1.0, "lvm": 1.0}, 0.0)
    assert EVIL not in page.read_text(encoding="utf-8")
    assert "\n'=cmd(),6," in page.with_name("measures.csv").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="images and label maps are folders, but this is none"):
        report_label_maps(images, maps, tmp_path / "new", reference=two_studies / "truth" / "a.nii.gz")


def test_the_script_reports_one_study(two_studies: Path, tmp_path: Path, repo_root: Path) -> None:
    report = runpy.run_path(str(repo_root / "scripts" / "report.py"))["report"]
    files = {
        "image": two_studies / "image" / "a.nii.gz",
        "labels": two_studies / "truth" / "a.nii.gz",
        "output_dir": tmp_path,
    }
    options = {"full_cycle": True, "septal_direction": (1, 0.5, 0), "sex": "female", "model_name": "by hand"}
    printed = report(**{name: str(path) for name, path in files.items()}, **options)
    assert printed == f"report: {tmp_path / 'a_report.html'}"
    page = (tmp_path / "a_report.html").read_text(encoding="utf-8")
    assert "Healthy men" not in page
    assert "by hand" in page
    assert measures(tmp_path, "a")["wall_thickness"]["ed"]["segments_mm"] is None, "a ball has no long axis"
