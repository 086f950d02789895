# SPDX-License-Identifier: Apache-2.0
"""Files of weights: bare state dicts, with the recipe of the network's input beside them.

``model.pt`` loads with ``weights_only=True``. ``model.json`` says what the input must look like, the voxel size above
all (weights applied at another resolution give a wrong result without any error), and in windows of how many frames the
training looked at whole sequences.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from ..errors import InputError
from ..io.fingerprint import file_sha256
from ..io.whole_file import whole_file

Recipe = Mapping[str, Any]
MAY_DIFFER = {"window_frames"}
"""Fields of a recipe in which a run may differ from the training: what it gives is another result, not a wrong one."""

logger = logging.getLogger(__name__)


def save_atomically(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write ``content`` so that ``path`` is either the old file or the complete new one, also after a power cut."""
    with whole_file(path) as partial, partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


def bare(network: nn.Module) -> nn.Module:
    """Return the network inside a data-parallel wrapper, or the network itself."""
    return network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network


def write_model(network: nn.Module, path: str | os.PathLike[str], recipe: Recipe | None = None) -> None:
    """Write a bare state dict, and before it the recipe, so that no model is ever without its own."""
    if recipe is not None:
        with whole_file(recipe_path(path)) as partial:
            partial.write_text(json.dumps(recipe, indent=4) + "\n", encoding="utf-8")
    save_atomically(bare(network).state_dict(), path)


def load_weights(network: nn.Module, state: Mapping[str, Any], source: str | os.PathLike[str]) -> None:
    """Load a state dict into a network; nothing is loaded unless everything fits.

    Raises:
        InputError: if the weights belong to another network, or are not finite, which would make a label map of zeros
            without any error; names the file and the first differences.
    """
    own = network.state_dict()
    shapes = {key: tuple(value.shape) for key, value in own.items()}
    given = {key: tuple(value.shape) for key, value in state.items() if isinstance(value, torch.Tensor)}
    wrong = [
        f"{key} {given.get(key, 'missing')} instead of {shape}"
        for key, shape in shapes.items()
        if given.get(key) != shape
    ]
    wrong += [f"{key} is unknown" for key in given if key not in shapes]
    if wrong:
        shown = "; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        raise InputError(
            source,
            f"these weights belong to another network: {shown}",
            "give the checkpoint of this network, or the config it was trained with (the 3D baseline needs "
            "configs/baseline_3d.json as a second config file)",
        )
    spoilt = [key for key in shapes if not state[key].isfinite().all()]
    if spoilt:
        raise InputError(
            source,
            f"{len(spoilt)} of {len(shapes)} tensors hold NaN or infinite values, such as {spoilt[0]}",
            "give the weights of a training that did not diverge, or copy the file again",
        )
    network.load_state_dict(dict(state))


def read_weights(
    path: str | os.PathLike[str], map_location: torch.device | str = "cpu"
) -> tuple[Mapping[str, Any], Recipe]:
    """Read a bare state dict, or the network out of a training checkpoint, and the recipe that goes with it.

    Raises:
        InputError: if the file is missing or is no file of weights.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "there is no such file of weights", _advice_for_missing(path))
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        # torch's own message advises to switch weights_only off, which would run code from the file: not repeated here
        problem = f"not a readable file of weights ({type(error).__name__})"
        raise InputError(path, problem, "give a file written by training") from error
    if not isinstance(content, Mapping):
        raise InputError(path, f"holds a {type(content).__name__}, no weights", "give a file written by training")
    if "network" in content:
        return content["network"], content.get("recipe", {})
    beside = recipe_path(path)
    return content, json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}


def _advice_for_missing(path: Path) -> str:
    elsewhere = f"; it is looked for from {Path.cwd()}: pass --bundle_root if the bundle is elsewhere"
    return "train first, or give another file by --checkpoint" + ("" if path.is_absolute() else elsewhere)


def weights_sha256(path: str | os.PathLike[str] | None) -> str | None:
    """SHA-256 of a file of weights, read once per process; ``None`` if there is no such file."""
    return _sha256(Path(path)) if path is not None and Path(path).is_file() else None


@cache
def _sha256(path: Path) -> str:
    return file_sha256(path)


def recipe_path(model: str | os.PathLike[str]) -> Path:
    """Where the recipe of a model's input stands: beside it, with the suffix ``.json``."""
    return Path(model).with_suffix(".json")


def check_recipe(model: str | os.PathLike[str], trained: Recipe, recipe: Recipe) -> None:
    """Compare how the input was prepared in training with how it is now; warn of what may differ or is not known.

    Raises:
        InputError: if they differ in a field that must not (all but those of ``MAY_DIFFER``); names the field and both
            values.
    """
    trained, now = (json.loads(json.dumps(dict(each))) for each in (trained, recipe))  # tuples become lists
    _warn_of_unknown(model, [field for field in now if field not in trained], now)
    for field in now:
        if field not in trained or trained[field] == now[field]:
            continue
        problem = f"the network was trained with {field} {trained[field]}, this run uses {now[field]}"
        fix = _recipe_advice(field, trained[field])
        if field not in MAY_DIFFER:
            raise InputError(model, problem, fix, field)
        logger.warning("%s: %s: its results differ. Fix: %s, unless that is what you want.", model, problem, fix)


def _warn_of_unknown(model: str | os.PathLike[str], unknown: list[str], now: Recipe) -> None:
    if unknown:
        logger.warning(
            "%s does not say which %s it was trained with: a wrong one gives wrong results without any error. "
            "Fix: put the %s that training wrote beside it, or make sure that this run's are right: %s.",
            model,
            " and ".join(unknown),
            recipe_path(model).name,
            ", ".join(f"{field} {now[field]}" for field in unknown),
        )


def _recipe_advice(field: str, value: object) -> str:
    """How to run with the value of the training; MONAI drops ``None`` from the command line without a word."""
    if value is None:
        return (
            "add the config overlay of the training, such as configs/cine_mr.json: the command line cannot set "
            f"{field} to null"
        )
    option = f'--{field} "{value}"' if isinstance(value, list) else f"--{field} {value}"
    # The voxel size alone would leave this run with windows that the network was not trained in.
    windows = " and the --roi_size and --window_frames of the training" if field == "spacing_mm" else ""
    overlay = "add the config overlay of the training, such as configs/quick.json"
    return f"{overlay}; if it had none, pass {option}{windows}"


class WeightsLoader:
    """Engine handler: load the weights when the engine starts, so that building a workflow needs no file.

    Args:
        path: a bare state dict or a training checkpoint.
        network: receives the weights.
        map_location: device to read them to.
        recipe: how this run prepares its input and cuts it into windows; must agree with the recipe of the weights, but
            for the window in time, of which another one is warned. Weights without one are loaded with a warning.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        network: nn.Module,
        map_location: torch.device | str = "cpu",
        recipe: Recipe | None = None,
    ) -> None:
        self.path, self.network, self.map_location, self.recipe = path, network, map_location, recipe or {}

    def attach(self, engine: Engine) -> None:
        """Register with the engine."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load now."""
        weights, trained = read_weights(self.path, self.map_location)
        check_recipe(self.path, trained, self.recipe)
        load_weights(bare(self.network), weights, self.path)
        logger.info("weights: %s", self.path)
