# SPDX-License-Identifier: Apache-2.0
"""The paper's Table 2: the 4D network against the 3D baseline on one split."""

from __future__ import annotations

import math
from typing import Any

from ..io.whole_file import whole_file
from ..metrics import format_table
from ..report import ef_agreement, save_png
from .experiment import Experiment


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
