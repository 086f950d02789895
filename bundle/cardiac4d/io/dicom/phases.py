# SPDX-License-Identifier: Apache-2.0
"""Which image is which phase: the key that tells them apart, and the table of images by slice and phase."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import InputError
from .image import SliceImage, Value
from .keys import KEYS, PhaseKey, phase_key, text_of
from .selection import list_series
from .stack import MAX_LISTED, place_name

_CHOOSE_KEY = "name the tag that tells the phases by phase_key='...'"


class PhaseTable(NamedTuple):
    """Images by slice and phase.

    Attributes:
        key: what told the phases apart.
        slices: ``slices[k][t]`` is the image of slice k at phase t.
        notes: what a user should know, in words.
    """

    key: PhaseKey
    slices: list[list[SliceImage]]
    notes: list[str]

    def values(self, phase: int) -> list[Value]:
        """The key's value of every slice at a phase."""
        return [images[phase].phase_values[self.key.keyword] for images in self.slices]


def order_phases(place: Path, slices: list[list[SliceImage]], wanted: str | None = None) -> PhaseTable:
    """Put the images of every slice into the order of their phases, which are matched across slices by index.

    Args:
        place: what the user gave, for messages.
        slices: images by slice position, in the order of the slices.
        wanted: the phase key that the user named.

    Raises:
        InputError: if there is one phase only, slices have unequal numbers of images, no key tells the phases apart,
            or the slices hold different phases.
    """
    if max(map(len, slices)) == 1:
        fix = "give the folder that holds all phases (each may be a series of its own)"
        raise InputError(place, f"one image per slice position, a single phase of {len(slices)} slices", fix)
    key = _named(place, slices, wanted) if wanted else _first_that_tells(place, slices)
    ordered = [sorted(images, key=lambda image: image.phase_values[key.keyword]) for images in slices]
    table = PhaseTable(key, ordered, [])
    return table._replace(notes=[*_weak(key, wanted), *_mismatch(place, table)])


def _is_complete(slices: list[list[SliceImage]], key: PhaseKey) -> bool:
    return all(key.keyword in image.phase_values for images in slices for image in images)


def _distinct(images: list[SliceImage], key: PhaseKey) -> int:
    return len({image.phase_values[key.keyword] for image in images})


def _tells(slices: list[list[SliceImage]], key: PhaseKey) -> bool:
    return _is_complete(slices, key) and all(_distinct(images, key) == len(images) for images in slices)


def _named(place: Path, slices: list[list[SliceImage]], wanted: str) -> PhaseKey:
    key = phase_key(place, wanted)
    lacking = [i for images in slices for i in images if key.keyword not in i.phase_values]
    if lacking:
        problem = f"{len(lacking)} images have no {key}, such as {lacking[0].source.path}"
        raise InputError(place, problem, "name another key, or none", "phase_key")
    _refuse_repetition(place, slices, key)
    _refuse_unequal(place, slices, key)
    return key


def _first_that_tells(place: Path, slices: list[list[SliceImage]]) -> PhaseKey:
    for key in KEYS:
        if key.trusted and _is_complete(slices, key) and any(_distinct(images, key) > 1 for images in slices):
            _refuse_repetition(place, slices, key)
        if _tells(slices, key):
            _refuse_unequal(place, slices, key)
            return key
    _refuse_unequal(place, slices, None)
    tried = ", ".join(f"{key.keyword} {_why_not(slices, key)}" for key in KEYS if _is_present(slices, key))
    problem = f"nothing tells the {len(slices[0])} images of a slice position apart"
    series = list_series(image for images in slices for image in images)
    problem += f" ({tried or 'no known tag is there'}); there is {series}"
    raise InputError(place, problem, f"{_CHOOSE_KEY}, or take one acquisition by series=...", "phase_key")


def _is_present(slices: list[list[SliceImage]], key: PhaseKey) -> bool:
    return any(key.keyword in image.phase_values for images in slices for image in images)


def _why_not(slices: list[list[SliceImage]], key: PhaseKey) -> str:
    return "repeats" if _is_complete(slices, key) else "is missing in some"


def _refuse_repetition(place: Path, slices: list[list[SliceImage]], key: PhaseKey) -> None:
    """Refuse two images of one slice at one phase: a second acquisition or reconstruction, or a second copy."""
    for images in slices:
        counts = Counter(image.phase_values[key.keyword] for image in images)
        value, count = counts.most_common(1)[0]
        if count > 1:
            twins = [image for image in images if image.phase_values[key.keyword] == value]
            problem = (
                f"{count} images with {key} = {text_of(value)} at position {place_name(images)}, such as "
                f"{twins[0].source.path} and {twins[1].source.path}: a copy, or several acquisitions or "
                f"reconstructions; there is {list_series(image for group in slices for image in group)}"
            )
            fix = "remove the copy, or name the series to take by series=..., or another key by phase_key='...'"
            raise InputError(place, problem, fix, "series")


def _refuse_unequal(place: Path, slices: list[list[SliceImage]], key: PhaseKey | None) -> None:
    """Refuse slices with unequal numbers of images, and say which phase lacks which position where that is clear."""
    counts = Counter(map(len, slices))
    if len(counts) == 1:
        return
    lacking = _lacking(slices, key) if key else []
    if not lacking:
        usual = counts.most_common(1)[0][0]
        odd = [f"{len(images)} at {place_name(images)}" for images in slices if len(images) != usual]
        lacking = [f"{usual} images per position, but {', '.join(odd[:MAX_LISTED])}{_more(odd)}"]
    problem = f"not every phase has every slice: {'; '.join(lacking[:MAX_LISTED])}{_more(lacking)}"
    fix = "add the missing files, or remove the phases or positions that are not complete"
    raise InputError(place, problem, fix)


def _lacking(slices: list[list[SliceImage]], key: PhaseKey) -> list[str]:
    """Each phase that lacks positions, if all slices draw on the same phases; else nothing."""
    present = [{image.phase_values[key.keyword] for image in images} for images in slices]
    every = set().union(*present)
    if len(every) > max(map(len, present)):
        return []
    told = []
    for value in sorted(every):
        gaps = [place_name(images) for images, has in zip(slices, present, strict=True) if value not in has]
        if gaps:
            told.append(f"{key} = {text_of(value)} lacks {', '.join(gaps[:MAX_LISTED])}{_more(gaps)}")
    return told


def _more(items: list[str]) -> str:
    return f" and {len(items) - MAX_LISTED} more" if len(items) > MAX_LISTED else ""


def _weak(key: PhaseKey, wanted: str | None) -> list[str]:
    if key.trusted or key.unit or wanted:
        return []
    return [f"the order of the phases rests on {key}, which is not made for it: look at the sequence once"]


def _mismatch(place: Path, table: PhaseTable) -> list[str]:
    """Refuse slices at different percentages of the cycle; note times that begin late in some slice."""
    if not table.key.unit:
        return []
    listed = [[_numbers(i.phase_values[table.key.keyword]) for i in images] for images in table.slices]
    if len({len(numbers) for row in listed for numbers in row}) > 1:
        return []  # texts with unequal numbers of percentages
    numbers = np.array(listed)
    usual = np.median(numbers, axis=0)
    steps = np.abs(np.diff(usual, axis=0)).max(axis=1)
    off = np.abs(numbers - usual).max(axis=2)
    if table.key.unit == "percent" and (off > steps.min() / 2).any():
        slice_index, phase = np.argwhere(off > steps.min() / 2)[0]
        image = table.slices[slice_index][phase]
        problem = (
            f"slices hold different phases: number {phase + 1} is {text_of(image.phase_values[table.key.keyword])} at "
            f"{place_name([image])}, elsewhere {usual[phase][0]:g}"
        )
        raise InputError(place, problem, f"complete the study, or {_CHOOSE_KEY}", table.key.keyword)
    late = [
        place_name(images) for images, first in zip(table.slices, off[:, 0], strict=True) if first > steps.min() / 2
    ]
    return [f"the first frame is taken at another time at {', '.join(late[:MAX_LISTED])}{_more(late)}"] if late else []


def _numbers(value: Value) -> list[float]:
    return [part for part in value if isinstance(part, float)]
