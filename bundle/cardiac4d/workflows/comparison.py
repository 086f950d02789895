# SPDX-License-Identifier: Apache-2.0
"""The paper's Table 2: the 4D network against the 3D baseline on one split."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.whole_file import whole_file
from ..metrics import format_table
from ..report import ef_agreement, save_png
from .experiment import Experiment

CONFIGS = ("train", "train_3d", "evaluate", "baseline_3d")
"""The configs that a comparison runs, besides overlays."""


def check_overrides(bundle_root: Path, overlays: Sequence[str], overrides: Iterable[str]) -> None:
    """Refuse the name of a setting that no config of the comparison defines: MONAI would ignore it.

    Args:
        bundle_root: folder that holds ``configs/``.
        overlays: names of configs laid over each workflow; those that do not exist are refused later.
        overrides: config ids; of a nested one, such as ``train::trainer::max_epochs``, the first part is checked.

    Raises:
        InputError: naming the setting, and the most similar id.
    """
    files = [bundle_root / "configs" / f"{name}.json" for name in (*CONFIGS, *overlays)]
    known = {id_ for file in files if file.is_file() for id_ in json.loads(file.read_text(encoding="utf-8"))}
    for name in overrides:
        if re.split("::|#", name)[0] not in known:
            similar = difflib.get_close_matches(name, known, n=1)
            fix = f"write --{similar[0]}" if similar else "name an id of configs/train.json"
            raise InputError(f"--{name}", "no config of the comparison defines it", fix)


def compare(experiment: Experiment, section: str = "validation") -> str:
    """Train and evaluate both networks (finished stages are kept) and set them side by side.

    Args:
        experiment: data set, configs and folder of results.
        section: the list of the data list to evaluate on.

    Returns:
        The table, also written to ``table.md`` in the experiment's folder, beside ``ef_agreement_4d.png`` and
        ``ef_agreement_3d.png``.
    """
    summaries = {}
    for dims in (4, 3):
        experiment.train(dims)
        evaluation = experiment.evaluate(dims, section)
        summaries[f"{dims}D network"] = evaluation["summary"]
        _draw_agreement(experiment, dims, evaluation["cases"])
    table = format_table(summaries)
    with whole_file(experiment.output_dir / "table.md") as partial:
        partial.write_text(table + "\n", encoding="utf-8")
    return table


def _draw_agreement(experiment: Experiment, dims: int, cases: list[dict[str, Any]]) -> None:
    """Ejection fractions against their reference; a cohort without any reference has no picture."""
    predicted = [case["ef_percent"] for case in cases]
    reference = [case["ef_reference_percent"] for case in cases]
    if all(math.isnan(p + r) for p, r in zip(predicted, reference, strict=True)):
        return
    figure = ef_agreement(predicted, reference, title=f"{dims}D network")
    save_png(figure, experiment.output_dir / f"ef_agreement_{dims}d.png")
