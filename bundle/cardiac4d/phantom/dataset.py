# SPDX-License-Identifier: Apache-2.0
"""Write a phantom data set as a user's data would lie on disk, with its dense truth and exact numbers beside it.

::

    <output_dir>/dataset.json      Decathlon-style lists: training, validation, test
                 imagesTr/ imagesTs/   4D NIfTI, int16 Hounsfield units
                 labelsTr/ labelsTs/   4D NIfTI, 255 in frames that are not annotated
                 truth/<id>.nii.gz     exact labels of every frame
                 truth/<id>.json       exact numbers; written last, so it marks a finished sequence
                 truth/summary.csv     one row per sequence
                 phantom.json          parameters and seed of the folder
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..errors import InputError
from ..geometry import TimeAxis
from ..io.truncation import is_whole_nifti
from ..io.writer import write_sequence
from .plan import PHANTOM_VERSION, SequencePlan, dataset_fingerprint, plan_dataset, sequence_fingerprint, sequence_rng
from .presets import PRESETS, Preset
from .records import dataset_lists, write_json, write_summary
from .sequence import Study, sample_study
from .truth import truth_numbers
from .workers import run_in_processes

PARAMETERS_FILE = "phantom.json"


@dataclass(frozen=True)
class Job:
    """One sequence to be written: all a worker process needs."""

    output_dir: Path
    preset: Preset
    seed: int
    plan: SequencePlan

    @property
    def fingerprint(self) -> str:
        """Hash of everything that determines the sequence."""
        return sequence_fingerprint(self.preset, self.seed, self.plan)

    @property
    def paths(self) -> dict[str, Path]:
        """Files of the sequence, relative to the data set, by entry of the data list."""
        suffix, name = self.plan.folder_suffix, f"{self.plan.id}.nii.gz"
        return {
            "image": Path(f"images{suffix}") / name,
            "label": Path(f"labels{suffix}") / name,
            "truth": Path("truth") / name,
        }

    @property
    def record_path(self) -> Path:
        """Where the exact numbers go."""
        return self.output_dir / "truth" / f"{self.plan.id}.json"

    def is_finished(self) -> bool:
        """The record exists and belongs to these parameters, and the files it describes are there, whole."""
        if not self.record_path.is_file():
            return False
        record = json.loads(self.record_path.read_text(encoding="utf-8"))
        return record.get("fingerprint") == self.fingerprint and all(
            is_whole_nifti(self.output_dir / path) for path in self.paths.values()
        )


def write_dataset(
    output_dir: str | PathLike[str],
    preset: str | Preset = "laptop",
    seed: int = 0,
    num_workers: int = 1,
    *,
    progress: bool = True,
) -> Path:
    """Write a phantom data set, or finish one that was begun with the same parameters.

    The voxels depend on preset and seed alone, not on the number of workers or of interruptions. Finished sequences are
    kept; files of other origin are never replaced.

    Args:
        output_dir: folder of the data set; made where it does not exist.
        preset: name in :data:`~cardiac4d.phantom.presets.PRESETS`, or a :class:`Preset` of your own.
        seed: 0 or larger.
        num_workers: processes that render sequences at the same time; each needs the memory of one sequence.
        progress: show a progress bar.

    Returns:
        Path of ``dataset.json``.

    Raises:
        InputError: if the folder holds other files, or a data set of other parameters.
        ValueError: if an argument is not admissible.
    """
    chosen = _resolve(preset)
    if seed < 0 or num_workers < 1:
        raise ValueError(f"`seed` (={seed}) must be at least 0 and `num_workers` (={num_workers}) at least 1")
    root = Path(output_dir)
    _claim_folder(root, chosen, seed)
    jobs = [Job(root, chosen, seed, plan) for plan in plan_dataset(chosen, seed)]
    _finish(jobs, num_workers, progress=progress)
    records = [json.loads(job.record_path.read_text(encoding="utf-8")) for job in jobs]
    write_summary(root / "truth" / "summary.csv", records)
    entries = [(job.plan.split, _entry(job, record)) for job, record in zip(jobs, records, strict=True)]
    datalist = root / "dataset.json"  # written once: the user may have edited the lists since
    return datalist if datalist.exists() else write_json(datalist, dataset_lists(chosen, seed, entries))


def write_one(job: Job) -> str:
    """Render and write one sequence; its record last."""
    study = sample_study(job.preset, job.plan.group, job.plan.num_labeled, sequence_rng(job.seed, job.plan.index))
    duration_ms = study.scene.ventricle.physiology.frame_duration_ms
    time = TimeAxis.uniform(study.num_frames, duration_ms / 1000.0, unit="sec", full_cycle=True)
    for kind, make in (("truth", Study.truth), ("label", Study.labels), ("image", Study.image)):
        target = job.output_dir / job.paths[kind]
        write_sequence(target, make(study), study.grid.affine, time, overwrite=True)
    write_json(job.record_path, _record(job, study))
    return job.plan.id


def _record(job: Job, study: Study) -> dict[str, Any]:
    contrast, noise = study.scene.contrast, study.noise
    return {
        "id": job.plan.id,
        "split": job.plan.split,
        "fingerprint": job.fingerprint,
        **truth_numbers(study.scene.ventricle),
        "labeled_frames": study.labeled_frames,
        "shape": list(study.grid.shape),
        "spacing_mm": [round(float(s), 6) for s in study.grid.spacing_mm],
        "left_blood_hu": contrast.left_blood,
        "right_blood_hu": contrast.right_blood,
        "wall_hu": contrast.wall,
        "noise_sigma_hu": noise.sigma_hu,
        "low_dose_fraction": noise.low_dose,
        "stair_steps": len(study.slabs) > 1,
    }


def _entry(job: Job, record: dict[str, Any]) -> dict[str, Any]:
    paths = {kind: path.as_posix() for kind, path in job.paths.items()}
    return {
        "id": job.plan.id,
        **paths,
        "labeled_frames": record["labeled_frames"],
        "full_cycle": True,
        "ef_percent": record["ef_percent"],
    }


def _finish(jobs: list[Job], num_workers: int, *, progress: bool) -> None:
    """Make the sequences that are not there yet."""
    waiting = [job for job in jobs if not job.is_finished()]
    done = len(jobs) - len(waiting)
    with tqdm(total=len(jobs), initial=done, desc="phantom", unit="sequence", disable=not progress) as bar:
        for _ in _run(waiting, num_workers):
            bar.update()


def _run(jobs: list[Job], num_workers: int) -> Iterator[str]:
    if num_workers == 1 or len(jobs) < 2:
        yield from map(write_one, jobs)
        return
    yield from run_in_processes(write_one, jobs, num_workers)


def _resolve(preset: str | Preset) -> Preset:
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise ValueError(f"`preset` must be one of {', '.join(PRESETS)}, got {preset!r}")
    return PRESETS[preset]


def _claim_folder(root: Path, preset: Preset, seed: int) -> None:
    """Mark an empty folder as ours, or make sure that it was begun with the same parameters."""
    marker = root / PARAMETERS_FILE
    fix = "name another output folder"
    if marker.is_file():
        if json.loads(marker.read_text(encoding="utf-8")).get("fingerprint") != dataset_fingerprint(preset, seed):
            raise InputError(root, "the folder holds a phantom of other parameters or another seed", fix)
        return
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(root, "the folder exists and does not hold a phantom", fix)
    content = {"fingerprint": dataset_fingerprint(preset, seed), "seed": seed, "version": PHANTOM_VERSION}
    write_json(marker, {**content, "numpy": np.__version__, "preset": preset.as_dict()})
