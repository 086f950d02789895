# SPDX-License-Identifier: Apache-2.0
"""The paper's Table 2: the 4D network against the 3D baseline on one split."""

from __future__ import annotations

from ..io.whole_file import whole_file
from ..metrics import format_table
from .experiment import Experiment


def compare(experiment: Experiment, section: str = "validation") -> str:
    """Train and evaluate both networks (finished stages are kept) and set them side by side.

    Args:
        experiment: data set, configs and folder of results.
        section: the list of the data list to evaluate on.

    Returns:
        The table, also written to ``table.md`` in the experiment's folder.
    """
    summaries = {}
    for dims in (4, 3):
        experiment.train(dims)
        summaries[f"{dims}D network"] = experiment.evaluate(dims, section)["summary"]
    table = format_table(summaries)
    with whole_file(experiment.output_dir / "table.md") as partial:
        partial.write_text(table + "\n", encoding="utf-8")
    return table
