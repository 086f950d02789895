# SPDX-License-Identifier: Apache-2.0
"""What a study leaves behind: a page that is safe and whole, one sheet of paper, and its numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from matplotlib.image import imread

from cardiac4d.measure import measures_schema
from cardiac4d.report import write_cohort_report, write_study_report
from cardiac4d.report.beating_views import MOST_PICTURES, beating_views
from cardiac4d.report.bullseye import ring_fields, segment_fields, shade
from cardiac4d.report.one_page import function_of
from cardiac4d.report.reference_section import reference_section, reference_value
from cardiac4d.report.study_page import LIMIT_BYTES, study_page
from cardiac4d.report.study_report import SUFFIXES
from tests.helpers.reports import Sequence, complete, study
from tests.helpers.studies import AFFINE

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def parts() -> tuple[dict[str, Any], Any]:
    """Measures and views of a study that has everything."""
    document, image, labels = study()
    document = complete(document)
    return document, beating_views(image, labels, AFFINE, document)


@pytest.fixture(scope="module")
def page(parts) -> str:
    return study_page(*parts)


def data_of(page: str) -> dict[str, Any]:
    return json.loads(re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page)[1])


def test_report_is_five_files_with_the_numbers_of_the_document(tmp_path: Path) -> None:
    document, image, labels = study("c.1")
    report = write_study_report(tmp_path / "new", document, image, labels, AFFINE)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {f"c.1{suffix}" for suffix in SUFFIXES}
    written = json.loads(report.measures_json.read_text())
    assert written == document == data_of(report.page.read_text(encoding="utf-8"))["measures"]
    jsonschema.validate(written, measures_schema())
    jsonschema.validate(complete(document), measures_schema())
    assert b"/Count 1 " in report.pdf.read_bytes()
    assert imread(report.png).shape[:2] == (1753, 1240)


def test_page_holds_pictures_of_every_frame_and_stays_small(page: str, parts) -> None:
    views = data_of(page)["views"]
    assert [view["key"] for view in views] == ["axial", "short", "long"]
    assert all(len(cut["contours"]) == 6 for view in views for cut in view["cuts"])
    assert len(page) < LIMIT_BYTES


def test_page_loads_nothing_and_forbids_itself_to(page: str) -> None:
    text = re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", page)
    assert 'content="default-src &#x27;none&#x27;; img-src data:; style-src &#x27;sha256-' in text
    assert re.findall(r"""(?:src|href)=["'](?!https://doi\.org/)[^"']*:[^"']*""", text) == []
    assert "@import" not in text
    assert "url(" not in text


def test_flags_come_first_and_the_worst_first(page: str) -> None:
    body = page[page.index("<main>") :]
    assert body.index('id="flags"') < body.index('id="numbers"') < body.index('id="heart"')
    assert re.findall(r'<li class="(\w+)">', body) == ["error", "warning", "info"]
    assert "Error &lt;b&gt;of" in body, "the reason is text"


def test_text_from_outside_is_never_markup() -> None:
    document, image, labels = study(EVIL)
    document = complete(document)
    document["provenance"] |= {"input": EVIL, "model": EVIL}
    document["intervals"]["method"] = EVIL
    document["flags"][0]["reason"] = EVIL
    page = study_page(document, beating_views(image, labels, AFFINE, document))
    assert EVIL not in page
    assert page.count("<script") == 2, "its data and its own script"
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5


def test_numbers_are_held_against_the_range_of_one_sex(parts) -> None:
    document, views = parts
    page = study_page(document, views, sex="female")
    assert "Healthy men" not in page
    value = document["volumes"]["edv_ml"]
    assert value < 57
    assert page.count("below this range") >= 1
    both = study_page(document, views)
    assert "this range" not in both[: both.index("</main>")]
    with pytest.raises(ValueError, match="`sex` must be"):
        study_page(document, views, sex="f")


def test_agreement_with_the_reference_is_that_of_the_document(parts) -> None:
    document, views = parts
    section = str(reference_section(document))
    cells = [re.findall(r">([^<>]+)</t[hd]>", row) for row in section.split("<tr>")[1:]]
    assert cells[:3] == [
        ["Contours", "LV cavity", "LV myocardium"],
        ["Dice, annotated frames", "0.912", "0.800"],
        ["HD95 (mm)", "0.9", "\N{EN DASH}"],
    ]
    volumes = document["volumes"]
    assert cells[5] == ["EDV (mL)", f"{volumes['edv_ml']:.0f}", "30", f"{volumes['edv_ml'] - 30:+.0f}"]
    assert cells[7][2] == "20", "stroke volume of both volumes"
    assert cells[9] == ["ED mass (g)", f"{document['mass']['ed_mass_g']:.0f}", "\N{EN DASH}", "\N{EN DASH}"]
    assert "Contours are known in frames 0, 3." in section
    assert "End-diastole 0, end-systole 1." in section
    assert "Dice, every frame" not in section, "there is no truth of every frame"
    assert reference_section(document | {"reference": None}) is None
    assert reference_value(document | {"reference": None}, "sv_ml") is None
    assert "reference" not in study_page(document | {"reference": None}, views).partition("<style>")[0]


def test_contours_of_the_reference_have_a_switch_and_a_line_of_their_own(tmp_path: Path) -> None:
    document, image, labels = study()
    sparse = np.full_like(labels, 255)
    sparse[..., 3] = labels[..., 0]
    report = write_study_report(tmp_path, complete(document), image, labels, AFFINE, reference=sparse)
    page = report.page.read_text(encoding="utf-8")
    cut = data_of(page)["views"][1]["cuts"][5]
    assert cut["reference"][3] == cut["contours"][0], "the label of end-diastole, drawn at end-systole"
    assert cut["reference"][0] == ["", ""], "not annotated"
    assert page.count('class="still-reference"') == 2 * 3, "at end-systole alone, in three views"
    assert 'id="reference-contours"' in page
    alone = write_study_report(tmp_path / "alone", document, image, labels, AFFINE).page.read_text(encoding="utf-8")
    assert 'id="reference-contours"' not in alone
    assert data_of(alone)["reference_frames"] is None
    with pytest.raises(ValueError, match="`reference` must have the shape of `labels`"):
        write_study_report(tmp_path / "new", document, image, labels, AFFINE, reference=sparse[:-1])


def test_intervals_are_explained(parts) -> None:
    document, views = parts
    low = {**document["intervals"], "method": "errors", "num_studies": 40, "edv_ml": [500.0, 600.0]}
    page = study_page(document | {"intervals": low}, views)
    assert "the errors of the same method on 40 studies with a reference" in page
    assert page.count("usually measured too low") == 1
    assert "usually measured too" not in study_page(document, views)


def test_study_without_a_ventricle_has_a_page_too(tmp_path: Path) -> None:
    document, image, labels = study()
    nothing = dict.fromkeys(("edv_ml", "esv_ml", "sv_ml", "ef_percent"))
    curves = {"lv_ml": [0.0] * 6, "lvm_ml": [None] * 6, "lv_smoothed_ml": None}
    document |= {"volumes": nothing | curves, "axis": None, "wall_thickness": None, "mass": {}}
    report = write_study_report(tmp_path, document, image, np.zeros_like(labels), AFFINE)
    assert [view["key"] for view in data_of(report.page.read_text(encoding="utf-8"))["views"]] == ["axial"]


def test_many_frames_leave_room_for_fewer_positions() -> None:
    document, image, labels = study()
    times = 40
    long = Sequence(np.tile(image.voxels, (1, 1, 1, times)))
    views = beating_views(long, np.tile(labels, (1, 1, 1, times)), AFFINE, document)
    assert sum(pictures.pixels.shape[0] * pictures.pixels.shape[1] for pictures in views.pictures) <= MOST_PICTURES


def test_document_that_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    document, image, labels = study()
    with pytest.raises(ValueError, match="frames of `labels` \\(5\\), got 6"):
        write_study_report(tmp_path, document, image, labels[..., :5], AFFINE)
    with pytest.raises(ValueError, match="files can be named by"):
        write_study_report(tmp_path, document | {"case_id": "../a"}, image, labels, AFFINE)
    assert list(tmp_path.iterdir()) == []


def test_sheet_of_paper_takes_its_curve_from_the_document() -> None:
    document = study()[0]
    document["volumes"]["lvm_ml"][2] = None
    function = function_of(document)
    assert function.edv_ml == document["volumes"]["edv_ml"]
    assert np.isnan(function.lvm_volumes_ml).tolist() == [False, False, True, False, False, False]


def test_segments_lie_as_the_american_heart_association_numbers_them() -> None:
    fields = {field.name: field.middle for field in segment_fields()}
    assert len(fields) == 17
    x, y = fields["basal anterior"]
    assert (round(x, 6), y < -80) == (0, True)
    assert fields["mid inferoseptal"][0] < 0 < fields["mid anterolateral"][0]
    assert fields["apical septal"][0] < -30
    assert fields["apex"] == (0, 0)
    assert [field.name for field in ring_fields()] == ["basal", "mid", "apical"]
    assert [shade(v, 5, 11) for v in (4, 5, 8, 11, 12)] == [0, 0, 3, 5, 5]


def test_cohort_lists_every_study_and_compares_where_the_truth_is_known(tmp_path: Path) -> None:
    documents = [complete(study("a b")[0]), study("<i>", seed=1)[0]]
    page, table = write_cohort_report(tmp_path, documents)
    text = page.read_text(encoding="utf-8")
    assert '<a href="a%20b_report.html">a b</a>' in text
    assert '<a href="%3Ci%3E_report.html">&lt;i&gt;</a>' in text
    error = documents[0]["volumes"]["ef_percent"] - documents[0]["reference"]["ef_percent"]
    assert f'data-sort="{error!r}">{error:+.1f}</td>' in text
    assert text.count("data:image/png") == 1
    assert "Error: a info, a warning, a error" in text
    assert len(table.read_text().splitlines()) == 3


def test_cohort_without_truth_has_no_agreement(tmp_path: Path) -> None:
    page, _ = write_cohort_report(tmp_path, [study()[0]])
    assert "True EF" not in page.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"at least one study and each case id once, got \[\]"):
        write_cohort_report(tmp_path, [])
    with pytest.raises(ValueError, match="each case id once"):
        write_cohort_report(tmp_path, [study()[0], study()[0]])
