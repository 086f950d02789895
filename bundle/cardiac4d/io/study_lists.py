# SPDX-License-Identifier: Apache-2.0
"""What the adapters for other people's folders share: the split, and the data list that they write."""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ..conventions import BACKGROUND, LV, LVM, NOT_ANNOTATED
from ..errors import InputError
from .held_out import TRAINING
from .whole_file import whole_file
from .writer import refuse_existing

GROUP_KEY = "group"

ACDC_LABELS: Mapping[int, int] = {3: LV, 2: LVM, 1: BACKGROUND}
"""ACDC: right ventricle 1 (background here), myocardium 2, left-ventricular cavity 3."""

Entries = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ListOptions:
    """How every adapter splits studies and writes its data list.

    Args:
        seed: of the split into training and validation.
        validation_fraction: share of each group of studies that is held back, between 0 and 1; of each group at least
            one, unless it has but one.
        overwrite: replace an existing data list.

    Raises:
        ValueError: if ``validation_fraction`` is not between 0 and 1.
    """

    seed: int = 0
    validation_fraction: float = 0.2
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"`validation_fraction` must lie between 0 and 1, got {self.validation_fraction}")


DEFAULTS = ListOptions()


def write_study_list(
    target: str | PathLike[str],
    lists: Mapping[str, Entries],
    *,
    name: str,
    description: str,
    label_map: Mapping[int, int] | None,
    modality: str = "CT",
    full_cycle: bool = False,
    options: ListOptions = DEFAULTS,
) -> Path:
    """Write a data list; images and labels stay where they are.

    Args:
        target: the JSON file; paths in the entries are absolute, so that it may lie anywhere.
        lists: entries of each list, such as ``training``.
        name: of the data set.
        description: what it is, and how it was split.
        label_map: value in the label files to 0, 1 LV, 2 LVM or 255; ``None`` if they hold these already.
        modality: ``CT`` or ``MR``.
        full_cycle: every sequence covers one R-R interval.
        options: whether an existing file is replaced.

    Returns:
        The path written.

    Raises:
        InputError: if ``target`` exists and may not be replaced, or there is no study at all.
    """
    path = Path(target)
    refuse_existing(path, overwrite=options.overwrite, fix="name another file, or allow overwriting")
    if not any(lists.values()):
        raise InputError(path, "there is no study to list", "look at the messages above for what was passed over")
    document = {
        "name": name,
        "description": description,
        "modality": {"0": modality},
        "labels": {"0": "background", str(LV): "LV", str(LVM): "LVM", str(NOT_ANNOTATED): "not annotated"},
        **({} if label_map is None else {"label_map": {str(value): label for value, label in label_map.items()}}),
        "full_cycle": full_cycle,
        **{section: [dict(entry) for entry in entries] for section, entries in lists.items() if entries},
    }
    with whole_file(path) as partial:
        partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


def split_by_group(entries: Entries, options: ListOptions = DEFAULTS) -> dict[str, list[Any]]:
    """Hold back a share of every group.

    Args:
        entries: with an ``id`` and, where there are groups, a ``group`` such as a diagnosis or a vendor.
        options: seed and share.

    Returns:
        ``training`` and ``validation``, each ordered by id.
    """
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in sorted(entries, key=lambda e: e["id"]):
        groups[str(entry.get(GROUP_KEY, ""))].append(entry)
    generator = random.Random(options.seed)
    lists: dict[str, list[Any]] = {TRAINING: [], "validation": []}
    for _, members in sorted(groups.items()):
        generator.shuffle(members)
        held_back = max(1, round(len(members) * options.validation_fraction)) if len(members) > 1 else 0
        lists["validation"] += members[:held_back]
        lists[TRAINING] += members[held_back:]
    return {section: sorted(members, key=lambda e: e["id"]) for section, members in lists.items()}


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file, separated by commas or, as spreadsheets write them in Europe, by semicolons.

    Cells that are missing become empty text.

    Raises:
        InputError: if the file does not exist, is no CSV in UTF-8, or lacks rows or one of ``columns``.
    """
    if not path.is_file():
        raise InputError(path, "the table of the data set does not exist", "give its CSV file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = file.readlines()
            separator = ";" if lines and "," not in lines[0] else ","
            reader = csv.DictReader(lines, delimiter=separator)
            rows = [{key: value or "" for key, value in row.items() if key} for row in reader]
    except (ValueError, csv.Error) as error:
        raise InputError(path, f"it cannot be read as CSV ({error})", "save it as CSV in UTF-8") from error
    if not rows or not set(columns) <= set(rows[0]):
        raise InputError(path, "columns or rows are missing", f"write a header with {', '.join(columns)}")
    return rows


def existing_folder(path: str | PathLike[str]) -> Path:
    """The folder, resolved; :class:`InputError` if it is none."""
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "give the folder of the data set")
    return folder.resolve()
