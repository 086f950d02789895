# SPDX-License-Identifier: Apache-2.0
"""Look at a whole data set before a training does: every study, every fault, one table."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..conventions import CASE_ID_KEY
from ..errors import InputError
from ..io.datalist import check_files, find_datalist, load_datalist, read_datalist
from ..io.entries import normalise_entry
from ..io.whole_file import whole_file
from .case_results import without_nan
from .study_facts import StudyFacts, collect_facts
from .study_suspicions import suspicions, suspicions_among

logger = logging.getLogger(__name__)

VERSION = "1.0"
TRAINING_SECTIONS = ("training", "validation")


@dataclass(frozen=True)
class CheckedStudy:
    """One study of the data set.

    Attributes:
        section: its list.
        case_id: its name, or its place in the list where it has none that can be used.
        facts: in numbers; ``None`` if it cannot be read.
        error: why it cannot be used, and the fix.
        suspicions: what is odd about it, each a sentence.
    """

    section: str
    case_id: str
    facts: StudyFacts | None = None
    error: str | None = None
    suspicions: Sequence[str] = ()


@dataclass(frozen=True)
class DataCheck:
    """What was found.

    Attributes:
        source: the data list.
        studies: in the order of the file.
        errors: what is wrong with the lists as a whole.
    """

    source: Path
    studies: Sequence[CheckedStudy]
    errors: Sequence[str] = field(default_factory=tuple)

    @property
    def usable(self) -> bool:
        """A training on it, and an evaluation of its test list, would start."""
        return not self.errors and not any(study.error for study in self.studies)

    def to_document(self) -> dict[str, Any]:
        """The same as plain data for JSON, NaN as null."""
        studies = [asdict(study) for study in self.studies]
        content = {"data_list": str(self.source), "usable": self.usable, "errors": list(self.errors)}
        found: dict[str, Any] = without_nan(
            _plain({"schema": "cardiac4d-data-check", "schema_version": VERSION, **content, "studies": studies})
        )
        return found

    def write(self, path: str | PathLike[str]) -> None:
        """Write :meth:`to_document` as JSON."""
        with whole_file(path) as partial:
            partial.write_text(json.dumps(self.to_document(), indent=4, allow_nan=False) + "\n", encoding="utf-8")


def check_data(data_list: str | PathLike[str], dataset_dir: str | PathLike[str] = ".") -> DataCheck:
    """Read every study of a data list, and go on where one cannot be read.

    Args:
        data_list: the JSON file, looked for in the current directory, then in ``dataset_dir``.
        dataset_dir: folder of the data set.

    Returns:
        Facts, faults and oddities. No label map is guessed and no frame is taken for unannotated that the data list
        does not say is.

    Raises:
        InputError: if there is no such file, or it is not JSON.
    """
    source = find_datalist(data_list, dataset_dir)
    document = read_datalist(source)
    sections = [name for name, value in document.items() if isinstance(value, list)]
    studies = [study for section in sections for study in _check_section(source, section, document)]
    return DataCheck(source, _beside_each_other(studies), tuple(_list_errors(source, sections, studies)))


def _check_section(source: Path, section: str, document: Mapping[str, Any]) -> Iterator[CheckedStudy]:
    for index, raw in enumerate(document[section]):
        name = str(raw.get(CASE_ID_KEY) if isinstance(raw, Mapping) and raw.get(CASE_ID_KEY) else f"[{index}]")
        try:
            entry = normalise_entry(source, section, index, raw, document)
            name = entry[CASE_ID_KEY]
            check_files(source, section, entry)
            facts = collect_facts(section, entry)
        except InputError as error:
            logger.debug("%s: %s", name, error)
            yield CheckedStudy(section, name, error=str(error))
        else:
            yield CheckedStudy(section, name, facts, suspicions=suspicions(facts))


def _beside_each_other(studies: Sequence[CheckedStudy]) -> list[CheckedStudy]:
    """The studies, with what is odd about each beside the others."""
    found = iter(suspicions_among([study.facts for study in studies if study.facts is not None]))
    return [s if s.facts is None else replace(s, suspicions=[*s.suspicions, *next(found)]) for s in studies]


def _list_errors(source: Path, sections: Sequence[str], studies: Sequence[CheckedStudy]) -> Iterator[str]:
    """What only the lists as a whole show; where a study cannot be used, that is said already."""
    missing = [name for name in TRAINING_SECTIONS if name not in sections]
    if missing:
        yield f"{source}: no list {' and no list '.join(map(repr, missing))}, which training needs"
    for section in sections:
        if any(study.error for study in studies if study.section == section):
            continue
        try:
            load_datalist(source, section)
        except InputError as error:
            yield str(error)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
