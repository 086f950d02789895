# SPDX-License-Identifier: Apache-2.0
"""Write a beating-heart CT phantom data set: ``python scripts/make_phantom.py --output_dir data/phantom``."""

from __future__ import annotations

from cardiac4d.command_line import run
from cardiac4d.phantom import write_dataset
from cardiac4d.report import dataset_montage, png_path


def make_phantom(
    output_dir: str,
    preset: str = "laptop",
    seed: int = 0,
    num_workers: int = 1,
    montage: str | None = None,
    montage_id: str | None = None,
) -> str:
    """Write a phantom data set, or finish one that was interrupted.

    Args:
        output_dir: folder of the data set.
        preset: laptop, small or paper.
        seed: equal seeds give equal voxels, whatever the number of workers.
        num_workers: processes that render at the same time.
        montage: also draw one sequence into this .png file.
        montage_id: which one; by default the first of the training list.
    """
    picture_path = png_path(montage) if montage else None
    datalist = write_dataset(output_dir, preset, seed, num_workers)
    if picture_path is None:
        return f"data list: {datalist}"
    return f"data list: {datalist}\nmontage:   {dataset_montage(datalist, picture_path, case_id=montage_id)}"


if __name__ == "__main__":
    run(make_phantom)
