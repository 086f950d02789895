# SPDX-License-Identifier: Apache-2.0
"""Overwriting: nothing of an earlier run stays among the results, and nothing else goes."""

import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from cardiac4d.errors import InputError
from cardiac4d.workflows import CaseResults, prepare_training_dir

EARLIER = ("cases.csv", "summary.json", "failures.csv", "cases_before_failure_0.csv", "segmentations/old_seg.nii.gz")
OTHERS = ("stage.json", "notes.csv", "segmentations/old.nii.gz", "segmentations/notes.txt", "pictures/old_seg.nii.gz")


@pytest.fixture
def folder(tmp_path):
    for name in (*EARLIER, *OTHERS, "segmentations/new_seg.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("earlier")
    return tmp_path


def test_a_resume_that_is_neither_true_nor_false_is_refused(tmp_path):
    with pytest.raises(InputError, match="resume: 'false' is neither true nor false"):
        prepare_training_dir(tmp_path, resume="false")


def _run(folder, *, overwrite, fails=False):
    def step(_engine, batch):
        if fails:
            raise ZeroDivisionError
        return batch

    engine = Engine(step)
    CaseResults(folder, overwrite=overwrite).attach(engine)
    pred = MetaTensor(torch.ones(1, 2, 2, 2, 2, dtype=torch.uint8), affine=torch.eye(4, dtype=torch.float64))
    engine.run([[{"id": "new", "pred": pred}]])


def _files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_overwriting_leaves_no_case_of_an_earlier_run(folder):
    _run(folder, overwrite=True)
    assert _files(folder) == {*OTHERS, "cases.csv", "summary.json", "segmentations/new_seg.nii.gz"}
    assert "new" in (folder / "cases.csv").read_text()


def test_nothing_is_removed_without_overwriting(folder):
    _run(folder, overwrite=False)
    assert _files(folder) >= {*EARLIER, *OTHERS}


def test_a_run_that_fails_leaves_no_table_of_an_earlier_one(folder):
    with pytest.raises(ZeroDivisionError):
        _run(folder, overwrite=True, fails=True)
    assert not {"cases.csv", "summary.json", "failures.csv"} & _files(folder)
    assert "segmentations/old_seg.nii.gz" in _files(folder)
