# SPDX-License-Identifier: Apache-2.0
"""What the configs find in a data set, and the crops that they make of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from monai.bundle import ConfigWorkflow

from tests.helpers.configs import CONFIGS, WORKFLOWS, parse
from tests.helpers.studies import write_small_dataset


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(("name", "kind"), WORKFLOWS.items())
def test_workflow_has_the_properties_monai_asks_for(name, kind, dataset_dir):
    values = {"dataset_dir": str(dataset_dir), "data_list": str(dataset_dir / "dataset.json"), "num_workers": 0}
    workflow = ConfigWorkflow(CONFIGS / f"{name}.json", workflow_type=kind, logging_file=False, **values)
    workflow.initialize()
    assert workflow.check_properties() == []


def test_cine_overlay_segments_a_list_that_its_data_set_has(tmp_path, dataset_dir):
    """``make_datalist.py cine`` writes no test list."""
    document = json.loads((dataset_dir / "dataset.json").read_text())
    del document["test"]
    (dataset_dir / "cine.json").write_text(json.dumps(document))
    parser = parse("inference", "cine_mr", dataset_dir=str(dataset_dir), data_list="cine.json")
    assert [entry["id"] for entry in parser.get_parsed_content("data")] == ["case0", "case1"]


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
