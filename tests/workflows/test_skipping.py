# SPDX-License-Identifier: Apache-2.0
"""One study that cannot be read does not cost the others."""

import csv

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader
from monai.transforms import Compose, MapTransform

from cardiac4d.errors import InputError
from cardiac4d.workflows import SkippingDataset, SkippingEvaluator


class Load:
    """Stands for a loader; a value below 0 stands for a damaged file, one above 9 for a bug."""

    def __call__(self, entry):
        if entry["image"] < 0:
            raise InputError(f"{entry['id']}.nii.gz", "frame 1 of 6 cannot be read", "copy the file again")
        if entry["image"] > 9:
            raise ZeroDivisionError("a bug")
        return {**entry, "image": torch.full((1, 2, 2, 2, 2), float(entry["image"]))}


class _Notes:
    """A handler like those of a config: it sees the end of the run before the failure is raised."""

    def __init__(self, seen):
        self.seen = seen

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)
        engine.add_event_handler(Events.COMPLETED, lambda _engine: self.seen.append("completed"))

    def _note(self, engine):
        self.seen.extend(float(output["pred"].max()) for output in engine.state.output)
        assert len(engine.state.batch) == len(engine.state.output)


def _run(folder, values, num_workers=0, **options):
    """Run over cases named a, b, ...; return the numbers that reached the network."""
    entries = [{"id": "abcdefg"[index], "image": value} for index, value in enumerate(values)]
    loader = DataLoader(SkippingDataset(entries, Compose([Load()])), batch_size=1, num_workers=num_workers)
    seen = []
    handlers = [_Notes(seen)]
    evaluator = SkippingEvaluator(
        torch.device("cpu"),
        loader,
        torch.nn.Identity(),
        failures_csv=folder / "failures.csv",
        val_handlers=handlers,
        **options,
    )
    return evaluator, seen


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_other_cases_are_done_and_the_failed_one_is_named(tmp_path, caplog, num_workers):
    evaluator, seen = _run(tmp_path, [1, -1, 3], num_workers)
    with pytest.raises(InputError, match=r"1 case was passed over, .* b \(b\.nii\.gz: frame 1 of 6 .*Fix: ") as caught:
        evaluator.run()
    assert seen == [1.0, 3.0, "completed"]
    assert caught.value.source == str(tmp_path / "failures.csv")
    assert "b is passed over: b.nii.gz: frame 1 of 6 cannot be read. Fix: copy the file again." in caplog.text
    with (tmp_path / "failures.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row == {"case_id": "b", "problem": "b.nii.gz: frame 1 of 6 cannot be read. Fix: copy the file again."}


class _Write(MapTransform):
    """What saves results, and cannot save those of 2."""

    def __call__(self, data):
        if float(data["pred"].max()) == 2:
            raise InputError("b.nii.gz", "it is no DICOM study", "leave dicom-seg out")
        return data


def test_results_that_cannot_be_written_are_a_failure_of_their_case(tmp_path):
    evaluator, seen = _run(tmp_path, [1, 2, 3], postprocessing=Compose([_Write("pred")]))
    with pytest.raises(InputError, match=r"1 case was passed over, .* b \(b\.nii\.gz: it is no DICOM study"):
        evaluator.run()
    assert seen == [1.0, 3.0, "completed"]


def test_a_run_without_failure_ends_in_peace(tmp_path):
    evaluator, seen = _run(tmp_path, [1, 2])
    evaluator.run()
    assert seen == [1.0, 2.0, "completed"]
    assert not list(tmp_path.iterdir())


def test_cases_that_all_fail_are_counted(tmp_path):
    evaluator, seen = _run(tmp_path, [-1] * 5)
    with pytest.raises(InputError, match=r"5 cases were passed over, .* a \(.* b \(.* c \(.*\), 2 more"):
        evaluator.run()
    assert seen == ["completed"]


def test_a_bug_is_no_fault_of_the_case(tmp_path):
    evaluator, _ = _run(tmp_path, [1, 10])
    with pytest.raises(RuntimeError) as caught:
        evaluator.run()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
