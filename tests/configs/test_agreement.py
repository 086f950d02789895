# SPDX-License-Identifier: Apache-2.0
"""What two configs must agree on, since each of them is complete in itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from cardiac4d.conventions import HU_RANGE
from tests.helpers.configs import CONFIGS, OVERLAYS, WORKFLOWS, load, parse

UNUSED_BY = {
    "train": {"section"},
    "train_3d": {"num_frames", "window_frames", "section"},
    "evaluate": {"num_frames", "max_epochs", "learning_rate", "val_interval", "augmentation"},
    "inference": {"num_frames", "max_epochs", "learning_rate", "val_interval", "augmentation"},
}
"""Ids of overlays for several workflows that one of them does not need."""


def differences(one: Any, other: Any, path: str = "") -> set[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = set(one) | set(other)
        return set().union(*(differences(one.get(k), other.get(k), f"{path}::{k}".strip(":")) for k in keys))
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return set().union(*(differences(a, b, path) for a, b in zip(one, other, strict=True)))
    return set() if one == other else {path}


def test_baseline_trains_like_the_4d_network_but_for_what_makes_it_3d():
    assert differences(load("train"), load("train_3d")) == {
        "num_frames",
        "window_frames",
        "recipe::window_frames",
        "validate::inferer::window_frames",
        "run::num_frames",
        "run::window_frames",
        "settings::num_frames",
        "settings::window_frames",
        "train::handlers::title",
        "output_dir",
        "smoothness_weight",
        "train_data::_target_",
        "train_data::path",
        "train_data::section",
        "train_data::dataset_dir",
        "train_data::datalist",
        "network_def::spatial_dims",
        "train::random_transforms::roi_size",
        "train::inferer::framewise",
        "validate::inferer::framewise",
        "head_in_loss",
        "network_def::head_in_loss",
        "run::head_in_loss",
        "train::trainer::decollate",
    }


def test_inference_applies_what_was_trained():
    train, evaluate, inference = load("train"), load("evaluate"), load("inference")
    assert train["network_def"].pop("head_in_loss") == "@head_in_loss"  # of no matter outside of training
    for key in ("code_path", "network_def", "load_image", "scale_intensity", "orientation", "recipe"):
        assert train[key] == evaluate[key] == inference[key], key
    assert train["spacing_mm"] == evaluate["spacing_mm"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_intensities_are_scaled_from_the_documented_range(name):
    scale = ConfigParser(load(name)).get_parsed_content("scale_intensity")
    low, high = HU_RANGE
    hounsfield = torch.tensor([[low, 0.0, high, high + (high - low)]])
    assert scale({"image": hounsfield})["image"].tolist() == [[-1.0, 0.0, 1.0, 3.0]]


def test_evaluation_and_inference_report_alike():
    reports = [
        [handler for handler in load(name)["handlers"] if handler["_target_"].endswith("StudyReports")]
        for name in ("evaluate", "inference")
    ]
    assert reports[0] == reports[1]
    assert reports[0][0]["_disabled_"] == "$not (@report or 'dicom-sr' in @outputs)"


def test_shipped_weights_were_trained_with_the_overlay_and_fit_the_inference():
    recipe = json.loads((CONFIGS.parent / "models" / "model.json").read_text(encoding="utf-8"))
    inference, quick = load("inference"), load("quick")
    assert recipe == parse("inference").get_parsed_content("recipe")
    assert recipe == parse("train", "quick").get_parsed_content("recipe")
    assert quick["spacing_mm"] == inference["spacing_mm"]
    assert quick["roi_size"] == inference["roi_size"]
    assert quick["num_frames"] == inference["window_frames"]


@pytest.mark.parametrize("overlay", ["quick", "cine_mr"])
def test_overlay_is_applied_to_as_many_frames_as_it_trains_on(overlay):
    """Layers of a network trained on few frames hardly see a frame without padding beside it."""
    assert load(overlay)["num_frames"] == load(overlay)["window_frames"]


@pytest.mark.parametrize(("overlay", "base"), [(name, base) for name, bases in OVERLAYS.items() for base in bases])
def test_overlay_changes_ids_that_exist(overlay, base):
    """An id that the workflow does not know would be ignored without a word."""
    new_by_design = {"process_group", "sampler", "train::sampler", "validate::sampler", "finalize"}
    for key in set(load(overlay)) - new_by_design - UNUSED_BY.get(base, set()):
        content = load(base)
        for part in key.split("::")[:-1]:
            content = content[part]
        last = key.split("::")[-1]
        assert last in content or last in ("sampler",), key


@pytest.mark.parametrize("name", ["train", "train_3d"])
def test_page_of_a_training_states_ids_as_they_are(name):
    config = load(name)
    assert config["settings"] == {setting: f"@{setting}" for setting in config["settings"]}
    assert set(config["settings"]) <= set(config)


@pytest.mark.parametrize("name", ["train", "train_3d"])
def test_numbers_of_a_validation_are_there_before_they_are_logged(name):
    handlers = [handler["_target_"] for handler in load(name)["validate"]["handlers"]]
    assert handlers[0] == "cardiac4d.workflows.ValidationPictures"
    assert "_disabled_" not in load(name)["validate"]["handlers"][0], "its processes gather their cases"


def test_seed_rules_the_order_of_the_cases_with_many_processes_too():
    assert load("multi_gpu_train")["train::sampler"]["seed"] == "@seed"


@pytest.mark.parametrize("model_id", ["4d", "3d"])
@pytest.mark.parametrize("name", ["evaluate", "inference"])
def test_results_of_each_workflow_and_network_have_a_folder_of_their_own(name, model_id):
    overlays = ["baseline_3d"] if model_id == "3d" else []
    parser = parse(name, *overlays)
    assert Path(parser.get_parsed_content("output_dir")) == CONFIGS.parent / "outputs" / f"{name}_{model_id}"
    assert parser.get_parsed_content("model_name").lower().startswith(model_id)


@pytest.mark.parametrize("overlay", ["quick", "cine_mr"])
@pytest.mark.parametrize("name", ["evaluate", "inference"])
def test_overlay_of_the_training_applies_the_weights_as_they_were_trained(name, overlay):
    recipes = [parse(base, overlay).get_parsed_content("recipe") for base in ("train", name)]
    assert recipes[0] == recipes[1]
    assert set(recipes[0]) == {"spacing_mm", "orientation", "window_frames"}


@pytest.mark.parametrize("overlays", [(), ("quick",), ("cine_mr",)])
def test_baseline_has_no_window_in_time_to_compare(overlays):
    trained = parse("train_3d", *overlays).get_parsed_content("recipe")
    assert set(trained) == {"spacing_mm", "orientation"}
    assert parse("evaluate", "baseline_3d", *overlays).get_parsed_content("recipe") == trained


def test_inference_with_the_baseline_fits_a_baseline_trained_with_quick():
    """As the README says; of any other training, voxel size and window must be given."""
    trained, applied = parse("train_3d", "quick"), parse("inference", "baseline_3d")
    for key in ("recipe", "roi_size", "network_def::spatial_dims"):
        assert trained.get_parsed_content(key) == applied.get_parsed_content(key)


@pytest.mark.parametrize("name", ["train", "train_3d"])
def test_studies_stay_on_a_gpu_where_there_is_one(name):
    for device in ("cpu", "cuda"):
        parser = parse(name, device=f"$torch.device('{device}')")
        assert parser.get_parsed_content("resident") == (device == "cuda")
        assert load(name)["train"]["dataloader"]["num_workers"] == "$0 if @resident else @num_workers"


@pytest.mark.parametrize("overlays", [(), ("quick",), ("cine_mr",)])
def test_head_is_left_to_the_loss_on_a_gpu(overlays):
    """MONAI would cut a network's output into samples, which weights are not."""
    for device in ("cpu", "cuda"):
        parser = parse("train", *overlays, device=f"$torch.device('{device}')")
        on_gpu = device == "cuda"
        assert parser.get_parsed_content("head_in_loss") == on_gpu
        assert parser.get_parsed_content("network_def").head_in_loss == on_gpu
        assert parser.get_parsed_content("train::trainer::decollate") != on_gpu


@pytest.mark.parametrize("name", [*WORKFLOWS, *OVERLAYS])
def test_config_is_indented_by_four(name):
    text = (CONFIGS / f"{name}.json").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=4) + "\n"


def test_no_config_is_left_out():
    known = {*WORKFLOWS, *OVERLAYS, "metadata"}
    assert {path.stem for path in CONFIGS.glob("*.json")} == known
