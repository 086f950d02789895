# SPDX-License-Identifier: Apache-2.0
"""The command line that lists other people's folders."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.io import load_datalist
from tests.helpers.process import run_python
from tests.helpers.sequences import noise, write_nifti

SHAPE = (4, 4, 3, 4)


def test_the_script_writes_a_list_that_loads(tmp_path: Path, repo_root: Path) -> None:
    labels = np.full(SHAPE, 255, np.uint8)
    labels[..., 0], labels[:2, ..., 2], labels[2:, ..., 2] = 3, 3, 2
    rows = ["id,group,num_frames,ed_frame,es_frame,spacing_known"]
    for case in "abcd":
        rows.append(f"{case},NOR,4,0,2,1")
        write_nifti(tmp_path / f"{case}_4d.nii.gz", noise(SHAPE))
        write_nifti(tmp_path / f"{case}_4d_sparse_gt.nii.gz", labels)
    (tmp_path / "index.csv").write_text("\n".join(rows))
    output = tmp_path / "lists" / "dataset.json"
    run_python(
        "scripts/make_datalist.py",
        "cine",
        tmp_path,
        output,
        "--validation_fraction=0.5",
        cwd=repo_root,
        env={"PYTHONPATH": str(repo_root / "bundle")},
    )
    assert [len(load_datalist(output, section)) for section in ("training", "validation")] == [2, 2]
    assert load_datalist(output, "training")[0]["ef_percent"] == 50.0


@pytest.mark.parametrize(
    ("layout", "options", "expected"),
    [
        ("acdc2", {}, "no layout 'acdc2'. Fix: name one of acdc, cine, mnms, nnunet, phases"),
        ("mnms", {}, "the layout mnms needs --table_csv"),
        ("nnunet", {"lv": "LV"}, "the layout nnunet needs --lvm"),
        ("acdc", {"images": "*.nii"}, "--images means nothing for the layout acdc"),
        ("acdc", {}, "no Info.cfg in any folder below"),
    ],
)
def test_wrong_call_is_one_sentence(
    tmp_path: Path, repo_root: Path, layout: str, options: dict[str, Any], expected: str
) -> None:
    make = runpy.run_path(str(repo_root / "scripts" / "make_datalist.py"))["make_datalist"]
    with pytest.raises((SystemExit, InputError), match=expected):
        make(layout, str(tmp_path), str(tmp_path / "list.json"), **options)


def test_a_share_that_is_none_is_one_sentence(tmp_path: Path, repo_root: Path) -> None:
    make = runpy.run_path(str(repo_root / "scripts" / "make_datalist.py"))["make_datalist"]
    with pytest.raises(SystemExit, match=r"--validation_fraction must lie between 0 and 1, got 1\.5"):
        make("acdc", str(tmp_path), str(tmp_path / "d.json"), validation_fraction=1.5)
