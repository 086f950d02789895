# SPDX-License-Identifier: Apache-2.0
"""The pages in a real browser: no complaint, the slider moves the heart, the numbers are those of the JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from cardiac4d.report import StudyReport, write_cohort_report, write_study_report
from tests.helpers.chromium import BINARY, Tab, browser
from tests.helpers.reports import complete, study
from tests.helpers.studies import AFFINE

pytestmark = pytest.mark.skipif(BINARY is None, reason="needs Chromium")

PIXELS = "(() => document.querySelector('[data-view={}] canvas').toDataURL())()"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> StudyReport:
    document, image, labels = study("case <1>")
    folder = tmp_path_factory.mktemp("reports")
    reference = np.full_like(labels, 255)
    reference[..., [0, 3]] = np.roll(labels[..., [0, 3]], 1, axis=0)
    written = write_study_report(folder, complete(document), image, labels, AFFINE, reference=reference)
    write_cohort_report(folder, [complete(document), study("b", seed=3)[0]])
    return written


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with browser() as opened:
        yield opened


def opened(tab: Tab, report: StudyReport, fragment: str = "", **media: str) -> Tab:
    """The page of the study; at rest unless ``media`` says otherwise."""
    tab.resize(1280, 900)
    tab.media(**{"prefers_reduced_motion": "reduce", **media})
    tab.open(report.page, fragment)
    tab.run("new Promise(done => setTimeout(done, 150))")  # pictures are decoded after the page has loaded
    return tab


def move(tab: Tab, selector: str, value: int) -> None:
    """Move a slider as a hand does."""
    tab.run(
        f"(() => {{ const s = document.querySelector('{selector}'); s.value = {value};"
        " s.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    tab.run("new Promise(done => setTimeout(done, 100))")


def press(tab: Tab, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if len(key) == 1 and kind == "keyDown" else "")


def readout(tab: Tab) -> str:
    return tab.run("document.getElementById('readout').textContent")


def test_page_shows_the_numbers_of_the_json(tab: Tab, report: StudyReport) -> None:
    opened(tab, report)
    document = json.loads(report.measures_json.read_text())
    values = {**document["volumes"], **document["mass"], "ed_thickness_mm": document["wall_thickness"]["ed"]["mean_mm"]}
    for key in ("edv_ml", "esv_ml", "sv_ml", "ef_percent", "ed_mass_g", "ed_thickness_mm"):
        value, text = tab.run(
            f"(() => {{ const d = document.getElementById('{key}'); return [d.value, d.textContent]; }})()"
        )
        assert float(value) == values[key], key
        assert abs(float(text) - values[key]) <= 0.5, key
    cells = "[...document.querySelectorAll('#volumes tbody tr')].map(row => Number(row.cells[2].textContent))"
    assert tab.run(cells) == pytest.approx(document["volumes"]["lv_ml"], abs=0.05)
    assert tab.run("document.querySelector('h1').textContent") == "Left ventricle of case <1>"


def test_time_slider_moves_frames_cursor_and_words(tab: Tab, report: StudyReport) -> None:
    opened(tab, report)
    document = json.loads(report.measures_json.read_text())
    tab.run("document.getElementById('contours').click()")  # the pictures alone must move
    before = [tab.run(PIXELS.format(view)) for view in ("axial", "short", "long")]
    cursor = float(tab.run("document.getElementById('cursor').getAttribute('x1')"))
    move(tab, "#time", 3)
    after = [tab.run(PIXELS.format(view)) for view in ("axial", "short", "long")]
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert float(tab.run("document.getElementById('cursor').getAttribute('x1')")) > cursor + 100
    assert readout(tab) == f"Frame 3 / 5, 450 ms, cavity {document['volumes']['lv_ml'][3]:.0f} mL, end-systole"
    assert tab.run("document.getElementById('live').textContent") == readout(tab).replace("Frame", "frame")
    assert tab.run("document.getElementById('time').getAttribute('aria-valuetext')").startswith("frame 3")


def test_position_slider_moves_its_own_view_and_the_cut_lines_of_the_others(tab: Tab, report: StudyReport) -> None:
    opened(tab, report)
    tab.run("document.getElementById('cuts').click()")
    before = {view: tab.run(PIXELS.format(view)) for view in ("axial", "short")}
    title = tab.run("document.querySelector('[data-view=short] .where').textContent")
    move(tab, "[data-view=short] input", 8)
    assert tab.run(PIXELS.format("short")) != before["short"]
    assert tab.run(PIXELS.format("axial")) == before["axial"]
    assert tab.run("document.querySelector('[data-view=short] .where').textContent") != title
    tab.run("document.getElementById('cuts').click()")
    assert tab.run(PIXELS.format("axial")) != before["axial"], "a line where the short axis cuts"


def test_keys_step_and_play(tab: Tab, report: StudyReport) -> None:
    opened(tab, report)
    press(tab, "ArrowLeft")
    assert readout(tab).startswith("Frame 5 ")
    press(tab, "ArrowRight")
    press(tab, "ArrowRight")
    assert readout(tab).startswith("Frame 1 ")
    press(tab, "End")
    assert "end-systole" in readout(tab)
    press(tab, " ")
    assert "Pause" in tab.run("document.getElementById('play').textContent")
    moved = "new Promise(done => { const from = readout.textContent, wait = () => readout.textContent !== from"
    assert tab.run(f"{moved} ? done(true) : setTimeout(wait, 20); wait(); }})")
    press(tab, " ")
    assert "Play" in tab.run("document.getElementById('play').textContent")


def test_reference_is_shown_hidden_and_announced(tab: Tab, report: StudyReport) -> None:
    opened(tab, report)
    both = tab.run(PIXELS.format("short"))
    press(tab, "r")
    assert tab.run("document.getElementById('reference-contours').checked") is False
    without = tab.run(PIXELS.format("short"))
    assert without != both
    tab.run("document.getElementById('reference-contours').click()")
    assert tab.run(PIXELS.format("short")) == both
    move(tab, "#time", 1)
    assert readout(tab).endswith(", no reference here"), "frames 0 and 3 are annotated"
    tab.resize(390, 844)
    assert tab.run("(t => t.scrollWidth - t.clientWidth)(document.querySelector('.tables'))") <= 0


def test_heart_beats_at_once_unless_the_reader_wants_less_motion(tab: Tab, report: StudyReport) -> None:
    button = "document.getElementById('play').textContent"
    assert "Play" in opened(tab, report).run(button)
    assert "Pause" in opened(tab, report, prefers_reduced_motion="no-preference").run(button)
    assert "Play" in opened(tab, report, "#frame=2", prefers_reduced_motion="no-preference").run(button)
    assert readout(tab).startswith("Frame 2 ")


def test_dark_and_light_differ_and_nothing_overflows_a_phone(tab: Tab, report: StudyReport) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = opened(tab, report, prefers_color_scheme="light").run(colour)
    assert opened(tab, report, prefers_color_scheme="dark").run(colour) != light
    tab.resize(390, 844)
    assert tab.run("document.documentElement.scrollWidth") <= 390


def test_paper_shows_still_frames_instead_of_controls(tab: Tab, report: StudyReport) -> None:
    opened(tab, report)
    shown = (
        "['.stills', '.controls', '.views'].map(s => getComputedStyle(document.querySelector(s)).display !== 'none')"
    )
    assert tab.run(shown) == [False, True, True]
    tab.media("print")
    assert tab.run(shown) == [True, False, False]
    assert tab.run("document.querySelectorAll('.stills svg').length") == 6
    tab.media()


def test_flag_leads_to_its_frame(tab: Tab, report: StudyReport) -> None:
    opened(tab, report)
    tab.run("document.querySelector('#flags button:last-of-type').click()")
    assert readout(tab).startswith("Frame 4 ")


def test_cohort_table_sorts_both_ways(tab: Tab, report: StudyReport) -> None:
    tab.open(report.page.with_name("index.html"))
    column = "[...document.querySelectorAll('#cohort tbody tr')].map(row => Number(row.cells[2].dataset.sort))"
    for expected in (sorted(tab.run(column)), sorted(tab.run(column), reverse=True)):
        tab.run("document.querySelectorAll('#cohort th button')[2].click()")
        assert tab.run(column) == expected
    assert tab.run("document.querySelectorAll('#cohort th')[2].getAttribute('aria-sort')") == "descending"


def test_browser_had_nothing_to_complain_about(tab: Tab, report: StudyReport) -> None:
    """Runs last: errors of all pages above, among them breaches of the page's own policy."""
    opened(tab, report)
    assert tab.problems == []
    tab.run("console.error('seen')")
    assert tab.problems.pop(), "the browser's complaints arrive here"
