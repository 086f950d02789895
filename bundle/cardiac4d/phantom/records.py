# SPDX-License-Identifier: Apache-2.0
"""The small text files of a phantom data set: each appears under its name only when it is complete."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..conventions import BACKGROUND, LV, LVM, NOT_ANNOTATED
from ..io.whole_file import whole_file
from .presets import Preset

SUMMARY_COLUMNS = (
    *("id", "split", "group", "edv_ml", "esv_ml", "stroke_volume_ml", "ef_percent", "mass_g"),
    *("ed_frame", "es_frame", "heart_rate_bpm", "frame_duration_ms"),
)
_RINGS = ("base", "mid", "apex")


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Write ``content`` with two spaces of indentation."""
    return _write_whole(path, json.dumps(content, indent=2) + "\n")


def write_summary(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    """One row per sequence: the exact numbers and the wall thickness per ring at end-diastole and end-systole."""
    thickness = [(phase, ring) for phase in ("ed", "es") for ring in _RINGS]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*SUMMARY_COLUMNS, *(f"wall_thickness_{p}_{r}_mm" for p, r in thickness), "num_labeled_frames"])
    for record in records:
        numbers = [record[column] for column in SUMMARY_COLUMNS]
        walls = [record[f"wall_thickness_{p}_mm"][r] for p, r in thickness]
        rounded = [f"{v:.4f}" if isinstance(v, float) else v for v in (*numbers, *walls)]
        table.writerow([*rounded, len(record["labeled_frames"])])
    return _write_whole(path, text.getvalue())


def dataset_lists(preset: Preset, seed: int, entries: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The content of ``dataset.json``: without sequences of its own, the test list repeats the validation list."""
    lists: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
    for split, entry in entries:
        lists[split].append(entry)
    lists["test"] = lists["test"] or lists["validation"]
    labels = {BACKGROUND: "background", LV: "LV", LVM: "LVM", NOT_ANNOTATED: "not annotated"}
    return {
        "name": f"cardiac4d phantom, {preset.name}, seed {seed}",
        "description": "Simulated beating-heart CT; sparse labels in time, dense truth beside them",
        "modality": {"0": "CT"},
        "labels": {str(value): name for value, name in labels.items()},
        **lists,
    }


def _write_whole(path: Path, text: str) -> Path:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path
