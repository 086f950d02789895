# SPDX-License-Identifier: Apache-2.0
"""What two configs must agree on, since each of them is complete in itself."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from cardiac4d.conventions import HU_RANGE
from tests.helpers.studies import write_small_dataset

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
WORKFLOWS = {"train": "train", "train_3d": "train", "evaluate": "infer", "inference": "infer"}
README = (CONFIGS.parent / "README.md").read_text(encoding="utf-8")
OVERLAYS = {
    "quick": ("train", "train_3d", "evaluate", "inference"),
    "cine_mr": ("train", "train_3d", "evaluate", "inference"),
    "augment": ("train", "train_3d"),
    "baseline_3d": ("evaluate", "inference"),
    "multi_gpu_train": ("train", "train_3d"),
    "multi_gpu_evaluate": ("evaluate",),
    "multi_gpu_inference": ("inference",),
}
UNUSED_BY = {
    "train": {"section"},
    "train_3d": {"num_frames", "window_frames", "section"},
    "evaluate": {"num_frames", "max_epochs", "learning_rate", "val_interval", "augmentation"},
    "inference": {"num_frames", "max_epochs", "learning_rate", "val_interval", "augmentation"},
}
"""Ids of overlays for several workflows that one of them does not need."""


def load(name: str) -> dict[str, Any]:
    return json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))


def parse(*names: str, **values: Any) -> ConfigParser:
    """Configs laid over each other, as ``monai.bundle run`` lays them."""
    parser = ConfigParser()
    parser.read_config([CONFIGS / f"{name}.json" for name in names])
    for key, value in {"bundle_root": str(CONFIGS.parent), **values}.items():
        parser[key] = value
    return parser


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


def test_overlays_of_the_readme_lay_over_what_it_says():
    table = re.findall(r"^\| (`\w+\.json`.*?) \| (.+?) \|", README, re.MULTILINE)
    stated = {name: tuple(bases.split(", ")) for names, bases in table for name in re.findall(r"`(\w+)\.json`", names)}
    assert stated == OVERLAYS


def readme_commands() -> list[list[str]]:
    """The words behind ``python -m monai.bundle run`` of each command, in the order of the README."""
    blocks = re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line.split("monai.bundle run ")[1]) for line in lines if "monai.bundle run " in line]


def parse_command(words: list[str]) -> ConfigParser:
    options = dict(zip(words[1::2], words[2::2], strict=True))
    files = options.pop("--config_file")
    values = {name.removeprefix("--"): value for name, value in options.items()}
    literal = {name: json.loads(value) if re.match(r"[-\d\[]", value) else value for name, value in values.items()}
    return parse(*re.findall(r"configs/(\w+)\.json", files), **literal)


def test_first_commands_of_the_readme_train_evaluate_and_apply_one_network():
    """The numbers of the evaluation are those of the segmentation only if voxels and windows are the same."""
    training, evaluating, inference = (parse_command(words) for words in readme_commands()[:3])
    for key in ("recipe", "roi_size", "window_frames", "sw_overlap", "framewise"):
        assert evaluating.get_parsed_content(key) == inference.get_parsed_content(key), key
    for key in ("recipe", "roi_size", "window_frames", "sw_overlap"):
        assert training.get_parsed_content(key) == inference.get_parsed_content(key), key
    model = Path(training.get_parsed_content("ckpt_dir")) / "model_last.pt"
    assert Path(evaluating.get_parsed_content("checkpoint")) == model
    assert CONFIGS.parent / inference["checkpoint"] == model


def test_baseline_command_of_the_readme_fits_its_training():
    (words,) = (words for words in readme_commands() if any("baseline_3d" in word for word in words))
    for key in ("recipe", "roi_size"):
        assert parse("train_3d").get_parsed_content(key) == parse_command(words).get_parsed_content(key)


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


def test_cine_overlay_segments_a_list_that_its_data_set_has(tmp_path, dataset_dir):
    """``make_datalist.py cine`` writes no test list."""
    document = json.loads((dataset_dir / "dataset.json").read_text())
    del document["test"]
    (dataset_dir / "cine.json").write_text(json.dumps(document))
    parser = parse("inference", "cine_mr", dataset_dir=str(dataset_dir), data_list="cine.json")
    assert [entry["id"] for entry in parser.get_parsed_content("data")] == ["case0", "case1"]


def test_study_of_a_data_list_is_evaluated_and_segmented_alike(dataset_dir):
    """One number per study: the full cycle that the list tells decides how windows in time lie."""
    evaluated, segmented = (
        parse(name, "quick", dataset_dir=str(dataset_dir), section="test") for name in ("evaluate", "inference")
    )
    assert evaluated.get_parsed_content("data") == segmented.get_parsed_content("data")
    assert all(entry["full_cycle"] for entry in segmented.get_parsed_content("data"))
    for key in ("recipe", "roi_size", "window_frames", "sw_overlap", "load_image", "scale_intensity"):
        assert evaluated[key] == segmented[key], key


@pytest.mark.parametrize(("names", "frames"), [(("train", "quick"), 8), (("train_3d",), 1)], ids=str)
def test_augmented_crops_have_the_size_of_the_training_and_keep_image_and_label_together(names, frames, dataset_dir):
    values = {"dataset_dir": str(dataset_dir), "prepared_dir": str(dataset_dir / "prepared")}
    parser = parse(*names, "augment", **values, spacing_mm=[4, 4, 4], roi_size=[8, 8, 8])
    dataset = parser.get_parsed_content("train::dataset")
    dataset.transform.set_random_state(0)
    contrasts = []
    for _ in range(12):
        entry = dataset[0]
        image, label = entry["image"].as_tensor(), entry["label"].as_tensor()
        assert image.shape == label.shape == (1, 8, 8, 8, frames)
        assert image.dtype == torch.float32
        torch.testing.assert_close(entry["image"].affine, entry["label"].affine)
        assert set(label.unique().tolist()) <= {0, 1, 2, 255}
        if (label == 1).any() and (label == 2).any():
            contrasts.append((image[label == 1].mean() - image[label == 2].mean()).item())
    assert len(contrasts) > 3
    assert min(contrasts) > 0.1  # 290 HU, but for partial volume, drift and gamma


@pytest.mark.parametrize("names", [("train", "quick"), ("train_3d",), ("train", "augment")], ids=str)
def test_studies_in_memory_give_the_batches_of_files_in_their_order(names, dataset_dir):
    """By the classes that a GPU takes, on the CPU; without a GPU they are off, with one they are on."""
    values = {"dataset_dir": str(dataset_dir), "prepared_dir": str(dataset_dir / "prepared"), "num_workers": 0}
    sizes = {"spacing_mm": [4, 4, 4], "roi_size": [8, 8, 8]}
    batches = {}
    for resident in (False, True):
        parser = parse(*names, **values, **sizes, resident=resident, device="$torch.device('cpu')")
        dataset, loader = (parser.get_parsed_content(f"train::{name}") for name in ("dataset", "dataloader"))
        assert (dataset.memory is not None, loader.device is not None) == (resident, resident)
        seed = parser.get_parsed_content("train::handlers")[0]
        seed(SimpleNamespace(state=SimpleNamespace(epoch=3)))
        batches[resident] = list(loader)
    assert len(batches[True]) == len(batches[False]) >= 2
    for found, expected in zip(batches[True], batches[False], strict=True):
        for key in ("image", "label"):
            assert torch.equal(found[key].as_tensor(), expected[key].as_tensor())


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


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(("name", "kind"), WORKFLOWS.items())
def test_workflow_has_the_properties_monai_asks_for(name, kind, dataset_dir):
    values = {"dataset_dir": str(dataset_dir), "data_list": str(dataset_dir / "dataset.json"), "num_workers": 0}
    workflow = ConfigWorkflow(CONFIGS / f"{name}.json", workflow_type=kind, logging_file=False, **values)
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize("name", [*WORKFLOWS, *OVERLAYS])
def test_config_is_indented_by_four(name):
    text = (CONFIGS / f"{name}.json").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=4) + "\n"


def test_no_config_is_left_out():
    known = {*WORKFLOWS, *OVERLAYS, "metadata"}
    assert {path.stem for path in CONFIGS.glob("*.json")} == known


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("train", "train_data"),
        ("train", "validation_data"),
        ("train_3d", "train_data"),
        ("train_3d", "validation_data"),
        ("evaluate", "data"),
        ("inference", "data"),
    ],
)
def test_data_list_by_name_is_looked_for_in_the_data_folder_too(name, id_, dataset_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(dataset_dir / "dataset.json", dataset_dir / "mine.json")
    data = parse(name, dataset_dir=str(dataset_dir), data_list="mine.json").get_parsed_content(id_)
    assert {Path(entry["image"]).parents[1] for entry in data} == {dataset_dir}
