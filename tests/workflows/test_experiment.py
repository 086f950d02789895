# SPDX-License-Identifier: Apache-2.0
import json
import subprocess

import pytest

from cardiac4d.errors import InputError
from cardiac4d.workflows import Experiment
from cardiac4d.workflows.comparison import compare
from cardiac4d.workflows.demonstration import describe

CASE = {
    "case_id": "a",
    "dice_all_lv": 0.9,
    "dice_all_lvm": 0.8,
    "surf_mm": 0.5,
    "ef_percent": 60.0,
    "ef_reference_percent": 62.5,
}


def option(command: list[str], name: str) -> str:
    return command[command.index(f"--{name}") + 1]


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """Stand-in for the subprocesses: records each command and leaves the file that its stage would leave."""
    ran: list[list[str]] = []

    def run(command, *, check, env):
        ran.append(command)
        folder = tmp_path / option(command, "output_dir")
        if "training" in command:
            (folder / "checkpoints").mkdir(parents=True)
            (folder / "checkpoints" / "model_last.pt").write_bytes(b"weights")
        else:
            summary = json.loads((SUMMARIES / "summary.json").read_text())
            (folder / "summary.json").write_text(json.dumps(summary))

    SUMMARIES = tmp_path / "made"
    SUMMARIES.mkdir()
    (SUMMARIES / "summary.json").write_text(json.dumps({"model": "m", "summary": make_summary(), "cases": [CASE]}))
    monkeypatch.setattr(subprocess, "run", run)
    return ran


def make_summary():
    import numpy as np

    from cardiac4d.metrics import evaluate_case, summarize_cases
    from cardiac4d.workflows.case_results import without_nan

    pred = np.zeros((4, 4, 4, 2), np.uint8)
    pred[1:3, 1:3, 1:3, 0] = 1
    pred[1:3, 1:3, 1:2, 1] = 1
    return without_nan(summarize_cases([evaluate_case("a", pred, pred, affine=np.eye(4))]))


CONFIGS = ("train", "train_3d", "evaluate", "inference", "baseline_3d", "quick")


@pytest.fixture(autouse=True)
def inputs(tmp_path):
    """The files whose contents the experiment notes."""
    (tmp_path / "bundle" / "configs").mkdir(parents=True)
    for name in CONFIGS:
        config_of(tmp_path, name).write_text(json.dumps({"name": name}))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.json").write_text(json.dumps({"training": []}))


def config_of(tmp_path, name):
    return tmp_path / "bundle" / "configs" / f"{name}.json"


def experiment(tmp_path, **overrides):
    return Experiment(tmp_path / "bundle", tmp_path / "data", tmp_path / "out", ("quick",), overrides)


def test_stages_run_once(tmp_path, commands):
    for _ in range(2):
        experiment(tmp_path).train()
        experiment(tmp_path).evaluate()
        experiment(tmp_path).infer(section="test")
    assert [command[4] for command in commands] == ["training", "evaluating", "inference"]
    assert option(commands[1], "checkpoint") == str(tmp_path / "out" / "train_4d" / "checkpoints" / "model_last.pt")
    assert option(commands[2], "dataset_dir") == str(tmp_path / "data"), "a list says what a file does not: full cycles"
    assert option(commands[2], "section") == "test"
    assert all("quick.json" in option(command, "config_file") for command in commands)


def test_sections_do_not_share_a_result(tmp_path, commands):
    experiment(tmp_path).evaluate(section="validation")
    experiment(tmp_path).evaluate(section="test")
    assert [option(command, "section") for command in commands] == ["validation", "test"]


def test_folder_begun_with_other_settings_is_refused(tmp_path, commands):
    experiment(tmp_path, max_epochs=1).train()
    with pytest.raises(InputError, match=r"begun with other settings \(max_epochs\)"):
        experiment(tmp_path, max_epochs=2).train()
    assert len(commands) == 1


@pytest.mark.parametrize("place", ["bundle", "."])
def test_folders_that_were_moved_together_keep_their_results(tmp_path, commands, place):
    """Data and results beside the configs in one checkout, or all three beside each other."""

    def stages(root):
        own = Experiment(root / "bundle", root / place / "data", root / place / "out", ("quick",))
        own.train()
        own.evaluate()
        own.infer()

    root, moved = tmp_path / "one", tmp_path / "moved"
    root.mkdir()
    (tmp_path / "bundle").rename(root / "bundle")
    (tmp_path / "data").rename(root / place / "data")
    stages(root)
    root.rename(moved)
    stages(moved)
    assert len(commands) == 3


def test_advice_names_the_target_that_starts_the_demonstration_anew(tmp_path, commands):
    experiment(tmp_path, max_epochs=1).train()
    with pytest.raises(InputError, match=r"Fix: .*output_dir.*`make clean-outputs`"):
        experiment(tmp_path, max_epochs=2).train()


def test_other_data_of_the_same_content_is_refused(tmp_path, commands):
    experiment(tmp_path).train()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "dataset.json").write_text(json.dumps({"training": []}))
    with pytest.raises(InputError, match=r"begun with other settings \(dataset_dir\)"):
        Experiment(tmp_path / "bundle", tmp_path / "other", tmp_path / "out", ("quick",)).train()


@pytest.mark.parametrize(
    ("path", "named"),
    [("bundle/configs/quick.json", r"quick\.json"), ("data/dataset.json", r"dataset\.json")],
)
def test_folder_begun_with_other_contents_of_a_file_is_refused(tmp_path, commands, path, named):
    experiment(tmp_path).train()
    (tmp_path / path).write_text(json.dumps({"changed": True}))
    with pytest.raises(InputError, match=rf"begun with other settings \(content of {named}\)"):
        experiment(tmp_path).train()
    assert len(commands) == 1


@pytest.mark.parametrize("stray", ["checkpoints/model_last.pt", "checkpoints/checkpoint_epoch=3.pt", "notes.txt"])
def test_folder_of_unknown_origin_is_refused(tmp_path, commands, stray):
    path = tmp_path / "out" / "train_4d" / stray
    path.parent.mkdir(parents=True)
    path.write_bytes(b"of unknown origin")
    with pytest.raises(InputError, match=r"train_4d: .*stage\.json.*Fix: choose another output_dir"):
        experiment(tmp_path).train()
    assert commands == []
    assert path.read_bytes() == b"of unknown origin"


def test_what_a_killed_write_left_is_no_foreign_content(tmp_path, commands):
    (tmp_path / "out" / "train_4d").mkdir(parents=True)
    (tmp_path / "out" / "train_4d" / ".0a1b2c3d-stage.json").write_text("{")
    experiment(tmp_path).train()
    assert len(commands) == 1


def test_interrupted_stage_goes_on(tmp_path, commands):
    experiment(tmp_path).train()
    (tmp_path / "out" / "train_4d" / "checkpoints" / "model_last.pt").unlink()
    (tmp_path / "out" / "train_4d" / "checkpoints").rmdir()
    experiment(tmp_path).train()
    assert [option(command, "resume") for command in commands] == ["True", "True"]


def test_overlay_that_does_not_exist_is_named(tmp_path, commands):
    unknown = Experiment(tmp_path / "bundle", tmp_path / "data", tmp_path / "out", ("quik",))
    with pytest.raises(InputError, match=r"quik\.json: no such config.*quick"):
        unknown.train()
    assert commands == []
    assert not (tmp_path / "out").exists()


def test_comparison_trains_and_evaluates_both_networks(tmp_path, commands):
    table = compare(experiment(tmp_path))
    assert "4D network" in table
    assert "3D network" in table
    assert (tmp_path / "out" / "table.md").read_text() == table + "\n"
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"ef_agreement_4d.png", "ef_agreement_3d.png"}
    assert [command[4] for command in commands] == ["training", "evaluating"] * 2
    assert ["baseline_3d" in option(command, "config_file") for command in commands] == [False, False, False, True]


def test_comparison_of_a_cohort_without_reference_draws_no_agreement(tmp_path, commands):
    unknown = {**CASE, "ef_reference_percent": None}
    made = {"model": "m", "summary": make_summary(), "cases": [unknown]}
    (tmp_path / "made" / "summary.json").write_text(json.dumps(made))
    assert "4D network" in compare(experiment(tmp_path))
    assert not list((tmp_path / "out").glob("*.png"))


def test_description_shows_every_case_and_the_summary():
    text = describe({"model": "4D network", "summary": make_summary(), "cases": [CASE]})
    assert "60.0 %" in text
    assert "62.5 %" in text
    assert "Dice LVM" in text
