# SPDX-License-Identifier: Apache-2.0
"""How often the intervals hold the truth on the phantom: ``python scripts/measure_interval_coverage.py``.

Segments fresh hearts with the shipped weights and measures them on the network's own grid. The truth is the phantom's
analytic one; of the wall thickness, that of its dense label map, which is known to 0.2 mm.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser

from cardiac4d.command_line import run
from cardiac4d.measure import (
    QUANTITIES,
    Intervals,
    StudyMeasures,
    errors_of,
    intervals_from_errors,
    intervals_from_probabilities,
    intervals_from_samples,
    measure_study,
    quantities,
)
from cardiac4d.phantom import PRESETS, write_dataset
from cardiac4d.transforms import LoadSparseLabels

ROOT = Path(__file__).resolve().parents[1]
METHODS = ("samples", "probabilities", "errors")
Truth = Mapping[str, float]

logger = logging.getLogger(__name__)


def measure_interval_coverage(
    num_studies: int = 40,
    num_calibration: int = 20,
    seed: int = 1,
    level: float = 0.9,
    num_samples: int = 3,
    output_json: str | None = None,
) -> str:
    """Print, for each method, the share of intervals that hold the true number, and their median width.

    Args:
        num_studies: hearts of the laptop preset.
        num_calibration: the first of them give the errors that the method "errors" works with; the table is over the
            others, for every method.
        seed: of the phantom; the weights were trained on seed 0.
        level: intended coverage.
        num_samples: segmentations of each heart: the cycle begun at frame 0, 1, 2, ...
        output_json: also write every number and interval of the table here.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not 0 < num_calibration < num_studies:
        raise SystemExit(f"num_calibration (={num_calibration}) must lie between 0 and num_studies (={num_studies})")
    with tempfile.TemporaryDirectory() as folder:
        studies = list(_studies(Path(folder), num_studies, seed, num_samples, level))
    known, fresh = studies[:num_calibration], studies[num_calibration:]
    errors = errors_of([study for study, _, _ in known], [truth for _, truth, _ in known])
    measured, truths = [study for study, _, _ in fresh], [truth for _, truth, _ in fresh]
    found = {name: [given[name] for _, _, given in fresh] for name in ("samples", "probabilities")}
    found["errors"] = [intervals_from_errors(study, errors, level) for study in measured]
    if output_json:
        Path(output_json).write_text(json.dumps(_record(measured, truths, found), indent=1), encoding="utf-8")
    return coverage_table(measured, truths, found, level)


def coverage_table(
    measured: Sequence[StudyMeasures], truths: Sequence[Truth], found: Mapping[str, Sequence[Intervals]], level: float
) -> str:
    """Markdown: a row per method and number."""
    lines = [
        f"| Method | Number | Truth within the {100 * level:.0f} % interval | Median width | Bias |",
        "|---|---|---|---|---|",
    ]
    for method in METHODS:
        for name in QUANTITIES:
            bounds = np.array([getattr(each, name) or (np.nan, np.nan) for each in found[method]])
            truth = np.array([each[name] for each in truths])
            bias = np.mean([quantities(study)[name] for study in measured] - truth)
            lines.append(f"| {method} | {name} | {_held(bounds, truth)} | {bias:+.1f} |")
    return "\n".join(lines)


def _held(bounds: np.ndarray, truth: np.ndarray) -> str:
    """How many intervals hold the truth, and their median width; a dash each where the method gives none."""
    if not np.isfinite(bounds).any():
        return "- | -"
    held = int(((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).sum())
    return f"{held}/{len(truth)} | {np.nanmedian(np.ptp(bounds, axis=1)):.1f}"


def _studies(
    folder: Path, num_studies: int, seed: int, num_samples: int, level: float
) -> Iterator[tuple[StudyMeasures, Truth, dict[str, Intervals]]]:
    """Measurements, truth and intervals of each heart."""
    preset = replace(
        PRESETS["laptop"],
        name="coverage",
        num_training=num_studies - 2,
        num_validation=1,
        num_test=1,
        num_labeled_frames=2 * num_studies,
    )
    datalist = write_dataset(folder / "phantom", preset, seed, progress=False)
    network, prepare, inferer = _shipped_network()
    for number, record in enumerate(sorted((datalist.parent / "truth").glob("*.json"))):
        truth = _truth(record)
        image = prepare({"image": str(next(datalist.parent.glob(f"images*/{record.stem}.nii.gz"))), "full_cycle": True})
        maps = [_probabilities(network, inferer, image["image"], shift) for shift in range(num_samples)]
        samples = [_measured(each, image["image"].affine) for each in maps]
        given = {
            "samples": intervals_from_samples(samples, level),
            "probabilities": intervals_from_probabilities(maps[0], image["image"].affine, samples[0].function, level),
        }
        logger.info("%d: EF %.1f, true %.1f", number, samples[0].function.ef_percent, truth["ef_percent"])
        yield samples[0], truth, given


def _truth(record: Path) -> Truth:
    """The true numbers of a heart, by the names of :data:`QUANTITIES`."""
    known = json.loads(record.read_text(encoding="utf-8"))
    at_ed = LoadSparseLabels(None, None)(record.with_suffix(".nii.gz"), frames=[known["ed_frame"]])
    wall_mm = quantities(measure_study(at_ed.movedim(0, -1), at_ed.affine))["ed_thickness_mm"]
    volumes = {name: known[name] for name in ("edv_ml", "esv_ml", "ef_percent")}
    return volumes | {"sv_ml": known["stroke_volume_ml"], "ed_mass_g": known["mass_g"], "ed_thickness_mm": wall_mm}


def _shipped_network() -> tuple[torch.nn.Module, Any, Any]:
    """The shipped network, and how its configs prepare an image and infer."""
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / name) for name in ("evaluate.json", "quick.json")])
    parser["bundle_root"], parser["is_main"], parser["device"] = str(ROOT), False, torch.device("cpu")
    network = parser.get_parsed_content("network").eval()
    network.load_state_dict(torch.load(ROOT / "models" / "model.pt", map_location="cpu", weights_only=True))
    return network, parser.get_parsed_content("preprocessing"), parser.get_parsed_content("inferer")


def _probabilities(network: torch.nn.Module, inferer: Any, image: Any, shift: int) -> torch.Tensor:
    """``(3, H, W, D, T)``, the cycle begun at frame ``shift`` while the network looks at it."""
    turned = torch.roll(image, -shift, dims=-1)
    with torch.no_grad():
        logits = inferer(turned[None], network)[0]
    return torch.roll(logits.as_tensor().softmax(dim=0), shift, dims=-1)


def _measured(probabilities: torch.Tensor, affine: torch.Tensor) -> StudyMeasures:
    return measure_study(probabilities.argmax(dim=0).to(torch.uint8), affine, full_cycle=True)


def _record(
    measured: Sequence[StudyMeasures], truths: Sequence[Truth], found: Mapping[str, Sequence[Intervals]]
) -> list[dict[str, Any]]:
    return [
        {
            "true": dict(truth),
            "measured": quantities(study),
            **{method: vars(found[method][i]) for method in METHODS},
        }
        for i, (study, truth) in enumerate(zip(measured, truths, strict=True))
    ]


if __name__ == "__main__":
    run(measure_interval_coverage)
