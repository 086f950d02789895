# SPDX-License-Identifier: Apache-2.0
"""One acquisition out of what was found: by the user's word, or because there is only one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ...errors import InputError
from .image import Series, SliceImage, SourceFrame

SeriesChoice: TypeAlias = "int | str | Sequence[int | str]"
"""Series by number, by description (with ``*`` for any text, in any case) or by SeriesInstanceUID; one or several."""

COSINE_TOLERANCE = 1e-3
"""Images whose direction cosines differ by more are not parallel; a thousandth is 0.3 mm at 300 mm."""
SPACING_TOLERANCE_MM = 1e-3
MAX_LISTED = 12


def choose(
    place: Path, images: list[SliceImage], study: str | None = None, series: SeriesChoice | None = None
) -> list[SliceImage]:
    """The images of one study and one grid.

    Args:
        place: what the user gave, for messages.
        images: all that were found.
        study: StudyInstanceUID or StudyDescription (``*`` for any text) of the study to take.
        series: which series to take.

    Raises:
        InputError: if nothing is left, or images of several studies or acquisitions are; the message lists them.
    """
    images = _of_study(place, images, study)
    if series is not None:
        images = _of_series(place, images, series)
    _refuse_duplicates(images)
    _refuse_mixture(place, images)
    return images


def list_series(images: Iterable[SliceImage]) -> str:
    """The series of ``images`` by number and description, with their numbers of images."""
    counts = Counter(image.series for image in images)
    ordered = sorted(counts, key=lambda one: (one.number is None, one.number or 0, one.description))
    told = [f"{one} ({counts[one]} images)" for one in ordered[:MAX_LISTED]]
    return ", ".join(told) + (f" and {len(ordered) - MAX_LISTED} more" if len(ordered) > MAX_LISTED else "")


def _matches(pattern: int | str, number: int | None, uid: str, description: str) -> bool:
    text = str(pattern).strip()
    return text in (uid, str(number)) or fnmatchcase(description.strip().lower(), text.lower())


def _of_study(place: Path, images: list[SliceImage], study: str | None) -> list[SliceImage]:
    if study is not None:
        kept = [i for i in images if _matches(study, None, i.series.study_uid, i.series.study_description)]
        if not kept:
            raise InputError(place, f"no study {study!r}; there is {_list_studies(place, images)}", "name one", "study")
        images = kept
    if len({image.series.study_uid for image in images}) > 1:
        problem = f"images of several studies: {_list_studies(place, images)}"
        raise InputError(place, problem, "give the folder of one of them, or name it by study='...'", "study")
    return images


def _list_studies(place: Path, images: list[SliceImage]) -> str:
    first: dict[str, SliceImage] = {}
    for image in images:
        first.setdefault(image.series.study_uid, image)
    counts = Counter(image.series.study_uid for image in images)
    told = [
        f"{image.series.modality} study {image.series.study_description!r} ({counts[uid]} images, such as "
        f"{_below(place, image.source)})"
        for uid, image in list(first.items())[:MAX_LISTED]
    ]
    return ", ".join(told)


def _below(place: Path, source: SourceFrame) -> Path:
    return source.path.relative_to(place) if source.path.is_relative_to(place) else source.path


def _of_series(place: Path, images: list[SliceImage], choice: SeriesChoice) -> list[SliceImage]:
    patterns = [choice] if isinstance(choice, (int, str)) else list(choice)
    if not patterns:
        raise InputError(place, f"no series named; there is {list_series(images)}", "name at least one", "series")
    kept = []
    for pattern in patterns:
        found = [i for i in images if _matches(pattern, i.series.number, i.series.uid, i.series.description)]
        if not found:
            problem = f"no series {pattern!r}; there is {list_series(images)}"
            raise InputError(place, problem, "name series by number or description", "series")
        kept += found
    return list({id(image): image for image in kept}.values())


def _refuse_duplicates(images: list[SliceImage]) -> None:
    seen: dict[tuple[str, int], SourceFrame] = {}
    for image in images:
        if not image.instance_uid:
            continue
        first = seen.setdefault((image.instance_uid, image.source.frame_number), image.source)
        if first != image.source:
            problem = f"it is a copy of {first.path}: both have the same SOPInstanceUID"
            raise InputError(image.source.path, problem, "remove one of them")


def _refuse_mixture(place: Path, images: list[SliceImage]) -> None:
    """Refuse images that cannot be slices and phases of one grid."""
    groups: list[list[SliceImage]] = []
    for image in images:
        home = next((group for group in groups if not _difference(group[0], image)), None)
        if home is None:
            groups.append([image])
        else:
            home.append(image)
    if len(groups) > 1:
        reasons = sorted({_difference(groups[0][0], group[0]) for group in groups[1:]})
        told = "; ".join(list_series(group) for group in groups[:MAX_LISTED])
        problem = f"several acquisitions, which differ in {' and '.join(reasons)}: {told}"
        raise InputError(place, problem, _how_to_choose(groups), "series")


def _how_to_choose(groups: list[list[SliceImage]]) -> str:
    homes: dict[Series, set[int]] = {}
    for index, group in enumerate(groups):
        for image in group:
            homes.setdefault(image.series, set()).add(index)
    if any(len(places) > 1 for places in homes.values()):
        return "they share a series: move the files of one acquisition to a folder of their own"
    return "name those of one acquisition, such as series=3 or series=[3, 4] or series='*cine*'"


def _difference(a: SliceImage, b: SliceImage) -> str:
    """What keeps two images from being of one acquisition; empty if nothing does."""
    if a.size != b.size:
        return "size"
    if np.abs(np.subtract(a.orientation, b.orientation)).max() > COSINE_TOLERANCE:
        return "orientation"
    if np.abs(np.subtract(a.pixel_spacing_mm, b.pixel_spacing_mm)).max() > SPACING_TOLERANCE_MM:
        return "pixel spacing"
    if a.series.modality != b.series.modality:
        return "modality"
    return "" if a.kind == b.kind else "kernel or kind of image"
