# SPDX-License-Identifier: Apache-2.0
"""One number on a page: value, interval, and where it lies among healthy adults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..conventions import REDUCED_EF_PERCENT
from .html import Html, element, joined
from .numbers import Quantity, look_up, six_numbers
from .reference_ranges import SEXES, ReferenceRange

WIDTH: Final = 160.0
BAND_HEIGHT: Final = 7.0
METHODS: Final = {
    "samples": "how far several label maps of this study differ. Errors that they share are not in it.",
    "probabilities": "how sure the network was of each voxel. Errors that it makes without doubting are not in it.",
    "errors": (
        "the errors of the same method on {studies} with a reference (split conformal prediction): right as often as "
        "stated for studies like those, and only for those. They undo the usual error of the method, so that a number "
        "may lie outside its own interval."
    ),
}
"""What ``intervals.method`` means."""
LETTERS: Final = {"female": "F", "male": "M"}


def number_card(quantity: Quantity, level: float | None, sex: str | None) -> Html:
    """Name and value, interval and reference range of one number.

    Args:
        quantity: the number.
        level: of the interval, such as 0.9.
        sex: whose reference range it is held against; ``None`` shows both without a verdict.

    Raises:
        ValueError: if there is no such sex.
    """
    if sex is not None and sex not in SEXES:
        raise ValueError(f"`sex` must be one of {', '.join(SEXES)}, or None, got {sex!r}")
    ranges = {name: quantity.ranges[name] for name in ([sex] if sex else SEXES)}
    value = element(
        "data", quantity.text, value="" if quantity.value is None else repr(quantity.value), id=quantity.key
    )
    shown = element("dd", value, " ", element("small", quantity.unit), class_="value")
    name = element("dt", quantity.short, element("span", quantity.name))
    parts = [shown, element("dd", _interval(quantity, level), class_="interval")]
    if quantity.key == "ef_percent":
        parts.append(element("dd", f"Below {REDUCED_EF_PERCENT:.0f} % counts as reduced.", class_="range"))
    parts += [element("dd", *_compared(quantity, ranges, sex), class_="range scale")]
    return element("div", name, *parts, class_="number")


def _interval(quantity: Quantity, level: float | None) -> Html:
    if quantity.interval is None or level is None:
        return joined("no interval")
    low, high = quantity.interval
    return joined(f"{100 * level:.0f} % interval ", _whole(quantity.span(low, high)), _outside(quantity))


def _outside(quantity: Quantity) -> Html | None:
    """Why a number lies outside its own interval, which undoes the usual error."""
    if quantity.interval is None or quantity.value is None:
        return None
    low, high = quantity.interval
    if low <= quantity.value <= high:
        return None
    return element("span", f"usually measured too {'low' if quantity.value < low else 'high'}", class_="line")


def _whole(text: str) -> Html:
    """Text that is not broken between lines."""
    return element("span", text, class_="whole")


def _compared(quantity: Quantity, ranges: Mapping[str, ReferenceRange], sex: str | None) -> list[Html]:
    parts = [
        element("span", f"Healthy {SEXES[name]} ", _whole(quantity.span(found.low, found.high)), class_="line")
        for name, found in ranges.items()
    ]
    if sex is not None and quantity.value is not None:
        place = ranges[sex].place(quantity.value)
        parts.append(element("span", f"{place} this range", class_=f"line {place}"))
    return [*parts, scale_svg(quantity, ranges)]


def scale_svg(quantity: Quantity, ranges: Mapping[str, ReferenceRange]) -> Html:
    """The value as a mark over the reference ranges as bands; the text beside it says the same."""
    ends = [0.0, *(found.high for found in ranges.values()), *(quantity.interval or ()), quantity.value or 0.0]
    top = 1.12 * max(ends)

    def x(value: float) -> float:
        return 14 + value / top * (WIDTH - 18)

    parts = []
    for row, (name, found) in enumerate(ranges.items()):
        y, left, width = 15 + row * (BAND_HEIGHT + 3), x(found.low), x(found.high) - x(found.low)
        parts += [
            element("text", LETTERS[name], x=0, y=y + 7.5),
            element("line", class_="base", x1=x(0), x2=x(top), y1=y + BAND_HEIGHT / 2, y2=y + BAND_HEIGHT / 2),
            element(
                "rect", class_=f"band-{name}", x=f"{left:.1f}", y=y, width=f"{width:.1f}", height=BAND_HEIGHT, rx=2
            ),
        ]
    bottom = 15 + len(ranges) * (BAND_HEIGHT + 3)
    if quantity.interval is not None:
        low, high = (f"{x(max(0.0, end)):.1f}" for end in quantity.interval)
        parts.append(element("line", class_="span", x1=low, x2=high, y1=7, y2=7))
    if quantity.value is not None:
        at = x(quantity.value)
        parts.append(element("path", class_="here", d=f"M{at - 5:.1f} 1h10l-4 6v{bottom - 8:g}h-2v{8 - bottom:g}z"))
    return element("svg", *parts, viewBox=f"0 0 {WIDTH:g} {bottom:g}", aria_hidden="true")


def sources_note(document: Mapping[str, Any]) -> list[Html]:
    """How intervals were made and who published the ranges."""
    quantities = six_numbers(document)
    notes = [element("p", _method(document), class_="note")]
    ranges = (
        "Reference ranges are mean ± 1.96 standard deviations of healthy adults, not corrected for age or body size:"
    )
    notes.append(element("p", ranges, class_="note"))
    for source in dict.fromkeys(quantity.source for quantity in quantities):
        names = ", ".join(quantity.short for quantity in quantities if quantity.source == source)
        link = element("a", f"doi:{source.doi}", href=f"https://doi.org/{source.doi}", rel="noreferrer")
        notes.append(element("p", f"{names}: {source.citation}. ", link, f". {source.about}", class_="note"))
    return notes


def _method(document: Mapping[str, Any]) -> str:
    method = look_up(document, "intervals", "method")
    if not method:
        return "No intervals were computed."
    count = look_up(document, "intervals", "num_studies")
    meaning = METHODS.get(method, method)
    return f"Intervals: {meaning}".replace("{studies}", "other studies" if count is None else f"{count} studies")
