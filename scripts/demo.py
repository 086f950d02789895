# SPDX-License-Identifier: Apache-2.0
"""Train, evaluate and segment on a small phantom: ``python scripts/demo.py``; see :mod:`cardiac4d.workflows`."""

import logging
from pathlib import Path

from cardiac4d.command_line import run
from cardiac4d.workflows.demonstration import run_demonstration

BUNDLE_ROOT = Path(__file__).resolve().parents[1]


def demo(output_dir: str = "outputs/demo", seed: int = 0) -> None:
    """Run the demonstration.

    Args:
        output_dir: folder for data, models and results; relative to the current folder.
        seed: of the phantom.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run_demonstration(BUNDLE_ROOT, Path(output_dir).resolve(), seed=seed)


if __name__ == "__main__":
    run(demo)
