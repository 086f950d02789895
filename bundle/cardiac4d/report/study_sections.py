# SPDX-License-Identifier: Apache-2.0
"""The parts of a study page, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .beating_views import BeatingViews
from .curve_svg import curve_legend, curve_svg
from .html import Html, element, joined, table
from .numbers import look_up, shown, six_numbers
from .numbers_section import number_card, sources_note

DISCLAIMER: Final = (
    "Research software, not a medical device. Not for diagnosis or treatment. Check every number against the pictures."
)
SEVERITIES: Final = {"error": "✖ Error", "warning": "▲ Warning", "info": "● Note"}
"""Symbol and word repeat what colour says; worst first."""
MOST_BUTTONS: Final = 6
"""Frames of a flag that have a button; its text may name all of them."""


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
    reason, frames = str(flag["reason"]), flag["frames"]
    buttons = [element("button", f"frame {t}", type="button", data_frame=t) for t in frames[:MOST_BUTTONS]]
    more = len(frames) - len(buttons)
    return element(
        "li",
        element("b", f"{SEVERITIES[flag['severity']]}:"),
        f"{reason[:1].upper()}{reason[1:].rstrip('.')}. ",
        *buttons,
        f"and {more} more" if more > 0 else None,
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
        element(
            "details", element("summary", "Where intervals and reference ranges come from"), *sources_note(document)
        ),
        id="numbers",
    )


def volumes_section(document: Mapping[str, Any]) -> Html:
    """The volume curve, what follows from it, and its numbers as a table."""
    volumes, time = document["volumes"], document["time"]
    times = time.get("frame_times_ms") or [None] * time["num_frames"]
    rows = [
        [str(t), shown(ms, 0), shown(lv, 1), shown(lvm, 1)]
        for t, (ms, lv, lvm) in enumerate(zip(times, volumes["lv_ml"], volumes["lvm_ml"], strict=True))
    ]
    head = ["Frame", "Time (ms)", "LV cavity (mL)", "LV myocardium (mL)"]
    return element(
        "section",
        element("h2", "Volume over the cycle"),
        curve_svg(document),
        curve_legend(document),
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
        facts["Mass variation"] = f"{variation:.0f} % over the cycle; muscle keeps its mass, so what varies is error"
    return facts


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
