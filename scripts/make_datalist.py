# SPDX-License-Identifier: Apache-2.0
"""List the studies of a folder as it is: ``python scripts/make_datalist.py acdc SOURCE_DIR OUTPUT_JSON``."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cardiac4d.command_line import run
from cardiac4d.io import (
    ListOptions,
    write_acdc_datalist,
    write_cine_datalist,
    write_mnms_datalist,
    write_nnunet_datalist,
    write_phase_datalist,
)

LAYOUTS: dict[str, tuple[Callable[..., Path], tuple[str, ...]]] = {
    "acdc": (write_acdc_datalist, ()),
    "cine": (write_cine_datalist, ()),
    "mnms": (write_mnms_datalist, ("table_csv",)),
    "nnunet": (write_nnunet_datalist, ("lv", "lvm", "full_cycle")),
    "phases": (write_phase_datalist, ("images", "labels", "label_map", "full_cycle")),
}
"""The writer of each layout, and the options that it has beside those of all."""
REQUIRED = ("table_csv", "lv", "lvm")
"""Options without a default, of the layouts that have them."""


def make_datalist(
    layout: str,
    source_dir: str,
    output_json: str,
    *,
    seed: int = 0,
    validation_fraction: float = 0.2,
    overwrite: bool = False,
    table_csv: str | None = None,
    images: str | None = None,
    labels: str | None = None,
    label_map: object = None,
    lv: str | None = None,
    lvm: str | None = None,
    full_cycle: bool | None = None,
) -> str:
    """Split the studies into training and validation, by group where there are groups; no image is copied.

    Args:
        layout: acdc (Info.cfg and a file per annotated frame), cine (index.csv), mnms (a CSV table and 4D labels),
            nnunet (imagesTr/CASE_frameNN_0000.nii.gz), or phases (a folder per study, a file per phase).
        source_dir: folder of the data set.
        output_json: the data list to write.
        seed: of the split.
        validation_fraction: share of each group that is held back.
        overwrite: replace an existing data list.
        table_csv: mnms: the table with External code, ED and ES.
        images: phases: pattern of a study's images; default img/*.nii.gz.
        labels: phases: pattern of its labels; default seg/*.nii.gz.
        label_map: phases: such as "{3: 1, 2: 2, 1: 0}" (1 LV, 2 LVM); default: the files hold these.
        lv: nnunet: name of the cavity in dataset.json.
        lvm: nnunet: name of the myocardium in dataset.json.
        full_cycle: nnunet, phases: the frames cover one R-R interval; default False.

    Returns:
        The path written.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = {"table_csv": table_csv, "images": images, "labels": labels, "label_map": label_map}
    given |= {"lv": lv, "lvm": lvm, "full_cycle": full_cycle}
    write, own = _chosen(layout, {name: value for name, value in given.items() if value is not None})
    try:
        options = ListOptions(seed, validation_fraction, overwrite)
    except ValueError as error:  # names the argument as Python does
        raise SystemExit(re.sub(r"`(\w+)`", r"--\1", str(error))) from error
    return str(write(source_dir, output_json=output_json, options=options, **own))


def _chosen(layout: str, options: dict[str, Any]) -> tuple[Callable[..., Path], dict[str, Any]]:
    """The writer of a layout, and its options; one sentence where they do not fit together."""
    if layout not in LAYOUTS:
        raise SystemExit(f"no layout {layout!r}. Fix: name one of {', '.join(LAYOUTS)}")
    write, own = LAYOUTS[layout]
    for name in sorted(set(options) - set(own)):
        raise SystemExit(f"--{name} means nothing for the layout {layout}. Fix: leave it out")
    missing = [name for name in REQUIRED if name in own and name not in options]
    if missing:
        raise SystemExit(f"the layout {layout} needs --{' and --'.join(missing)}")
    return write, options


if __name__ == "__main__":
    run(make_datalist)
