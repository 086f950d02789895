# SPDX-License-Identifier: Apache-2.0
import json
import logging

import pytest
import torch
from ignite.engine import Engine
from monai.bundle.scripts import update_kwargs
from torch import nn

from cardiac4d.errors import InputError
from cardiac4d.workflows.weights import WeightsLoader, load_weights, save_atomically, write_model

NO_ENGINE = Engine(lambda *_: None)


class Killed(BaseException):
    pass


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    save_atomically({"a": torch.ones(2)}, path)

    def fail(_content, file):
        file.write(b"half")
        raise Killed

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(Killed):
        save_atomically({"a": torch.zeros(2)}, path)
    assert torch.load(path, weights_only=True)["a"].tolist() == [1.0, 1.0]


def test_weights_of_another_network_name_file_and_difference(tmp_path):
    network, other = nn.Linear(2, 1), nn.Linear(3, 1)
    before = network.weight.clone()
    with pytest.raises(InputError, match=r"other\.pt: these weights belong to another network: weight \(1, 3\)"):
        load_weights(network, other.state_dict(), tmp_path / "other.pt")
    assert torch.equal(network.weight, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    network, spoilt = nn.Linear(2, 1), nn.Linear(2, 1)
    before = network.weight.clone()
    nn.init.constant_(spoilt.bias, value)
    write_model(spoilt, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: 1 of 2 tensors hold NaN or infinite values, such as bias.*Fix: "):
        WeightsLoader(tmp_path / "model.pt", network)(NO_ENGINE)
    assert torch.equal(network.weight, before)


def test_file_that_holds_no_weights_names_what_it_holds(tmp_path):
    torch.save([1, 2], tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: holds a list, no weights"):
        WeightsLoader(tmp_path / "model.pt", nn.Linear(1, 1))(NO_ENGINE)


@pytest.mark.parametrize("content", [None, b"not a model"])
def test_missing_or_unreadable_weights_name_the_file(tmp_path, content):
    path = tmp_path / "model.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pt: .*Fix: "):
        WeightsLoader(path, nn.Linear(1, 1))(NO_ENGINE)


def test_missing_weights_of_a_relative_path_say_where_they_were_looked_for(tmp_path, monkeypatch):
    """The configs' own path is relative to the bundle, unless --bundle_root says where that is."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"Fix: .*from {tmp_path}: pass --bundle_root"):
        WeightsLoader("./models/model.pt", nn.Linear(1, 1))(NO_ENGINE)
    with pytest.raises(InputError) as refused:
        WeightsLoader(tmp_path / "models" / "model.pt", nn.Linear(1, 1))(NO_ENGINE)
    assert "bundle_root" not in str(refused.value)


def test_weights_load_from_a_training_checkpoint_too(tmp_path):
    trained, fresh = nn.Linear(2, 1), nn.Linear(2, 1)
    path, recipe = tmp_path / "checkpoint_epoch=1.pt", {"spacing_mm": [1.0, 1.0, 1.0]}
    save_atomically({"network": trained.state_dict(), "recipe": recipe}, path)
    WeightsLoader(path, fresh, recipe=recipe)(NO_ENGINE)
    assert torch.equal(fresh.weight, trained.weight)
    with pytest.raises(InputError, match="trained with spacing_mm"):
        WeightsLoader(path, fresh, recipe={"spacing_mm": [3.0, 3.0, 3.0]})(NO_ENGINE)


def test_weights_refuse_an_input_they_were_not_trained_on(tmp_path):
    network, model = nn.Linear(2, 1), tmp_path / "model.pt"
    write_model(network, model, {"spacing_mm": [1.0, 1.0, 1.0]})
    WeightsLoader(model, network, recipe={"spacing_mm": (1.0, 1.0, 1.0)})(NO_ENGINE)
    with pytest.raises(InputError, match=r"trained with spacing_mm \[1.0, 1.0, 1.0\], this run uses \[3.0, 3.0, 3.0\]"):
        WeightsLoader(model, network, recipe={"spacing_mm": [3.0, 3.0, 3.0]})(NO_ENGINE)


def test_weights_without_a_recipe_warn_that_their_input_cannot_be_checked(tmp_path, caplog):
    network, model = nn.Linear(2, 1), tmp_path / "model.pt"
    write_model(network, model)
    WeightsLoader(model, network, recipe={"spacing_mm": (1.0, 1.0, 1.0), "orientation": "RAS"})(NO_ENGINE)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    text = record.getMessage()
    assert "does not say which spacing_mm and orientation" in text
    assert str(model) in text
    assert "Fix: " in text
    assert "model.json" in text


def test_recipe_that_leaves_a_field_open_warns_of_that_field(tmp_path, caplog):
    network, model = nn.Linear(2, 1), tmp_path / "model.pt"
    write_model(network, model, {"spacing_mm": [1.0, 1.0, 1.0]})
    WeightsLoader(model, network, recipe={"spacing_mm": (1.0, 1.0, 1.0), "orientation": "RAS"})(NO_ENGINE)
    assert "does not say which orientation it" in caplog.text


def test_weights_with_their_recipe_need_no_warning(tmp_path, caplog):
    network, model = nn.Linear(2, 1), tmp_path / "model.pt"
    recipe = {"spacing_mm": (1.0, 1.0, 1.0)}
    write_model(network, model, recipe)
    assert json.loads((tmp_path / "model.json").read_text()) == {"spacing_mm": [1.0, 1.0, 1.0]}
    WeightsLoader(model, network, recipe=recipe)(NO_ENGINE)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_advice_for_an_input_at_native_resolution_names_what_the_command_line_cannot_do(tmp_path):
    network, model = nn.Linear(2, 1), tmp_path / "model.pt"
    write_model(network, model, {"spacing_mm": None})
    with pytest.raises(
        InputError, match=r"Fix: add the config overlay .*cine_mr\.json.* cannot set spacing_mm to null"
    ):
        WeightsLoader(model, network, recipe={"spacing_mm": [1.0, 1.0, 1.0]})(NO_ENGINE)


def test_advice_for_another_resolution_prefers_the_overlay_that_sets_all_of_it(tmp_path):
    """The voxel size alone runs with a window the network was not trained in: other results, without a word."""
    network, model = nn.Linear(2, 1), tmp_path / "model.pt"
    write_model(network, model, {"spacing_mm": [3.0, 3.0, 3.0]})
    advice = (
        r"Fix: add the config overlay of the training, such as configs/quick\.json; if it had none, pass "
        r'--spacing_mm "\[3\.0, 3\.0, 3\.0\]" and the --roi_size and --window_frames of the training'
    )
    with pytest.raises(InputError, match=advice):
        WeightsLoader(model, network, recipe={"spacing_mm": [1.0, 1.0, 1.0]})(NO_ENGINE)


def test_another_window_in_time_is_allowed_and_warned_of(tmp_path, caplog):
    network, fresh, model = nn.Linear(2, 1), nn.Linear(2, 1), tmp_path / "model.pt"
    write_model(network, model, {"spacing_mm": [1.0, 1.0, 1.0], "window_frames": 8})
    WeightsLoader(model, fresh, recipe={"spacing_mm": (1.0, 1.0, 1.0), "window_frames": -1})(NO_ENGINE)
    assert torch.equal(fresh.weight, network.weight)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    text = record.getMessage()
    assert f"{model}: the network was trained with window_frames 8, this run uses -1: its results differ" in text
    assert "Fix: add the config overlay of the training" in text
    assert "--window_frames 8" in text


def test_command_line_cannot_set_null():
    """MONAI's doing, on which the advice rests: a value of None leaves the config as it is."""
    assert update_kwargs({"spacing_mm": [1.0, 1.0, 1.0]}, spacing_mm=None) == {"spacing_mm": [1.0, 1.0, 1.0]}
