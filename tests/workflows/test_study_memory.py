# SPDX-License-Identifier: Apache-2.0
"""Crops of studies that stay in memory are those that are cut from files; memory is taken as far as it is allowed."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.transforms import Compose, Lambdad, RandFlipd

from cardiac4d.errors import InputError
from cardiac4d.io import load_datalist
from cardiac4d.transforms import (
    LoadSequenced,
    LoadSparseLabelsd,
    RandCyclicShiftd,
    RandSparseCropd,
    RandTimeSubsampled,
    TimeLastd,
)
from cardiac4d.workflows import EpochSeed, PrefetchingLoader, PreparedDataset, StudyMemory, study_memory
from tests.helpers.studies import write_small_dataset

CPU = torch.device("cpu")
KEYS = ("image", "label")
CROPS: dict[str, list[Any]] = {
    "crop": [RandSparseCropd(roi_size=(6, 6, 5, 3))],
    "padded and cyclic": [RandSparseCropd(roi_size=(30, 6, 12, 9))],
    "behind other transforms": [
        RandFlipd(KEYS, prob=0.5, spatial_axis=0),
        RandCyclicShiftd(KEYS),
        RandTimeSubsampled(KEYS, min_frames=3),
        RandSparseCropd(roi_size=(6, -1, 5, 3)),
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_dataset(tmp_path_factory.mktemp("data"), num_training=3)


@pytest.fixture
def make(folder: Path) -> Any:
    entries = load_datalist(folder / "dataset.json", "training")
    grid = {"spacing_mm": (5.0, 5.0, 6.0), "orientation": "RAS"}
    steps = Compose([LoadSequenced("image", **grid), LoadSparseLabelsd("label", **grid), TimeLastd(KEYS)])

    def dataset(transforms: list[Any], memory: StudyMemory | None = None) -> PreparedDataset:
        random = Compose([*transforms, Lambdad("image", lambda image: image.float())])
        return PreparedDataset(entries, steps, random, folder=folder / "prepared", progress=False, memory=memory)

    return dataset


def epochs(loader: Any, dataset: PreparedDataset) -> list[dict[str, Any]]:
    """All batches of two epochs, seeded as the training seeds them."""
    batches = []
    for epoch in (1, 2):
        EpochSeed(dataset, seed=7)(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))  # type: ignore[arg-type]
        batches += list(loader)
    return batches


GIB_OF_ONE = 60_000 / 1024**3
"""Room for one of the studies, of 35 kB, pinned 49 kB, and not for two."""


@pytest.mark.parametrize("kept", [(-1, 0), (GIB_OF_ONE, 1), (0, GIB_OF_ONE), (0, 0)], ids=str)
@pytest.mark.parametrize("name", CROPS)
def test_batches_are_bit_for_bit_those_of_files(make: Any, name: str, kept: tuple[float, float]) -> None:
    plain, resident = make(CROPS[name]), make(CROPS[name], StudyMemory(CPU, *kept))
    options = {"batch_size": 2, "shuffle": True}
    expected = epochs(DataLoader(plain, **options), plain)
    found = epochs(PrefetchingLoader(resident, device=CPU, **options), resident)
    assert len(found) == len(expected) == 4
    for batch, right in zip(found, expected, strict=True):
        assert batch["id"] == right["id"]
        for key in KEYS:
            assert batch[key].dtype == right[key].dtype
            assert torch.equal(batch[key].as_tensor(), right[key].as_tensor())
            assert torch.equal(batch[key].affine, right[key].affine)
            assert batch[key].meta.keys() == right[key].meta.keys()
            for field in ("frame_times_ms", "frame_indices"):
                assert torch.equal(batch[key].meta[field], right[key].meta[field])


def test_study_is_read_once_and_its_metadata_are_new_for_every_crop(make: Any, monkeypatch: Any) -> None:
    memory = StudyMemory(CPU)
    dataset = make([], memory)
    monkeypatch.setattr(memory, "_read", None)
    first = dataset[0]
    assert len(first["image"].applied_operations) > 0
    first["image"].meta["frame_times_ms"][:] = -1
    first["image"].applied_operations.clear()
    again = dataset[0]["image"]
    assert (again.meta["frame_times_ms"] >= 0).all()
    assert len(again.applied_operations) > 0


@pytest.mark.parametrize(
    ("budgets", "places"),
    [((-1, 16), (3, 0, 0)), ((GIB_OF_ONE, 16), (1, 2, 0)), ((GIB_OF_ONE, GIB_OF_ONE), (1, 1, 1)), ((0, 0), (0, 0, 3))],
)
def test_budgets_are_kept_and_what_is_taken_is_said(
    make: Any, budgets: tuple[float, float], places: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        make([], StudyMemory(CPU, *budgets))
    pattern = r"3 studies: (\d) on cpu \(.* GiB\), (\d) in pinned memory \(.* of .* GiB\), (\d) on disk \(.* GiB\)"
    found = re.search(pattern, caplog.text)
    assert found
    assert tuple(map(int, found.groups())) == places
    assert ("read whole from disk for every crop" in caplog.text) == bool(places[2])


def test_processes_of_a_machine_share_its_memory(make: Any, monkeypatch: Any, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with caplog.at_level(logging.INFO):
        make([], StudyMemory(CPU, 0, 8))
    assert "3 in pinned memory (0.00 of 2.00 GiB)" in caplog.text


def test_pinned_memory_is_counted_as_torch_takes_it() -> None:
    sizes = [study_memory._num_bytes_pinned(torch.empty(n, dtype=torch.uint8)) for n in (0, 1, 3, 4, 5)]
    assert sizes == [1, 1, 4, 4, 8]


def test_transform_that_writes_into_a_study_is_refused(make: Any) -> None:
    dataset = make([Lambdad("image", lambda image: image.mul_(2))], StudyMemory(CPU))
    with pytest.raises(RuntimeError, match=r"a transform wrote into study 1, .* Fix: let it work on a copy"):
        dataset[1]
    make([Lambdad("image", lambda image: image.clone().mul_(2))], StudyMemory(CPU))[1]
    make([Lambdad("image", lambda image: image.mul_(2))], StudyMemory(CPU, 0))[1]


def test_data_loading_processes_are_refused(make: Any, monkeypatch: Any) -> None:
    dataset = make([], StudyMemory(CPU))
    monkeypatch.setattr(study_memory, "get_worker_info", object)
    with pytest.raises(RuntimeError, match="`num_workers` must be 0"):
        dataset[0]
    with pytest.raises(ValueError, match="`num_workers` must be 0 where data are on a device, got 2"):
        PrefetchingLoader(make([]), 2, device=CPU)


def test_device_that_is_too_small_is_named(make: Any, monkeypatch: Any) -> None:
    def full(self: StudyMemory, tensor: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(StudyMemory, "_sent", full)
    with pytest.raises(InputError, match=r"--resident_gib: 0 studies fit into the memory of cpu.*Fix: give less"):
        make([], StudyMemory(CPU))


@pytest.mark.parametrize("budgets", [(-2, 1), (1, -1)])
def test_negative_budgets_are_refused(budgets: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="budgets must not be negative"):
        StudyMemory(CPU, *budgets)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("kept", [(-1, 0), (0, 1), (0, 0)], ids=str)
@pytest.mark.parametrize("name", CROPS)
def test_crops_on_a_gpu_are_those_of_files(make: Any, name: str, kept: tuple[float, float]) -> None:
    gpu = torch.device("cuda", 0)
    plain, resident = make(CROPS[name]), make(CROPS[name], StudyMemory(gpu, *kept))
    expected = epochs(DataLoader(plain, batch_size=2, shuffle=True), plain)
    found = epochs(PrefetchingLoader(resident, device=gpu, batch_size=2, shuffle=True), resident)
    for batch, right in zip(found, expected, strict=True):
        for key in KEYS:
            assert isinstance(batch[key], MetaTensor)
            assert batch[key].device == gpu
            assert torch.equal(batch[key].as_tensor().cpu(), right[key].as_tensor())


GPU = torch.device("cuda", 0)


@pytest.mark.parametrize(("free_gib", "budget_gib"), [(140, 70), (24, 12), (12, 4), (6, 0)])
def test_half_of_a_gpu_is_taken_where_enough_is_left(
    make: Any, monkeypatch: Any, caplog: pytest.LogCaptureFixture, free_gib: int, budget_gib: int
) -> None:
    """With torch's calls for CUDA played by others, so that no typing error waits for a GPU."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_gib * 1024**3, 1))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.clone)
    monkeypatch.setattr(StudyMemory, "_sent", lambda self, tensor: tensor.clone())
    with caplog.at_level(logging.INFO):
        dataset = make(CROPS["crop"], StudyMemory(GPU))
    where = (
        "3 on cuda:0 (0.00 of {0}.00 GiB), 0 in pinned" if budget_gib else "0 on cuda:0 (0.00 of 0.00 GiB), 3 in pinned"
    )
    assert where.format(budget_gib) in caplog.text
    assert dataset[1]["image"].shape == (1, 6, 6, 5, 3)
