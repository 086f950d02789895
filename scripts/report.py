# SPDX-License-Identifier: Apache-2.0
"""Report label maps that are there: ``python scripts/report.py --image ... --labels ... --output_dir ...``."""

from __future__ import annotations

from cardiac4d.command_line import run
from cardiac4d.workflows import report_label_maps


def report(
    image: str,
    labels: str,
    output_dir: str,
    full_cycle: bool = False,
    *,
    reference: str | None = None,
    septal_direction: tuple[float, float, float] | None = None,
    sex: str | None = None,
    model_name: str | None = None,
    overwrite: bool = False,
) -> str:
    """Write a page, a PDF, a PNG and the numbers of one study, or of all studies in two folders.

    Args:
        image: a 4D sequence, or a folder of 4D NIfTI files.
        labels: its label map (0, 1 cavity, 2 myocardium, 255 not annotated), or a folder of maps of the same names.
        output_dir: folder of the reports.
        full_cycle: the frames cover one R-R interval.
        reference: another label map to compare with, such as an annotation, or a folder of such maps.
        septal_direction: "[x,y,z]" to the right, front and head: from the cavity to the septum; gives 17 segments.
        sex: female or male: compare with the reference ranges of that sex.
        model_name: what made the label maps.
        overwrite: replace reports that are there.
    """
    page = report_label_maps(
        image,
        labels,
        output_dir,
        reference=reference,
        full_cycle=full_cycle,
        septal_direction=septal_direction,
        sex=sex,
        model_name=model_name,
        overwrite=overwrite,
    )
    return f"report: {page}"


if __name__ == "__main__":
    run(report)
