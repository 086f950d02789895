# SPDX-License-Identifier: Apache-2.0
"""Look at every study before a training does: ``python scripts/check_data.py --dataset_dir data/phantom``."""

from __future__ import annotations

import logging
from pathlib import Path

from cardiac4d.command_line import run
from cardiac4d.errors import InputError
from cardiac4d.workflows.data_check import check_data
from cardiac4d.workflows.data_table import format_check


def check(
    dataset_dir: str = "data/phantom",
    data_list: str = "dataset.json",
    output_json: str | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Print a table of the studies and everything that is wrong or odd; exit with code 1 if training would fail.

    Args:
        dataset_dir: folder of the data set.
        data_list: its data list.
        output_json: write the findings there too.
        overwrite: replace that file.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if output_json and Path(output_json).exists() and not overwrite:
        raise InputError(output_json, "the file exists already", "name another, or allow overwriting")
    found = check_data(data_list, dataset_dir)
    if output_json:
        found.write(output_json)
    print(format_check(found))
    raise SystemExit(0 if found.usable else 1)


if __name__ == "__main__":
    run(check)
