# SPDX-License-Identifier: Apache-2.0
"""Print the paper's Table 2 for a data set: ``python scripts/compare_4d_3d.py --dataset_dir data/phantom``."""

import logging
from pathlib import Path

from cardiac4d.command_line import run
from cardiac4d.workflows import Experiment
from cardiac4d.workflows.comparison import check_overrides, compare

BUNDLE_ROOT = Path(__file__).resolve().parents[1]


def main(
    dataset_dir: str,
    output_dir: str,
    overlays: str | tuple[str, ...] = (),
    section: str = "validation",
    **overrides: object,
) -> None:
    """Train and evaluate the 4D network and the 3D baseline on the same split.

    Args:
        dataset_dir: folder with ``dataset.json``.
        output_dir: receives models, results and ``table.md``; finished stages in it are kept.
        overlays: configs laid over each workflow, for example ``quick`` or ``"('quick','mine')"``.
        section: the list to evaluate on.
        overrides: further config ids, for example ``--max_epochs 60``.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    names = (overlays,) if isinstance(overlays, str) else tuple(overlays)
    check_overrides(BUNDLE_ROOT, names, overrides)
    experiment = Experiment(BUNDLE_ROOT, Path(dataset_dir).resolve(), Path(output_dir).resolve(), names, overrides)
    print(compare(experiment, section))


if __name__ == "__main__":
    run(main)
