# SPDX-License-Identifier: Apache-2.0
"""Run the stages of an experiment, each through ``python -m monai.bundle run``, and never a finished one twice."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.fingerprint import file_sha256
from ..io.whole_file import whole_file
from .checkpoint import LAST_MODEL

logger = logging.getLogger(__name__)

CPU_ALLOCATOR_ENV = {
    "THP_MEM_ALLOC_ENABLE": "1",
    "GLIBC_TUNABLES": (
        "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=17179869184:"
        "glibc.malloc.trim_threshold=34359738368:glibc.malloc.top_pad=67108864"
    ),
}
"""Keeps freed memory in the process and backs it with huge pages. Page faults of fresh memory otherwise dominate the
time of large tensors on a CPU; other platforms ignore these variables."""


@dataclass(frozen=True)
class Experiment:
    """One data set, one set of configs, one folder of results.

    Args:
        bundle_root: folder that holds ``configs/``.
        dataset_dir: folder with ``dataset.json``.
        output_dir: receives ``train_4d/``, ``evaluate_4d_<section>/``, ``inference_<section>/``, and the 3D
            counterparts.
        overlays: names of config files laid over each workflow, for example ``("quick",)``.
        overrides: further config ids and their values, for example ``{"max_epochs": 10}``.

    Each stage notes in its folder (``stage.json``) the settings and the contents of the configs and of the data list
    that it was begun with. Every method raises :class:`InputError` where they differ now, and where the folder holds
    files of unknown origin.
    """

    bundle_root: Path
    dataset_dir: Path
    output_dir: Path
    overlays: Sequence[str] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def model(self, dims: int) -> Path:
        """Weights after the last epoch of the 4D network or the 3D baseline."""
        return self.output_dir / f"train_{dims}d" / "checkpoints" / LAST_MODEL

    def train(self, dims: int = 4) -> Path:
        """Train, or go on with an interrupted training; return the model of the last epoch."""
        folder = self.output_dir / f"train_{dims}d"
        config = "train" if dims == 4 else "train_3d"
        values = {"prepared_dir": self.output_dir / "prepared", "resume": True}
        self._stage("training", [config], folder, self.model(dims), **values)
        return self.model(dims)

    def evaluate(self, dims: int = 4, section: str = "test") -> dict[str, Any]:
        """Evaluate the model of the last epoch on a section of the data list; return ``summary.json``, null as NaN."""
        folder = self.output_dir / f"evaluate_{dims}d_{section}"
        configs = ["evaluate", *(["baseline_3d"] if dims == 3 else [])]
        values = {"checkpoint": self.model(dims), "section": section, "overwrite": True}
        self._stage("evaluating", configs, folder, folder / "summary.json", **values)
        return read_summary(folder / "summary.json")

    def infer(self, section: str = "test") -> Path:
        """Segment a section of the data list with the 4D network; return the folder of the results."""
        folder = self.output_dir / f"inference_{section}"
        values = {"checkpoint": self.model(4), "section": section, "overwrite": True}
        self._stage("inference", ["inference"], folder, folder / "summary.json", **values)
        return folder

    def _stage(self, run_id: str, configs: Sequence[str], folder: Path, result: Path, **values: Any) -> None:
        """Run one stage unless its result is there; refuse a folder that other settings have begun."""
        places = {"dataset_dir": self.dataset_dir, "output_dir": folder}
        settings = {name: str(value) for name, value in {**self.overrides, **places, **values}.items()}
        files = [self._config(name) for name in (*configs, *self.overlays)]
        digests = {
            f"content of {path.name}": file_sha256(path) for path in (*files, data_list(settings)) if path.is_file()
        }
        record = {"run": run_id, "configs": [path.stem for path in files], **settings, **digests}
        check_origin(folder / "stage.json", record)
        if result.exists():
            logger.info("done before: %s", result)
            return
        self._run(run_id, files, {"bundle_root": str(self.bundle_root), **settings})

    def _config(self, name: str) -> Path:
        folder = self.bundle_root / "configs"
        path = folder / f"{name}.json"
        if not path.is_file():
            known = ", ".join(sorted(each.stem for each in folder.glob("*.json")))
            raise InputError(path, "no such config", f"name one of {known}")
        return path

    def _run(self, run_id: str, files: Sequence[Path], settings: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", str([str(f) for f in files])]
        for name, value in settings.items():
            command += [f"--{name}", value]
        logger.info("$ %s", " ".join(command))
        subprocess.run(command, check=True, env={**os.environ, **CPU_ALLOCATOR_ENV})


def data_list(settings: Mapping[str, str]) -> Path:
    """The data list that a stage reads; a stage that is given one study has none, and no file is there."""
    return Path(settings.get("data_list", Path(settings["dataset_dir"]) / "dataset.json"))


def check_origin(note: Path, record: Mapping[str, Any]) -> None:
    """Note how the folder of ``note`` is begun, or make sure that it was begun in this very way.

    Args:
        note: the file that says how; it stands in the folder of a stage.
        record: what decides on the results, JSON types only; ``output_dir`` is the folder. Data and weights that moved
            together with it are the same as before.

    Raises:
        InputError: if the folder was begun with another record, or holds files but no record.
    """
    folder = note.parent
    other = "choose another output_dir; what `make demo` wrote, remove by `make clean-outputs` to start it anew"
    if note.exists():
        begun = json.loads(note.read_text(encoding="utf-8"))
        changed = sorted(key for key in begun.keys() | record.keys() if not _agree(key, begun, record))
        if changed:
            raise InputError(folder, f"the folder was begun with other settings ({', '.join(changed)})", other)
        return
    # Hidden files are what a killed process left of a note half written, or the file browser's.
    held = sorted(path.name for path in folder.glob("*") if not path.name.startswith("."))
    if held:
        raise InputError(folder, f"the folder holds {held[0]} but no {note.name} to say where it is from", other)
    with whole_file(note) as partial:
        partial.write_text(json.dumps(record, indent=4) + "\n", encoding="utf-8")


_PLACES = ("dataset_dir", "output_dir", "prepared_dir", "checkpoint")
"""Settings that are paths; a record says where they were when the folder was begun."""


def _agree(key: str, begun: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether a setting is what it was: a path may also lie where it lay as seen from the folder of the stage."""
    if begun.get(key) == record.get(key):
        return True
    if key not in _PLACES or key not in begun or key not in record:
        return False
    then, now = (os.path.relpath(each[key], each["output_dir"]) for each in (begun, record))
    return then == now


def read_summary(path: Path) -> dict[str, Any]:
    """Read a ``summary.json`` as :class:`~cardiac4d.workflows.CaseResults` wrote it, undefined numbers as NaN again."""

    def with_nan(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: float("nan") if value is None else value for key, value in pairs}

    return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=with_nan)
