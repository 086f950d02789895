# SPDX-License-Identifier: Apache-2.0
"""Convert a multi-phase DICOM study to 4D NIfTI: ``python scripts/convert_dicom.py FOLDER OUTPUT.nii.gz``."""

from __future__ import annotations

from cardiac4d.command_line import run
from cardiac4d.errors import InputError
from cardiac4d.io import DicomSequence, write_nifti
from cardiac4d.io.dicom.convert import check_target


def convert_dicom(
    source: str,
    output: str,
    phase_key: str | None = None,
    series: int | str | tuple[int, ...] | None = None,
    study: str | None = None,
) -> str:
    """Write one study on its own grid, and print how it was read. An existing file is never replaced.

    Args:
        source: folder of the study, searched with its sub-folders, or one enhanced file.
        output: the file to write, .nii or .nii.gz.
        phase_key: the tag that tells the phases, such as TriggerTime or (0018,1060); by default a rule chooses it.
        series: series to take: a number, a description (with * for any text), or numbers as [3,4].
        study: study to take, by description.
    """
    check_target(output)
    try:
        sequence = DicomSequence(source, phase_key=phase_key, series=series, study=study)
        return f"{sequence.describe()}\nwritten: {write_nifti(sequence, output)}"
    except OSError as error:
        fix = "name a file in a folder that can be written to and has space"
        raise InputError(output, f"it cannot be written ({error.strerror})", fix) from error


if __name__ == "__main__":
    run(convert_dicom)
