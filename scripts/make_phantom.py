# SPDX-License-Identifier: Apache-2.0
"""Write a beating-heart CT phantom data set: ``python scripts/make_phantom.py --output_dir data/phantom``."""

from __future__ import annotations

import fire

from cardiac4d.phantom import write_dataset
from cardiac4d.report import dataset_montage


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
    datalist = write_dataset(output_dir, preset, seed, num_workers)
    picture = f"\nmontage:   {dataset_montage(datalist, montage, case_id=montage_id)}" if montage else ""
    return f"data list: {datalist}{picture}"


if __name__ == "__main__":
    fire.Fire(make_phantom)
