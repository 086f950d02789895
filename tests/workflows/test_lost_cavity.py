# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from cardiac4d.conventions import LV, LVM
from cardiac4d.workflows import CaseResults
from cardiac4d.workflows.lost_cavity import warn_of_lost_cavity


def _pred(*frames_with_cavity: int) -> torch.Tensor:
    labels = torch.full((4, 4, 4, 5), LVM, dtype=torch.uint8)
    labels[1:3, 1:3, 1:3, list(frames_with_cavity)] = LV
    return labels


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ((0, 1, 3), "case7: no cavity in frames 2, 4 of 0..4: its end-systolic volume is 0"),
        ((0, 1, 2, 4), "case7: no cavity in frame 3 of 0..4"),
        ((), "case7: no cavity in any frame"),
    ],
)
def test_frames_without_cavity_are_named(frames, message, caplog):
    warn_of_lost_cavity("case7", _pred(*frames))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert message in record.getMessage()


def test_a_cavity_in_every_frame_needs_no_warning(caplog):
    warn_of_lost_cavity("case7", _pred(0, 1, 2, 3, 4))
    assert caplog.records == []


def test_every_segmented_case_is_looked_at(tmp_path, caplog):
    engine = Engine(lambda _engine, batch: batch)
    CaseResults(tmp_path).attach(engine)
    pred = MetaTensor(_pred(0, 2, 3, 4)[None], affine=torch.eye(4, dtype=torch.float64))
    engine.run([[{"id": "case7", "pred": pred}]])
    assert "case7: no cavity in frame 1 of 0..4" in caplog.text
