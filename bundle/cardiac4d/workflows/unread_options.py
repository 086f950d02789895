# SPDX-License-Identifier: Apache-2.0
"""Options that ``python -m monai.bundle run`` would take and nobody would read."""

from __future__ import annotations

import ast
import difflib
import json
import logging
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from .distributed import is_main_process

logger = logging.getLogger(__name__)

OF_MONAI = {
    *("run_id", "init_id", "final_id", "meta_file", "config_file", "logging_file", "tracking", "args_file"),
    *("workflow_name", "workflow_type", "properties_path", "bundle_root"),
    *("tracking_uri", "experiment_name", "run_name", "save_execute_config"),
}
"""Options of ``run`` itself and of MONAI's experiment tracking."""


def warn_of_unread_options(arguments: Sequence[str] | None = None) -> None:
    """Warn of options that no config of the run defines or refers to.

    MONAI adds an unknown id to the config, where nothing looks at it: ``--max_epoch 1`` alone trains all the epochs of
    the config. Only a command line of ``monai.bundle run`` that names its config files is looked at; what a program
    hands to MONAI's classes, and what stands in an ``args_file``, is not.

    Args:
        arguments: default: ``sys.argv``.
    """
    given = list(sys.argv if arguments is None else arguments)
    if given[1:2] != ["run"] or Path(given[0]).parts[-3:-1] != ("monai", "bundle") or not is_main_process():
        return
    files = _config_files(given)
    try:
        texts = [Path(file).read_text(encoding="utf-8") for file in files]
        ids = {_first_part(key) for text in texts for key in json.loads(text)}
    except (OSError, ValueError, TypeError):
        return
    ids |= {name for text in texts for name in re.findall(r"@(\w+)", text)}
    for name in _options(given) if files else ():
        if name not in ids | OF_MONAI:
            close = difflib.get_close_matches(name, ids, n=1)
            fix = f"did you mean --{close[0]}?" if close else "leave it out, or name the config file that has it"
            logger.warning("--%s is ignored: no config of this run has such an id. Fix: %s", name, fix)


def _options(arguments: Iterable[str]) -> list[str]:
    """Top-level ids that the command line gives, in its order; Fire takes ``-`` for ``_``."""
    words = (word[2:].split("=")[0] for word in arguments if word.startswith("--"))
    return list(dict.fromkeys(_first_part(word).replace("-", "_") for word in words))


def _first_part(key: str) -> str:
    return re.split(r"::|#", key.removeprefix("+"))[0]


def _config_files(arguments: Sequence[str]) -> list[str]:
    """The value of ``--config_file``: one path, or a list in Python's notation."""
    joined = [word for word in arguments if word.startswith("--config_file=")]
    behind = [value for word, value in pairwise(arguments) if word == "--config_file"]
    values = [*(word.split("=", 1)[1] for word in joined), *behind]
    if not values:
        return []
    if not values[-1].lstrip().startswith(("[", "(")):
        return [values[-1]]
    try:
        return [str(file) for file in ast.literal_eval(values[-1])]
    except (SyntaxError, ValueError):
        return []
