# SPDX-License-Identifier: Apache-2.0
"""What is odd about a study although it can be read: one rule per function, each with its reason in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .study_facts import StudyFacts

FRAME_DURATION_MS = (5.0, 250.0)
CYCLE_LENGTH_MS = (300.0, 2000.0)
"""30 to 200 beats per minute."""
FEW_FRAMES = 8
LV_ML = (10.0, 500.0)
LVM_ML = (30.0, 500.0)
CT_RANGE_HU = (-2048.0, 32767.0)
EF_PERCENT = (5.0, 90.0)
LARGEST_ANISOTROPY = 12.0
LARGEST_BARE_SHARE = 0.5

Rule = Callable[[StudyFacts], Iterator[str]]


def suspicions(facts: StudyFacts) -> list[str]:
    """Everything odd about one study, each a sentence."""
    return [sentence for rule in RULES for sentence in rule(facts)]


def same_images(studies: Sequence[StudyFacts]) -> dict[int, str]:
    """Studies whose first frame is that of another one, by their position: copies under other names leak."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, facts in enumerate(studies):
        groups[facts.intensities.digest].append(index)
    found = {}
    for members in groups.values():
        for index in members if len(members) > 1 else ():
            others = [f"{studies[i].section}: {studies[i].case_id}" for i in members if i != index]
            found[index] = f"its first frame is that of {', '.join(others)}; the same study twice?"
    return found


def _time(facts: StudyFacts) -> Iterator[str]:
    duration, num_frames = facts.frame_duration_ms, facts.shape[3]
    if np.isnan(duration):
        yield "the frame duration is not known, so that rates and cardiac output will be missing"
    elif not FRAME_DURATION_MS[0] <= duration <= FRAME_DURATION_MS[1]:
        yield f"a frame lasts {duration:g} ms; is the unit of time right?"
    elif facts.full_cycle and not CYCLE_LENGTH_MS[0] <= duration * num_frames <= CYCLE_LENGTH_MS[1]:
        yield f"the cycle would last {duration * num_frames:g} ms; is the frame duration right, and the cycle full?"
    if num_frames < FEW_FRAMES:
        yield f"{num_frames} frames may miss end-systole"


def _space(facts: StudyFacts) -> Iterator[str]:
    spacing = np.array(facts.spacing_mm)
    if np.allclose(spacing, 1.0, atol=1e-6):
        yield "the spacing is 1 x 1 x 1 mm exactly; was it lost?"
    if spacing.max() / spacing.min() > LARGEST_ANISOTROPY:
        yield f"the spacing {' x '.join(f'{s:.3g}' for s in spacing)} mm differs by more than {LARGEST_ANISOTROPY:g}"


def _intensity(facts: StudyFacts) -> Iterator[str]:
    found = facts.intensities
    if found.lowest == found.highest:
        yield f"every voxel is {found.lowest:g}"
        return
    if found.lowest < CT_RANGE_HU[0] or found.highest > CT_RANGE_HU[1]:
        yield f"intensities from {found.lowest:g} to {found.highest:g} are beyond Hounsfield units"
    if found.highest - found.lowest <= 2:
        yield f"intensities from {found.lowest:g} to {found.highest:g}: scaled already, or a label map?"
    elif found.lowest >= 0:
        text = "no intensity is negative, as the air of a CT is"
        yield f"{text}: without its intercept, or MR (then use configs/cine_mr.json)?"


def _motion(facts: StudyFacts) -> Iterator[str]:
    repeated = facts.intensities.repeated_frames
    if repeated:
        listed = ", ".join(map(str, repeated[:6])) + (", ..." if len(repeated) > 6 else "")
        yield f"frame {listed} repeats the frame before it" if len(repeated) == 1 else f"frames {listed} repeat others"


def _annotation(facts: StudyFacts) -> Iterator[str]:
    empty = [each.frame for each in facts.annotated if each.lv_ml == each.lvm_ml == 0]
    if empty:
        fix = '"empty_frames_are_unlabeled": true says that they are not annotated'
        yield f"frames {empty} are annotated and empty, so that they teach there is no heart; {fix}"
    drawn = [each for each in facts.annotated if each.frame not in empty]
    for name, values in (("LV", [e.lv_ml for e in drawn]), ("LVM", [e.lvm_ml for e in drawn])):
        missing = [e.frame for e, value in zip(drawn, values, strict=True) if value == 0]
        if missing:
            yield f"{name} is missing in annotated frames {missing}"
    if drawn and facts.frames_by_file and len(drawn) == facts.shape[3] > 1:
        yield "every frame counts as annotated, since the data list names none; are all of them?"


def _volumes(facts: StudyFacts) -> Iterator[str]:
    cavities, walls = ([getattr(e, name) for e in facts.annotated if getattr(e, name)] for name in ("lv_ml", "lvm_ml"))
    for name, values, (low, high) in (("LV", cavities, LV_ML), ("LVM", walls, LVM_ML)):
        if values and not low <= min(values) <= max(values) <= high:
            found = f"{min(values):.3g} to {max(values):.3g} mL"
            yield f"{name} has {found}, expected are {low:g} to {high:g}; are spacing and label map right?"
    if len(cavities) > 1:
        ef = 100 * (max(cavities) - min(cavities)) / max(cavities)
        if not EF_PERCENT[0] <= ef <= EF_PERCENT[1]:
            yield f"the annotated frames give an ejection fraction of {ef:.0f} %"


def _shape(facts: StudyFacts) -> Iterator[str]:
    at_edge = [each.frame for each in facts.annotated if each.touches_edge]
    if at_edge:
        yield f"the heart reaches the edge of the image in frames {at_edge}"
    bare = [each.frame for each in facts.annotated if each.bare_share > LARGEST_BARE_SHARE]
    if bare:
        yield f"more than half of the cavity lies outside the wall in frames {bare}; are the two labels swapped?"


RULES: tuple[Rule, ...] = (_time, _space, _intensity, _motion, _annotation, _volumes, _shape)
