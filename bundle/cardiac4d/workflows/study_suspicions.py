# SPDX-License-Identifier: Apache-2.0
"""What is odd about a study although it can be read: one rule per function, each with its reason in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .frame_order import FEWEST_FRAMES, FrameOrder
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
UNITS = (("metres", (0.0, 2.0), 1000.0), ("centimetres", (2.0, 40.0), 10.0), ("micrometres", (5e3, np.inf), 1e-3))
"""Widths in mm that no image of a heart has, and the unit in which it would be one."""
LARGEST_STEPS = 0.6
"""Mean square difference of neighbours over that of all pairs: 0.04 to 0.36 in 89 sequences, 0.8 to 1.2 shuffled."""
LARGEST_WAY = 0.97
"""With frames put in natural order: 1.04 to 1.43 in order, 0.64 to 0.95 sorted as text."""
CLEARLY_SHORTER_WAY = 0.9
"""Where a single frame out of its place explains a part of it."""
LARGEST_LONE_RATIO = 1.3
"""0.5 to 1.0 in order; above it in most sequences of which two frames were exchanged."""
LARGEST_CLOSING = 0.75
"""0.06 to 0.71 in sequences that cover the cycle, or nearly; 0.71 to 1 in most of them cut after half of it."""
SMALLEST_CLOSING = 0.5
TURN_SHARE = 0.1
MOST_TURNS = 5
"""A cycle has a largest and a smallest volume, and a short pause before the atria contract."""
LEAST_CONTRAST = 0.75
"""1.5 to 3.4 in CT phantoms and real cine MR; less with labels that are off by the radius of the cavity."""
LARGEST_RIVAL = 1.3
"""0.96 at most with labels in their place, 1.6 and more when off by 10 mm."""
LEAST_SHARE_OF_CONTRAST = 0.5
FEW_STUDIES = 3

Rule = Callable[[StudyFacts], Iterator[str]]


def suspicions(facts: StudyFacts) -> list[str]:
    """Everything odd about one study, each a sentence."""
    return [sentence for rule in RULES for sentence in rule(facts)]


def suspicions_among(studies: Sequence[StudyFacts]) -> list[list[str]]:
    """What is odd about each study beside the others."""
    return [[*same, *weak] for same, weak in zip(_same_image(studies), _weaker_than_others(studies), strict=True)]


def _same_image(studies: Sequence[StudyFacts]) -> Iterator[list[str]]:
    """Studies whose first frame is that of another one: copies under other names leak."""
    groups: dict[str, list[StudyFacts]] = defaultdict(list)
    for facts in studies:
        groups[facts.intensities.digest].append(facts)
    for facts in studies:
        others = [f"{o.section}: {o.case_id}" for o in groups[facts.intensities.digest] if o is not facts]
        yield [f"its first frame is that of {', '.join(others)}; the same study twice?"] if others else []


def _weaker_than_others(studies: Sequence[StudyFacts]) -> Iterator[list[str]]:
    """Labels that lie off by less than what shows in a study alone."""
    contrasts = [facts.fit.contrast for facts in studies if facts.fit is not None]
    usual = float(np.median(contrasts)) if len(contrasts) > FEW_STUDIES else 0.0
    for facts in studies:
        fit = facts.fit
        if fit is None or any(_fit(facts)) or fit.contrast >= usual * LEAST_SHARE_OF_CONTRAST:
            yield []
        else:
            text = f"cavity and wall differ by {fit.contrast:.1f} standard deviations, in most studies by {usual:.1f}"
            yield [f"{text}; do the labels lie on this image?"]


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
    width = float(np.max(spacing * facts.shape[:3]))
    for unit, (low, high), factor in UNITS:
        if low <= width < high:
            text = f"the image is {width:.3g} mm wide; is its header in {unit}?"
            yield f"{text} Then multiply its affine and spacing by {factor:g}, and those of its labels"
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


def _order(facts: StudyFacts) -> Iterator[str]:
    order = facts.order
    if order is None:
        return
    is_lone = order.lone_ratio > LARGEST_LONE_RATIO
    if order.neighbours_to_all > LARGEST_STEPS:
        text = f"neighbouring frames differ {order.neighbours_to_all:.2f} times as much as any two"
        yield f"{text} (mean square); are the frames in order of time?"
    elif order.natural_to_stored < (CLEARLY_SHORTER_WAY if is_lone else LARGEST_WAY):
        less = 100 * (1 - order.natural_to_stored)
        text = f"neighbouring frames would differ {less:.0f} % less in natural order"
        yield f"{text}; are they sorted as text (0, 1, 10, 2)?"
    elif is_lone:
        text = f"frame {order.lone_frame} differs from both its neighbours {order.lone_ratio:.1f} times as much"
        yield f"{text} as they do from each other; is it in its place, and whole?"
    elif facts.full_cycle:
        yield from _closing(order)


def _closing(order: FrameOrder) -> Iterator[str]:
    if order.closing_to_largest > LARGEST_CLOSING:
        text = f"the last frame differs from the first {order.closing_to_largest:.2f} times"
        yield f'{text} as much as the most different frames; is "full_cycle" true?'
    elif order.closing_to_smallest < SMALLEST_CLOSING:
        yield 'the last frame is the first one again, which a full cycle holds once: leave it out by "frames"'


def _curve(facts: StudyFacts) -> Iterator[str]:
    volumes = [each.lv_ml for each in facts.annotated if each.lv_ml]
    turns = _turning_points(volumes)
    if len(volumes) >= FEWEST_FRAMES and turns > MOST_TURNS:
        text = f"the volume of the LV turns {turns} times between growing and shrinking"
        yield f"{text} in {len(volumes)} annotated frames; are frames and labels in order of time?"


def _turning_points(volumes: Sequence[float]) -> int:
    """How often a curve changes its direction by more than a share of its range."""
    turns, direction = 0, 0
    last = volumes[0] if volumes else 0.0
    least = TURN_SHARE * (max(volumes) - min(volumes)) if volumes else 0.0
    for volume in volumes[1:]:
        if direction * (volume - last) > 0:
            last = volume
        elif abs(volume - last) > least:
            turns += direction != 0
            direction, last = (1 if volume > last else -1), volume
    return turns


def _fit(facts: StudyFacts) -> Iterator[str]:
    fit = facts.fit
    if fit is None:
        return
    if fit.rival_contrast > max(1.0, LARGEST_RIVAL * fit.contrast):
        text = f"the labels would fit the image better {fit.rival}: cavity and wall differ"
        yield f"{text} by {fit.rival_contrast:.1f} standard deviations there, {fit.contrast:.1f} where they are"
    elif fit.contrast < LEAST_CONTRAST:
        text = f"the cavity ({fit.lv_mean:.4g}) is hardly brighter than the wall ({fit.lvm_mean:.4g}), or darker"
        yield f"{text}: labels of another image, or no contrast agent?"


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


RULES: tuple[Rule, ...] = (_time, _space, _intensity, _motion, _order, _annotation, _volumes, _curve, _shape, _fit)
