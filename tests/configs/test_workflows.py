# SPDX-License-Identifier: Apache-2.0
"""The commands of the README, end to end, on small studies."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from cardiac4d.errors import InputError
from cardiac4d.metrics.digits import decimals
from cardiac4d.workflows.input_errors import find_input_error
from tests.helpers.process import run_python
from tests.helpers.studies import SHAPE, write_small_dataset
from tests.helpers.warm_process import run_module, run_module_twice, start_module

ROOT = Path(__file__).resolve().parents[2]
TINY = {"roi_size": [12, 12, 8], "spacing_mm": [5.0, 5.0, 6.0], "num_workers": 0, "learning_rate": 0.002}


def bundle_command(run_id: str, *configs: str, **overrides: object) -> list[str]:
    files = str([f"configs/{name}.json" for name in configs]) if len(configs) > 1 else f"configs/{configs[0]}.json"
    command = ["monai.bundle", "run", run_id, "--config_file", files]
    if run_id == "training":  # not into the folder of the repository
        overrides = {"prepared_dir": Path(str(overrides["output_dir"])) / "prepared", **overrides}
    elif run_id in ("evaluating", "inference"):  # some seconds per study: once is enough
        overrides = {"report": False, **overrides}
    for name, value in overrides.items():
        command += [f"--{name}", str(value)]
    return command


def run_bundle(run_id: str, *configs: str, **overrides: object) -> str:
    return run_module(*bundle_command(run_id, *configs, **overrides), cwd=ROOT)


def refuse(run_id: str, *configs: str, **overrides: object) -> str:
    """Run in this process, which is quicker, and return the error."""
    files = [str(ROOT / "configs" / f"{name}.json") for name in configs]
    values = {name: str(value) if isinstance(value, Path) else value for name, value in overrides.items()}
    workflow = ConfigWorkflow(files, logging_file=False, bundle_root=str(ROOT), **values)
    workflow.run_id = run_id
    with pytest.raises((InputError, RuntimeError)) as failure:
        initialize_and_run(workflow)
    error = find_input_error(failure.value)
    assert error is not None, f"no InputError behind {failure.value}"
    return str(error)


def initialize_and_run(workflow: ConfigWorkflow) -> None:
    workflow.initialize()
    workflow.run()


def steps_done(checkpoint: dict[str, Any]) -> int:
    """Optimizer steps, by Adam's own count."""
    return int(checkpoint["optimizer"]["state"][0]["step"])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("data"), num_validation=3)


@pytest.fixture(scope="module")
def training(tmp_path_factory, dataset_dir):
    """A training by the README's command; several tests look at what it left."""
    folder = tmp_path_factory.mktemp("train")
    run_bundle("training", "train", dataset_dir=dataset_dir, output_dir=folder, max_epochs=3, val_interval=1, **TINY)
    return folder


@pytest.fixture(scope="module")
def model(training):
    return training / "checkpoints" / "model_last.pt"


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, dataset_dir, model):
    folder = tmp_path_factory.mktemp("evaluate") / "results"
    run_bundle("evaluating", "evaluate", dataset_dir=dataset_dir, checkpoint=model, output_dir=folder, **TINY)
    return folder


def test_training_leaves_last_and_best_model_and_two_checkpoints(training):
    names = {path.name for path in (training / "checkpoints").iterdir()}
    assert {"model_last.pt", "model_best.pt", "checkpoint_epoch=3.pt", "checkpoint_epoch=2.pt"} <= names
    assert "checkpoint_epoch=1.pt" not in names
    assert list((training / "tensorboard").glob("events*"))
    assert {"validation_case.png", "validation_ef.png"} <= {path.name for path in (training / "pictures").iterdir()}
    rows = rows_of(training / "history.csv")
    assert [float(row["epoch"]) for row in rows] == [1, 2, 3]
    assert all(row["train_dice_loss"] and row["val_dice_lv"] for row in rows)
    assert "model_last.pt, SHA-256" in (training / "training_summary.html").read_text(encoding="utf-8")


def test_training_follows_the_poly_schedule_and_validates(training):
    content = torch.load(training / "checkpoints" / "checkpoint_epoch=2.pt", weights_only=True)
    assert content["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.002 * (1 - 2 / 3) ** 0.9)
    assert content["epoch"] == 2
    assert 0 <= content["best_metric"] <= 1


def test_evaluation_measures_every_case_on_its_own_grid(evaluation, dataset_dir):
    rows = rows_of(evaluation / "cases.csv")
    assert [row["case_id"] for row in rows] == ["case0", "case1", "case2"]
    assert [int(row["num_frames"]) for row in rows] == [5, 6, 7]
    for row in rows:
        saved = nib.load(evaluation / "segmentations" / f"{row['case_id']}_seg.nii.gz")
        source = nib.load(dataset_dir / "image" / f"{row['case_id']}.nii.gz")
        assert saved.shape == source.shape
        np.testing.assert_allclose(saved.affine, source.affine)
        assert saved.header.get_zooms() == pytest.approx(source.header.get_zooms())
        assert saved.header.get_xyzt_units() == ("mm", "sec")
        voxel_ml = abs(np.linalg.det(saved.affine[:3, :3])) / 1000
        volumes = (np.asarray(saved.dataobj) == 1).sum(axis=(0, 1, 2)) * voxel_ml
        assert float(row["edv_ml"]) == pytest.approx(volumes.max(), abs=10.0 ** -decimals("edv_ml"))


def test_evaluation_summary_agrees_with_its_cases(evaluation):
    document = json.loads((evaluation / "summary.json").read_text(encoding="utf-8"))
    dice = [case["dice_lv"] for case in document["cases"]]
    assert document["summary"]["dice_lv_mean"] == pytest.approx(np.mean(dice), abs=10.0 ** -decimals("dice_lv"))
    assert document["summary"]["num_cases"] == 3


def test_inference_takes_one_file_by_dataset_dir(tmp_path, dataset_dir, model):
    study = dataset_dir / "image" / "case0.nii.gz"
    options = {"checkpoint": model, "output_dir": tmp_path / "out", "report": True}
    run_bundle("inference", "inference", dataset_dir=study, **options, **TINY)
    assert nib.load(tmp_path / "out" / "segmentations" / "case0_seg.nii.gz").shape == (*SHAPE, 5)
    assert {path.name for path in (tmp_path / "out" / "reports").glob("*.html")} == {"case0_report.html", "index.html"}
    (row,) = rows_of(tmp_path / "out" / "cases.csv")
    assert row["dice_lv"] == "nan"
    assert float(row["edv_ml"]) >= 0


def test_results_are_never_overwritten_silently(evaluation, dataset_dir, model):
    before = (evaluation / "cases.csv").read_bytes()
    message = refuse("evaluating", "evaluate", dataset_dir=dataset_dir, checkpoint=model, output_dir=evaluation, **TINY)
    assert "already holds results" in message
    assert str(evaluation) in message
    assert (evaluation / "cases.csv").read_bytes() == before


def test_last_line_of_a_failed_run_names_file_and_fix(tmp_path):
    broken = {"training": [{"image": "missing.nii.gz"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(broken), encoding="utf-8")
    command = bundle_command("training", "train", dataset_dir=tmp_path, output_dir=tmp_path / "out")
    code, _, screen = start_module(*command, cwd=ROOT).wait()
    assert code == 1
    last = screen.strip().splitlines()[-1]
    assert last.startswith(f"{tmp_path / 'dataset.json'}: training[0].image: missing.nii.gz does not exist")
    assert "Fix: " in last


def test_training_into_a_used_folder_is_refused(training, dataset_dir):
    message = refuse("training", "train", dataset_dir=dataset_dir, output_dir=training, max_epochs=3, **TINY)
    assert "holds a training already" in message
    assert "--resume True" in message


def test_model_of_another_resolution_is_refused(tmp_path, dataset_dir, model):
    other = {**TINY, "spacing_mm": [4.0, 4.0, 4.0]}
    message = refuse(
        "evaluating", "evaluate", dataset_dir=dataset_dir, checkpoint=model, output_dir=tmp_path / "out", **other
    )
    assert "trained with spacing_mm [5.0, 5.0, 6.0], this run uses [4.0, 4.0, 4.0]" in message


def test_baseline_trains_on_labelled_frames_and_goes_through_the_same_evaluation(tmp_path, dataset_dir):
    output = run_bundle(
        *("training", "train_3d"),
        **{"dataset_dir": dataset_dir, "output_dir": tmp_path / "train", "max_epochs": 1, "resident": True, **TINY},
    )
    assert "4 studies: 4 on cpu" in output
    checkpoint = tmp_path / "train" / "checkpoints" / "model_last.pt"
    content = torch.load(checkpoint.with_name("checkpoint_epoch=1.pt"), weights_only=True)
    assert steps_done(content) == 4, f"two sequences with two annotated frames each\n{output}"
    assert all(weight.ndim == 5 for name, weight in content["network"].items() if "conv" in name and weight.ndim > 1)
    run_bundle(
        "evaluating",
        "evaluate",
        "baseline_3d",
        dataset_dir=dataset_dir,
        checkpoint=checkpoint,
        output_dir=tmp_path / "evaluate",
        **TINY,
    )
    assert [int(row["num_frames"]) for row in rows_of(tmp_path / "evaluate" / "cases.csv")] == [5, 6, 7]


def test_killed_training_resumes_from_its_last_checkpoint(tmp_path, dataset_dir):
    overrides = {"dataset_dir": dataset_dir, "output_dir": tmp_path, "max_epochs": 200, "val_interval": 200, **TINY}
    process = start_module(*bundle_command("training", "train", **overrides, resume=True), cwd=ROOT)
    deadline = time.monotonic() + 120
    while not (tmp_path / "checkpoints" / "checkpoint_epoch=3.pt").exists():
        assert time.monotonic() < deadline, "no checkpoint within two minutes"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    code, _, screen = process.wait()
    assert code == -signal.SIGKILL, f"training ended before it could be killed\n{screen}"
    newest = max(int(p.stem.split("=")[1]) for p in (tmp_path / "checkpoints").glob("checkpoint_epoch=*.pt"))
    overrides |= {"max_epochs": newest + 1, "val_interval": newest + 1}
    log = run_bundle("training", "train", **overrides, resume=True)
    assert f"resumed from {tmp_path}/checkpoints/checkpoint_epoch={newest}.pt" in log
    content = torch.load(tmp_path / "checkpoints" / f"checkpoint_epoch={newest + 1}.pt", weights_only=True)
    assert content["epoch"] == newest + 1
    assert steps_done(content) == 2 * (newest + 1)


def torchrun(run_id: str, *configs: str, **overrides: object) -> str:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    return run_python(*launcher, *bundle_command(run_id, *configs, **overrides), cwd=ROOT)


def run_twice(run_id: str, *configs: str, **overrides: object) -> str:
    """The same two processes without the launcher."""
    return run_module_twice(*bundle_command(run_id, *configs, **overrides), cwd=ROOT)


def test_two_processes_train_evaluate_and_infer(tmp_path, dataset_dir):
    """With what is on by default on a GPU."""
    common = {"dataset_dir": dataset_dir, **TINY}
    as_on_gpu = {"resident": True, "head_in_loss": True}
    torchrun(
        *("training", "train", "multi_gpu_train"),
        **{"output_dir": tmp_path / "train", "max_epochs": 1, "val_interval": 1, **as_on_gpu, **common},
    )
    checkpoint = tmp_path / "train" / "checkpoints" / "model_last.pt"
    content = torch.load(checkpoint.with_name("checkpoint_epoch=1.pt"), weights_only=True)
    assert steps_done(content) == 1, "each of the two processes trains on one of the two sequences"
    common["checkpoint"] = checkpoint
    run_twice("evaluating", "evaluate", "multi_gpu_evaluate", output_dir=tmp_path / "2", **common)
    run_bundle("evaluating", "evaluate", output_dir=tmp_path / "1", **common)
    assert (tmp_path / "2" / "cases.csv").read_text() == (tmp_path / "1" / "cases.csv").read_text()
    run_twice(
        "inference",
        "inference",
        "multi_gpu_inference",
        output_dir=tmp_path / "3",
        **{**common, "dataset_dir": dataset_dir / "image"},
    )
    assert len(rows_of(tmp_path / "3" / "cases.csv")) == 5
    assert len(list((tmp_path / "3" / "segmentations").glob("*_seg.nii.gz"))) == 5


def test_two_processes_segment_one_study(tmp_path, dataset_dir, model):
    study = dataset_dir / "image" / "case0.nii.gz"
    options = {"dataset_dir": study, "checkpoint": model, "output_dir": tmp_path / "out", **TINY}
    run_twice("inference", "inference", "multi_gpu_inference", **options)
    assert [row["case_id"] for row in rows_of(tmp_path / "out" / "cases.csv")] == ["case0"]
    assert (tmp_path / "out" / "segmentations" / "case0_seg.nii.gz").is_file()


def test_more_processes_than_validation_cases_are_refused_in_training(tmp_path, dataset_dir):
    document = json.loads((dataset_dir / "dataset.json").read_text(encoding="utf-8"))
    document["validation"] = document["validation"][:1]
    (dataset_dir / "one.json").write_text(json.dumps(document), encoding="utf-8")
    options = {"dataset_dir": dataset_dir, "data_list": "one.json", "output_dir": tmp_path / "out", **TINY}
    with pytest.raises(
        AssertionError, match=r"validation: 2 processes for 1 case\. Fix: start at most --nproc_per_node"
    ):
        run_twice("training", "train", "multi_gpu_train", max_epochs=1, **options)
