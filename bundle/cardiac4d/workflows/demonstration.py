# SPDX-License-Identifier: Apache-2.0
"""The whole bundle on a small phantom: data, training, evaluation, inference, pictures."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ..conventions import LABEL_KEY, TRUTH_KEY
from ..io import load_datalist
from ..metrics import format_table
from ..phantom import write_dataset
from ..report import write_case_pictures
from ..transforms import LoadSequence, LoadSparseLabels
from .experiment import Experiment

logger = logging.getLogger(__name__)

_TWO_REFERENCES = (
    "EF true is that of the phantom's analytic volumes; the reference in the pictures is counted in the voxels of its\n"
    "labels, as the predicted one is, and differs from it by some tenths of a point.\n"
)


def run_demonstration(bundle_root: Path, output_dir: Path, *, seed: int = 0) -> None:
    """Write a phantom data set, train the 4D network on its sparse labels, evaluate it and segment a held-out sequence.

    Finished stages are kept: a second call only prints the results.

    Args:
        bundle_root: folder that holds ``configs/``.
        output_dir: receives ``phantom/`` and the folders of :class:`Experiment`.
        seed: of the phantom.
    """
    dataset_dir = output_dir / "phantom"
    write_dataset(dataset_dir, preset="laptop", seed=seed, num_workers=2)
    experiment = Experiment(bundle_root, dataset_dir, output_dir, overlays=("quick",))
    experiment.train()
    evaluation = experiment.evaluate(section="test")
    held_out = load_datalist(dataset_dir / "dataset.json", "test")[0]
    results = experiment.infer(section="test")
    pictures = draw_case(held_out, results)
    print(describe(evaluation))
    print(_TWO_REFERENCES)
    for name, place in {
        "phantom": dataset_dir,
        "model": experiment.model(4),
        "evaluation": output_dir / "evaluate_4d_test" / "cases.csv",
        "segmentation": results / "segmentations",
        "pictures": ", ".join(str(path) for path in pictures),
    }.items():
        print(f"{name + ':':14s}{place}")


def draw_case(entry: dict[str, Any], results: Path) -> tuple[Path, Path]:
    """Draw the volume curve and the contours of a segmented sequence; return the paths of the pictures."""
    native = LoadSequence(spacing_mm=None, orientation=None)
    image = native(entry["image"])
    labels = LoadSparseLabels(spacing_mm=None, orientation=None)
    (segmentation,) = (results / "segmentations").glob(f"{entry['id']}*")
    reference = entry.get(TRUTH_KEY) or entry.get(LABEL_KEY)
    return write_case_pictures(
        results / "pictures",
        entry["id"],
        image.movedim(0, -1),
        labels(segmentation).movedim(0, -1),
        image.affine,
        frame_times_ms=image.meta["frame_times_ms"],
        reference=None if reference is None else labels(reference).movedim(0, -1),
    )


def describe(evaluation: dict[str, Any]) -> str:
    """The results as text: a line per case, then the summary in the columns of the paper's Table 2."""
    columns = {
        "case": lambda row: row["case_id"],
        "Dice LV": lambda row: f"{row['dice_all_lv']:.3f}",
        "Dice LVM": lambda row: f"{row['dice_all_lvm']:.3f}",
        "Surf [mm]": lambda row: f"{row['surf_mm']:.2f}",
        "EF predicted": lambda row: f"{row['ef_percent']:.1f} %",
        "EF true": lambda row: f"{row['ef_reference_percent']:.1f} %",
    }
    cells = [list(columns), *([show(row) for show in columns.values()] for row in evaluation["cases"])]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(["", *lines, "", format_table({evaluation["model"]: evaluation["summary"]}), ""])
