# SPDX-License-Identifier: Apache-2.0
"""Look at the values of a config before any work is done, by the names that the command line has for them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..io import check_outputs, known_outputs
from ..io.prepared import STORED_TYPES
from .distributed import is_main_process

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rule:
    """What a setting may be.

    Attributes:
        wanted: in words.
        holds: true for a value that may be.
    """

    wanted: str
    holds: Callable[[Any], bool]


def check_settings(**settings: Any) -> None:
    """Refuse values that a run could not use, before it has read a voxel.

    Args:
        settings: values by their ids in the config, all of them among ``RULES``.

    Raises:
        InputError: for the first value that cannot be used; names the option, the value and what is wanted.
    """
    for name, value in settings.items():
        if not RULES[name].holds(value):
            raise InputError(f"--{name}", f"it is {value!r}", f"give {RULES[name].wanted}")
    max_epochs, val_interval = settings.get("max_epochs", math.inf), settings.get("val_interval", 1)
    if val_interval > max_epochs and is_main_process():
        logger.warning(
            "val_interval %d is more than max_epochs %d: no validation, and no model_best.pt. "
            "Fix: pass a --val_interval of at most %d, unless model_last.pt is all you want.",
            *(val_interval, max_epochs, max_epochs),
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return (_is_whole(value) or isinstance(value, float)) and math.isfinite(value)


def _is_three(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 3


def _is_orientation(value: Any) -> bool:
    axes = ("LR", "PA", "IS")
    return value is None or (
        isinstance(value, str)
        and len(value) == 3
        and all(sum(letter in axis for letter in value) == 1 for axis in axes)
    )


def _is_spacing(value: Any) -> bool:
    return value is None or (_is_three(value) and all(_is_number(size) and size > 0 for size in value))


def _is_outputs(value: Any) -> bool:
    try:
        return bool(check_outputs(value))
    except ValueError:
        return False


def _at_least(low: int) -> Rule:
    return Rule(f"a whole number of at least {low}", lambda value: _is_whole(value) and value >= low)


_FRACTION = Rule("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)
_NOT_NEGATIVE = Rule("a number of at least 0", lambda value: _is_number(value) and value >= 0)
_FLAG = Rule("True or False, with a capital letter", lambda value: isinstance(value, bool))
_WINDOW = Rule(
    'three whole numbers such as "[32,32,24]": voxels, or -1 for the whole axis',
    lambda value: _is_three(value) and all(_is_whole(size) and (size >= 1 or size == -1) for size in value),
)

RULES = {
    **dict.fromkeys(("max_epochs", "val_interval", "checkpoint_interval", "batch_size", "num_frames"), _at_least(1)),
    **dict.fromkeys(("prepare_workers", "accumulation_steps"), _at_least(1)),
    **dict.fromkeys(("num_workers", "seed"), _at_least(0)),
    "foreground_prob": _FRACTION,
    "prepared_dtype": Rule(f"one of {', '.join(STORED_TYPES)}", lambda value: value in STORED_TYPES),
    **dict.fromkeys(("poly_power", "smoothness_weight", "pinned_gib"), _NOT_NEGATIVE),
    "resident_gib": Rule(
        "GiB, a number of at least 0, or -1 for half of the GPU's memory",
        lambda value: _is_number(value) and (value >= 0 or value == -1),
    ),
    **dict.fromkeys(("resident", "resume", "overwrite", "framewise", "full_cycle"), _FLAG),
    **dict.fromkeys(("amp", "head_in_loss", "cpu_autocast", "report"), _FLAG),
    "learning_rate": Rule("a number above 0", lambda value: _is_number(value) and value > 0),
    "sw_overlap": Rule("a number from 0 to below 1", lambda value: _is_number(value) and 0 <= value < 1),
    "window_frames": Rule(
        "a number of frames, or -1 for the whole sequence",
        lambda value: _is_whole(value) and (value >= 1 or value == -1),
    ),
    "roi_size": _WINDOW,
    "calibration": Rule(
        "the path of cases.csv of an evaluation", lambda value: value is None or isinstance(value, str)
    ),
    "outputs": Rule(f"some of {', '.join(known_outputs())}, as in \"['nifti','seq.nrrd']\"", _is_outputs),
    "spacing_mm": Rule('three numbers above 0 in millimetres, such as "[1.0,1.0,1.0]"', _is_spacing),
    "orientation": Rule("three letters such as RAS: one of L and R, one of P and A, one of I and S", _is_orientation),
}
"""What each setting may be, by its id in the configs; it stands last because it is made of the functions above."""
