# SPDX-License-Identifier: Apache-2.0
"""The measurements of a study as a JSON document; ``measures.schema.json`` beside this file describes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from .study_measures import StudyMeasures

SCHEMA: Final = "cardiac4d-measures"
SCHEMA_VERSION: Final = "1.1"
"""Raised in the second place where something is added, in the first where a reader of the older one would go wrong."""
_PHASES: Final = ("ed_frame", "es_frame", "ed_time_ms", "es_time_ms")
_PROVENANCE: Final = ("input", "input_sha256", "model", "weights_sha256", "version", "created")


@cache
def measures_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of the document."""
    schema: dict[str, Any] = json.loads(files(__package__).joinpath("measures.schema.json").read_text(encoding="utf-8"))
    return schema


def study_document(measures: StudyMeasures, case_id: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Write the measurements as plain JSON values; what is not defined becomes ``null``.

    Args:
        measures: the measurements.
        case_id: name of the case.
        provenance: ``input`` (name of the label map or image) and ``version`` of this software; where known,
            ``input_sha256``, ``model``, ``weights_sha256`` and ``created`` (ISO 8601; now, if left out).

    Returns:
        The document; its part ``reference`` is left to whoever compares the study with one.

    Raises:
        ValueError: if ``input`` or ``version`` is missing, or a key is none of these.
    """
    document = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "case_id": case_id,
        "provenance": _provenance(provenance),
        "time": _time(measures),
        "phases": {"rule": measures.phase_rule, **_parts(measures.function, *_PHASES)},
        "volumes": _volumes(measures),
        "mass": {
            "ed_mass_g": measures.function.ed_mass_g,
            "es_mass_g": measures.es_mass_g,
            "variation_percent": measures.function.lvm_variation_percent,
        },
        "axis": _axis(measures),
        "wall_thickness": _wall(measures),
        "intervals": None if measures.intervals is None else vars(measures.intervals),
        "reference": None,
        "flags": [vars(flag) for flag in measures.flags],
    }
    plain: dict[str, Any] = _plain(document)
    return plain


def _provenance(given: Mapping[str, Any]) -> dict[str, Any]:
    unknown, missing = sorted(set(given) - set(_PROVENANCE)), [k for k in ("input", "version") if k not in given]
    if unknown or missing:
        raise ValueError(f"`provenance` must hold `input` and `version`, may hold {_PROVENANCE}, got {sorted(given)}")
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    known = {**dict.fromkeys(_PROVENANCE), "created": now, **given}
    return {**known, "software": "cardiac4d"}


def _time(measures: StudyMeasures) -> dict[str, Any]:
    known = _parts(measures, "frame_times_ms", "cycle_length_ms", "full_cycle")
    return {"num_frames": len(measures.function.lv_volumes_ml), **known}


def _parts(value: object, *names: str) -> dict[str, Any]:
    """Attributes by name."""
    return {name: getattr(value, name) for name in names}


def _volumes(measures: StudyMeasures) -> dict[str, Any]:
    function = measures.function
    return {
        "lv_ml": function.lv_volumes_ml,
        "lvm_ml": function.lvm_volumes_ml,
        "lv_smoothed_ml": measures.lv_smoothed_ml,
        **_parts(function, "edv_ml", "esv_ml", "sv_ml", "ef_percent"),
        **_parts(measures, "cardiac_output_l_per_min", "heart_rate_per_min"),
        **_parts(measures, "peak_ejection_rate_ml_per_s", "peak_filling_rate_ml_per_s"),
    }


def _axis(measures: StudyMeasures) -> dict[str, Any] | None:
    axis = measures.axis
    if axis is None:
        return None
    where = _parts(axis, "apex_mm", "base_mm", "length_mm", "valve_normal")
    return {**where, "septal_direction": measures.septal_direction, "source": axis.source}


def _wall(measures: StudyMeasures) -> dict[str, Any] | None:
    if measures.wall_ed is None and measures.wall_es is None:
        return None
    gain = measures.thickening
    percent = gain and {"mean": gain.mean_percent, "rings": gain.rings_percent, "segments": gain.segments_percent}
    ed, es = (None if wall is None else vars(wall) for wall in (measures.wall_ed, measures.wall_es))
    return {"ed": ed, "es": es, "thickening_percent": percent}


def _plain(value: Any) -> Any:
    """JSON's own types, all the way down; what is not finite becomes ``None``."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
