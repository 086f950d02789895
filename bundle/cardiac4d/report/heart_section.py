# SPDX-License-Identifier: Apache-2.0
"""The beating heart on a study page: three views, one clock, and still frames for paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .beating_views import BeatingViews
from .contours import UNITS_PER_PIXEL
from .html import Html, element, joined
from .sprites import jpeg_uri

CONTOURS: Final = {"cavity": "cavity", "wall": "outer wall"}
KEYS: Final = "Space plays and pauses; left and right arrow step; Home shows end-diastole, End shows end-systole."
REFERENCE_KEY: Final = " R shows and hides the reference."
REFERENCE_NOTE: Final = " Solid contours are measured, dashed ones are those of the reference."
SPEEDS: Final = {"1": "real time", "0.5": "half speed", "0.25": "quarter speed"}


def heart_section(document: Mapping[str, Any], views: BeatingViews) -> Html:
    """The beating heart with its controls, and still frames for paper."""
    low, high = views.window
    septum = (
        "septum at the left"
        if views.septum_known
        else "the right of the body at the left, since the septum is not known"
    )
    note = (
        "Axial as on a scanner: the patient's right at the left. Short axis seen from the apex, "
        f"{septum}. Long axis with the apex at the top. Dashed lines: where the other planes cut. "
        f"Window {low:.0f} to {high:.0f}."
    )
    note, keys = (note + REFERENCE_NOTE, KEYS + REFERENCE_KEY) if views.has_reference else (note, KEYS)
    return element(
        "section",
        element("h2", "Beating heart"),
        element("p", "The moving pictures need scripts; still frames follow.", class_="needs-script"),
        element("div", *(_view(views, k) for k in range(len(views.stacks))), class_="views"),
        _controls(document, views),
        _stills(document, views),
        element("p", note, class_="note"),
        element("p", keys, class_="note screen"),
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


def _controls(document: Mapping[str, Any], views: BeatingViews) -> Html:
    phases, last = document["phases"], document["time"]["num_frames"] - 1
    time = element("input", type="range", id="time", min=0, max=last, value=phases["ed_frame"], autocomplete="off")
    main = element(
        "div",
        element("p", id="readout", class_="readout"),
        element("button", "▶ Play", type="button", id="play"),
        element("button", "◀", type="button", id="back", aria_label="One frame back"),
        element("label", element("span", "Time", class_="hidden"), time, class_="time"),
        element("button", "▶", type="button", id="forward", aria_label="One frame on"),
        element("p", id="live", class_="hidden", aria_live="polite"),
        class_="controls",
    )
    return joined(main, _options(phases, views))


def _options(phases: Mapping[str, Any], views: BeatingViews) -> Html:
    """What is shown, how fast, and what the lines are."""
    legend = [element("span", f"━ {text}", class_=f"swatch-{name}") for name, text in CONTOURS.items()]
    switches = {"contours": "Contours", "cuts": "Cut lines"}
    if views.has_reference:
        legend.append(element("span", "┅ reference", class_="swatch-reference"))
        switches = {"contours": "Contours", "reference-contours": "Reference", "cuts": "Cut lines"}
    speeds = [element("option", text, value=value) for value, text in SPEEDS.items()]
    boxes = (
        element("label", element("input", type="checkbox", id=id_, checked=True), text)
        for id_, text in switches.items()
    )
    return element(
        "div",
        element("button", "End-diastole", type="button", data_frame=phases["ed_frame"]),
        element("button", "End-systole", type="button", data_frame=phases["es_frame"]),
        element("label", "Speed", element("select", *speeds, id="speed")),
        *boxes,
        element("span", *legend, class_="on-image"),
        class_="options",
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
                    still_svg(
                        pictures.pixels[start, frame],
                        pictures.contours[start][frame],
                        text,
                        pictures.reference[start][frame] if pictures.reference else ("", ""),
                    ),
                    element("figcaption", text),
                )
            )
    return element("div", *figures, class_="stills")


def still_svg(pixels: Any, contours: tuple[str, str], text: str, reference: tuple[str, str] = ("", "")) -> Html:
    """One frame of one cut with its contours, for paper and for readers without scripts."""
    side = pixels.shape[0]
    lines = [*zip(("still-cavity", "still-wall"), contours, strict=True)]
    lines += [("still-reference", path) for path in reference]
    shift = f"translate({UNITS_PER_PIXEL / 2:g} {UNITS_PER_PIXEL / 2:g})"
    return element(
        "svg",
        element("title", text),
        element("image", href=jpeg_uri(pixels), width=side * UNITS_PER_PIXEL, height=side * UNITS_PER_PIXEL),
        *(element("path", d=path, class_=class_, transform=shift) for class_, path in lines if path),
        viewBox=f"0 0 {side * UNITS_PER_PIXEL} {side * UNITS_PER_PIXEL}",
        role="img",
    )
