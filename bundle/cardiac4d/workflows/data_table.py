# SPDX-License-Identifier: Apache-2.0
"""The findings of a data check as text: a table of studies, then what is wrong and what is odd."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..metrics.text_table import aligned
from .data_check import CheckedStudy, DataCheck
from .study_facts import StudyFacts

SHOWN = 3
"""So many studies are named that share an oddity; the JSON file has all of them."""


def format_check(check: DataCheck) -> str:
    """Describe a data set.

    Args:
        check: of :func:`cardiac4d.workflows.data_check.check_data`.

    Returns:
        A table in Markdown, aligned for reading as plain text, then a line for every fault and oddity, then the
        verdict.
    """
    cells = [list(COLUMNS), *(_row(study) for study in check.studies)]
    return "\n".join([aligned(cells), "", *_remarks(check), _verdict(check)])


def _row(study: CheckedStudy) -> list[str]:
    facts = study.facts
    if facts is None:
        return [study.section, study.case_id, *["-"] * (len(COLUMNS) - 3), "error"]
    named = [show(facts) for show in list(COLUMNS.values())[2:-1]]
    return [study.section, study.case_id, *named, f"{len(study.suspicions)} odd" if study.suspicions else "ok"]


def _remarks(check: DataCheck) -> Iterator[str]:
    yield from (f"error: {problem}" for problem in check.errors)
    for study in check.studies:
        if study.error:
            yield f"error: {study.section}: {study.case_id}: {study.error}"
    by_sentence: dict[str, list[str]] = defaultdict(list)
    for study in check.studies:
        for sentence in study.suspicions:
            by_sentence[sentence].append(f"{study.section}: {study.case_id}")
    for sentence, places in by_sentence.items():
        shown = ", ".join(places[:SHOWN]) + (f" and {len(places) - SHOWN} more" if len(places) > SHOWN else "")
        yield f"odd: {shown}: {sentence}"


def _verdict(check: DataCheck) -> str:
    odd = sum(bool(study.suspicions) for study in check.studies)
    faulty = sum(study.error is not None for study in check.studies)
    found = f"{_count(len(check.studies))}, {faulty} cannot be used, {odd} odd"
    return f"{found}: training can start" if check.usable else f"{found}: training would fail"


def _count(number: int) -> str:
    return f"{number} {'study' if number == 1 else 'studies'}"


def _sizes(values: Sequence[float], form: str) -> str:
    return " x ".join(format(value, form) for value in values)


def _duration(facts: StudyFacts) -> str:
    return "?" if np.isnan(facts.frame_duration_ms) else f"{facts.frame_duration_ms:.1f}"


def _range(facts: StudyFacts) -> str:
    found = facts.intensities
    return f"{found.lowest:g} .. {found.median:.4g} .. {found.highest:g}"


def _frames(facts: StudyFacts) -> str:
    frames = [each.frame for each in facts.annotated]
    if len(frames) == facts.shape[3]:
        return "all"
    return ", ".join(map(str, frames[:8])) + (", ..." if len(frames) > 8 else "") or "none"


def _volumes(facts: StudyFacts, name: str) -> str:
    values = [getattr(each, name) for each in facts.annotated]
    return f"{min(values):.0f} .. {max(values):.0f}" if values else "-"


COLUMNS: dict[str, Callable[[StudyFacts], str]] = {
    "List": lambda facts: facts.section,
    "Study": lambda facts: facts.case_id,
    "Shape": lambda facts: _sizes(facts.shape, "d"),
    "Spacing [mm]": lambda facts: _sizes(facts.spacing_mm, ".3g"),
    "Axes": lambda facts: facts.axes,
    "Frame [ms]": _duration,
    "Intensity": _range,
    "Annotated": _frames,
    "LV [mL]": lambda facts: _volumes(facts, "lv_ml"),
    "LVM [mL]": lambda facts: _volumes(facts, "lvm_ml"),
    "Verdict": lambda facts: "",
}
