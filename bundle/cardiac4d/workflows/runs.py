# SPDX-License-Identifier: Apache-2.0
"""The folder of a run: nothing in it is ever overwritten or mixed up silently."""

from __future__ import annotations

from collections.abc import Collection
from os import PathLike
from pathlib import Path

from ..conventions import STRUCTURES
from ..errors import InputError
from ..io import OUTPUT_FORMATS, prepare_output_dir
from ..io.entries import check_flag
from ..io.whole_file import remove_whole
from ..report.study_report import SUFFIXES as REPORT_SUFFIXES
from .checkpoint import BEST_MODEL, LAST_MODEL, list_checkpoints
from .distributed import is_main_process

TABLES = ("cases.csv", "summary.json", "failures.csv", "cases_before_failure_*.csv")
REPORTS = "reports"
DICOM_REPORT_SUFFIX = "_measures.dcm"
SEGMENTATIONS = "segmentations"
SUFFIXES = (
    *(f"_seg{form.suffix}" for form in OUTPUT_FORMATS.values()),
    *(f"_prob_{name}.nii.gz" for name in STRUCTURES),
)
"""What follows the id of a case in the names of its results."""


def prepare_training_dir(folder: str | PathLike[str], resume: bool = False) -> Path:
    """Make the folder for checkpoints, or refuse one that holds a training already.

    Args:
        folder: made with its parents.
        resume: the folder may hold checkpoints, training goes on from the newest.

    Raises:
        InputError: if there are checkpoints or models and ``resume`` is false; if it is neither true nor false.
    """
    folder = Path(folder)
    check_flag(folder, "resume", resume)
    if is_main_process():
        held = [*list_checkpoints(folder), *(folder / name for name in (BEST_MODEL, LAST_MODEL))]
        held = [path for path in held if path.exists()]
        if held and not resume:
            raise InputError(
                folder,
                f"the folder holds a training already ({held[0].name})",
                "pass --resume True to go on with it, or choose another --output_dir",
            )
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def prepare_results_dir(folder: str | PathLike[str], overwrite: bool = False) -> Path:
    """Make the folder for results, or refuse one that holds results already; see ``io.prepare_output_dir``."""
    if is_main_process():
        prepare_output_dir(folder, overwrite=overwrite)
    return Path(folder)


def remove_tables(folder: str | PathLike[str]) -> None:
    """Remove the tables that an evaluation or inference wrote into ``folder``; nothing else."""
    for pattern in TABLES:
        for path in Path(folder).glob(pattern):
            path.unlink()


def remove_other_segmentations(folder: str | PathLike[str], case_ids: Collection[str]) -> None:
    """Remove the segmentations in ``folder`` of an earlier run, those of other cases than ``case_ids``."""
    _remove_others(Path(folder) / SEGMENTATIONS, SUFFIXES, case_ids)


def remove_other_reports(folder: str | PathLike[str], case_ids: Collection[str]) -> None:
    """Remove the reports in ``folder`` of an earlier run, those of other cases than ``case_ids``."""
    _remove_others(Path(folder), REPORT_SUFFIXES, case_ids)


def remove_other_dicom_reports(folder: str | PathLike[str], case_ids: Collection[str]) -> None:
    """Remove the DICOM reports in ``folder`` of an earlier run, those of other cases than ``case_ids``."""
    _remove_others(Path(folder), (DICOM_REPORT_SUFFIX,), case_ids)


def _remove_others(folder: Path, suffixes: Collection[str], case_ids: Collection[str]) -> None:
    for suffix in suffixes:
        for path in folder.glob(f"*{suffix}"):
            if path.name.removesuffix(suffix) not in case_ids:
                remove_whole(path)
