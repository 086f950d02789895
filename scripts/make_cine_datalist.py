# SPDX-License-Identifier: Apache-2.0
"""Write a data list for cine-MR sequences: ``python scripts/make_cine_datalist.py SOURCE_DIR OUTPUT_JSON``."""

from __future__ import annotations

from cardiac4d.command_line import run
from cardiac4d.io import write_cine_datalist


def make_cine_datalist(source_dir: str, output_json: str, seed: int = 0, validation_fraction: float = 0.2) -> str:
    """Split the sequences of a folder by patient, stratified by group; images stay where they are.

    Args:
        source_dir: folder with index.csv, <id>_4d.nii.gz and <id>_4d_sparse_gt.nii.gz (labels RV 1, MYO 2, LV 3).
        output_json: the data list to write.
        seed: of the split.
        validation_fraction: share of each group that is held back.

    Returns:
        The path written.
    """
    return str(write_cine_datalist(source_dir, output_json, seed=seed, validation_fraction=validation_fraction))


if __name__ == "__main__":
    run(make_cine_datalist)
