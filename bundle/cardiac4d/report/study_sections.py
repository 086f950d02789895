# SPDX-License-Identifier: Apache-2.0
"""The parts of a study page, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .beating_views import BeatingViews
from .bullseye import SEGMENT_NAMES, bullseye_svg, ring_fields, segment_fields
from .contours import UNITS_PER_PIXEL
from .curve_svg import curve_legend, curve_svg
from .html import Html, element, joined, table
from .numbers import look_up, six_numbers
from .numbers_section import number_card, sources_note
from .sprites import jpeg_uri

DISCLAIMER: Final = (
    "Research software, not a medical device. Not for diagnosis or treatment. Check every number against the pictures."
)
SEVERITIES: Final = {"error": "✖ Error", "warning": "▲ Warning", "info": "● Note"}
"""Symbol and word repeat what colour says; worst first."""
KEYS: Final = "Space plays and pauses; left and right arrow step; Home shows end-diastole, End shows end-systole."


def disclaimer() -> Html:
    """What the page is not for."""
    return element("p", element("strong", DISCLAIMER), class_="disclaimer", role="note")


def flags_section(document: Mapping[str, Any]) -> Html:
    """What speaks against the numbers, worst first, with buttons that lead to the frames."""
    order = list(SEVERITIES)
    flags = sorted(document["flags"], key=lambda flag: order.index(flag["severity"]))
    items = [_flag(flag) for flag in flags] or [
        element("li", element("b", "✔ No flag raised."), "The checks found nothing implausible.", class_="none")
    ]
    return element("section", element("h2", "Quality flags"), element("ul", *items, class_="flags"), id="flags")


def _flag(flag: Mapping[str, Any]) -> Html:
    buttons = [element("button", f"frame {t}", type="button", data_frame=t) for t in flag["frames"][:12]]
    more = len(flag["frames"]) - len(buttons)
    return element(
        "li",
        element("b", f"{SEVERITIES[flag['severity']]}:"),
        f"{flag['reason']} ",
        *buttons,
        f"and {more} more frames" if more > 0 else None,
        class_=flag["severity"],
    )


def numbers_section(document: Mapping[str, Any], sex: str | None) -> Html:
    """The six numbers, each with interval and reference range."""
    quantities = six_numbers(document)
    level = look_up(document, "intervals", "level")
    cards = [number_card(quantity, level, sex) for quantity in quantities]
    return element(
        "section",
        element("h2", "Six numbers"),
        element("dl", *cards, class_="numbers"),
        element("details", element("summary", "Where intervals and reference ranges come from"), *sources_note(document)),
        id="numbers",
    )


def heart_section(document: Mapping[str, Any], views: BeatingViews) -> Html:
    """The beating heart with its controls, and still frames for paper."""
    legend = element(
        "span",
        element("span", "━ cavity", class_="swatch-cavity"),
        element("span", "━ outer wall", class_="swatch-wall"),
        class_="on-image",
    )
    low, high = views.window
    turned = "" if views.septum_known else " The septum is not known: the right of the body stands at the left instead."
    note = (
        "Axial as on a scanner: the patient's right at the left. Short axis seen from the apex, septum at the left. Long "
        f"axis with the apex at the top.{turned} Dashed lines: where the other planes cut. "
        f"Window {low:.0f} to {high:.0f}."
    )
    return element(
        "section",
        element("h2", "Beating heart"),
        element("p", "The moving pictures need scripts; still frames follow.", class_="needs-script"),
        element("div", *(_view(views, k) for k in range(len(views.stacks))), class_="views"),
        _controls(document),
        element("p", legend),
        _stills(document, views),
        element("p", note, class_="note"),
        element("p", KEYS, class_="note screen"),
        id="heart",
    )


def _view(views: BeatingViews, index: int) -> Html:
    stack = views.stacks[index]
    slider = element(
        "input", type="range", min=0, max=len(stack.cuts) - 1, value=views.start[index], step=1, autocomplete="off"
    )
    return element(
        "figure",
        element("figcaption", element("b", stack.name), element("span", class_="where")),
        element("canvas", role="img", aria_label=stack.name),
        element("label", stack.slider, slider),
        class_="view",
        data_view=stack.key,
    )


def _controls(document: Mapping[str, Any]) -> Html:
    phases, last = document["phases"], document["time"]["num_frames"] - 1
    time = element("input", type="range", id="time", min=0, max=last, value=phases["ed_frame"], autocomplete="off")
    speeds = [element("option", text, value=value) for value, text in ((1, "1×"), (0.5, "½×"), (0.25, "¼×"))]
    return element(
        "div",
        element("p", id="readout", class_="readout"),
        element("button", "▶ Play", type="button", id="play"),
        element("button", "◀", type="button", id="back", aria_label="One frame back"),
        element("label", element("span", "Time", class_="hidden"), time, class_="time"),
        element("button", "▶", type="button", id="forward", aria_label="One frame on"),
        element("button", "ED", type="button", data_frame=phases["ed_frame"], aria_label="Show end-diastole"),
        element("button", "ES", type="button", data_frame=phases["es_frame"], aria_label="Show end-systole"),
        element("label", "Speed", element("select", *speeds, id="speed")),
        element("label", element("input", type="checkbox", id="contours", checked=True), "Contours"),
        element("label", element("input", type="checkbox", id="cuts", checked=True), "Cut lines"),
        element("p", id="live", class_="hidden", aria_live="polite"),
        class_="controls",
    )


def _stills(document: Mapping[str, Any], views: BeatingViews) -> Html:
    phases = document["phases"]
    figures = []
    for name, frame in {"End-diastole": phases["ed_frame"], "End-systole": phases["es_frame"]}.items():
        for stack, pictures, start in zip(views.stacks, views.pictures, views.start, strict=True):
            text = f"{stack.name}, {stack.cuts[start].title}, {name.lower()} (frame {frame})"
            figures.append(
                element(
                    "figure",
                    still_svg(pictures.pixels[start, frame], pictures.contours[start][frame], text),
                    element("figcaption", text),
                )
            )
    return element("div", *figures, class_="stills")


def still_svg(pixels: Any, contours: tuple[str, str], text: str) -> Html:
    """One frame of one cut with its contours, for paper and for readers without scripts."""
    side = pixels.shape[0]
    cavity, wall = contours
    shift = f"translate({UNITS_PER_PIXEL / 2:g} {UNITS_PER_PIXEL / 2:g})"
    return element(
        "svg",
        element("title", text),
        element("image", href=jpeg_uri(pixels), width=side * UNITS_PER_PIXEL, height=side * UNITS_PER_PIXEL),
        element("path", d=wall, class_="still-wall", transform=shift) if wall else None,
        element("path", d=cavity, class_="still-cavity", transform=shift) if cavity else None,
        viewBox=f"0 0 {side * UNITS_PER_PIXEL} {side * UNITS_PER_PIXEL}",
        role="img",
    )


def volumes_section(document: Mapping[str, Any]) -> Html:
    """The volume curve, what follows from it, and its numbers as a table."""
    volumes, time = document["volumes"], document["time"]
    times = time.get("frame_times_ms") or [None] * time["num_frames"]
    rows = [
        [str(t), _number(ms, 0), _number(lv, 1), _number(lvm, 1)]
        for t, (ms, lv, lvm) in enumerate(zip(times, volumes["lv_ml"], volumes["lvm_ml"], strict=True))
    ]
    head = ["Frame", "Time (ms)", "LV cavity (mL)", "LV myocardium (mL)"]
    return element(
        "section",
        element("h2", "Volume over the cycle"),
        curve_svg(document),
        curve_legend(),
        _facts(_dynamics(document)),
        element(
            "details",
            element("summary", "The curve as a table"),
            element("div", table(head, rows, caption="Frames count from 0."), class_="scroll"),
        ),
        id="volumes",
    )


RULES: Final = {
    "extrema": "largest and smallest cavity volume",
    "smoothed": "largest and smallest volume of the smoothed curve",
    "given": "given by the user",
}


def _dynamics(document: Mapping[str, Any]) -> dict[str, str]:
    phases, volumes = document["phases"], document["volumes"]
    facts = {"ED and ES": f"frames {phases['ed_frame']} and {phases['es_frame']}, {RULES[phases['rule']]}"}
    units = {
        "cardiac_output_l_per_min": ("Cardiac output", "L/min", 1),
        "heart_rate_per_min": ("Heart rate", "/min", 0),
        "peak_ejection_rate_ml_per_s": ("Peak ejection rate", "mL/s", 0),
        "peak_filling_rate_ml_per_s": ("Peak filling rate", "mL/s", 0),
    }
    for key, (name, unit, decimals) in units.items():
        if volumes.get(key) is not None:
            facts[name] = f"{volumes[key]:.{decimals}f} {unit}"
    variation = look_up(document, "mass", "variation_percent")
    if variation is not None:
        facts["Mass variation"] = f"{variation:.0f} % over the cycle; muscle keeps its mass, so this is an error"
    return facts


def wall_section(document: Mapping[str, Any]) -> Html:
    """Wall thickness as bullseyes: 17 segments where the septum is known, else three rings."""
    wall = document.get("wall_thickness")
    title = element("h2", "Wall thickness")
    if wall is None:
        return element("section", title, element("p", "Not measured.", class_="note"), id="wall")
    segments = look_up(wall, "ed", "segments_mm") is not None
    fields = segment_fields() if segments else ring_fields()
    names = [field.name for field in fields]
    columns = {name: _wall_values(wall, part, segments, names) for name, part in WALL_PARTS.items()}
    thickest = max([v for name in ("End-diastole (mm)", "End-systole (mm)") for v in columns[name] if v is not None] or [1])
    figures = []
    for name, values in columns.items():
        low, high, decimals = (0, 100, 0) if "%" in name else (0, thickest, 1)
        drawing = bullseye_svg(fields, values, title=name, low=low, high=high, decimals=decimals)
        figures.append(element("figure", drawing, element("figcaption", name)))
    rows = [[name, *(_number(v, 0 if "%" in key else 1) for key, v in zip(columns, line, strict=True))]
            for name, *line in zip(_numbered(names), *columns.values(), strict=True)]
    what = "AHA 17 segments: base outside, apex in the middle, septum at the left." if segments else (
        "Rings only, from base (outside) to apex: segments need the direction of the septum.")
    return element(
        "section", title, element("div", *figures, class_="bullseyes"), element("p", what, class_="note"),
        element("details", element("summary", "The wall as a table"),
                element("div", table(["Part", *columns], rows, caption=what), class_="scroll")),
        id="wall",
    )


WALL_PARTS: Final = {"End-diastole (mm)": "ed", "End-systole (mm)": "es", "Thickening (%)": "thickening_percent"}


def _wall_values(wall: Mapping[str, Any], part: str, segments: bool, names: list[str]) -> list[float | None]:
    if part == "thickening_percent":
        names_of = ("segments", "rings")
    else:
        names_of = ("segments_mm", "rings_mm")
    values = look_up(wall, part, names_of[0] if segments else names_of[1])
    if values is None:
        return [None] * len(names)
    return list(values) if segments else [values.get(name) for name in names]


def _numbered(names: list[str]) -> list[str]:
    return [f"{k} {name}" for k, name in enumerate(names, 1)] if len(names) == len(SEGMENT_NAMES) else names


def provenance_section(document: Mapping[str, Any], views: BeatingViews) -> Html:
    """What the page was made from and by."""
    known = {
        "Case": document["case_id"],
        "Input": look_up(document, "provenance", "input"),
        "Input SHA-256": look_up(document, "provenance", "input_sha256"),
        "Model": look_up(document, "provenance", "model"),
        "Weights SHA-256": look_up(document, "provenance", "weights_sha256"),
        "Software": f"{look_up(document, 'provenance', 'software')} {look_up(document, 'provenance', 'version')}",
        "Made": look_up(document, "provenance", "created"),
        "Measures": f"{document['schema']} {document['schema_version']}, inside this page as JSON",
        "Full cycle": "yes" if document["time"].get("full_cycle") else "not stated",
        "Pictures": f"{views.num_pixels} pixels of {views.mm_per_pixel:.2f} mm, JPEG; measured on the study's own grid",
    }
    facts = {name: "not known" if value is None else str(value) for name, value in known.items()}
    return element("section", element("h2", "Provenance"), _facts(facts), id="provenance")


def _facts(facts: Mapping[str, str]) -> Html:
    pairs = (joined(element("dt", name), element("dd", value)) for name, value in facts.items())
    return element("dl", *pairs, class_="facts")


def _number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"
